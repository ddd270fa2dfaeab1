// The control packets that clients send: CONNECT, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and AUTH. mqtt-packet decodes them,
// one exactly framed packet at a time; before it sees one, the checks here walk the bytes and refuse what it would let
// through: text that is not UTF-8 or holds U+0000, packet id 0, reserved flags, will QoS 3, bytes after the end, a
// password without a user, and of MQTT 5 whatever is wrong with properties (properties.ts reads their values too).

import { type IConnectPacket, type ISubscribePacket, type IUnsubscribePacket, type Packet, parser } from 'mqtt-packet';
import { ownBytes } from '../../src/core/own-bytes.ts';
import { ConnectRefused, MalformedPacket } from './errors.ts';
import { LEVEL } from './packet-types.ts';
import { ALLOWED, PROPERTY, type PropertyScanner } from './properties.ts';
import { isKeepable, keptBlock } from './property-block.ts';
import { REASON } from './reason-codes.ts';
import { sharedFilter } from './shared-filter.ts';
import { filterProblem, type TopicLimits, topicProblem } from './topics.ts';
import { isMqttText } from './utf8.ts';
import type { Will } from './will.ts';

/** A session that never expires (§3.1.2.11.2). */
export const NEVER_ENDS = 0xffff_ffff;

export interface ConnectRequest {
  /** 3 (MQIsdp), 4 (3.1.1) or 5. */
  readonly level: number;
  readonly clientId: string;
  /** What there was before is forgotten. */
  readonly cleanStart: boolean;
  readonly keepAliveSeconds: number;
  readonly user: string | null;
  readonly password: string | null;
  readonly will: Will | null;
  /** Seconds that the session outlives its connection; NEVER_ENDS. Up to 3.1.1 it is one or the other extreme. */
  readonly expirySeconds: number;
  /** QoS 1 and 2 publishes that the client takes at a time. */
  readonly receiveMaximum: number;
  /** Largest packet that it takes. */
  readonly maximumPacketBytes: number;
  /** Topic aliases that it remembers. */
  readonly topicAliasMaximum: number;
  readonly wantsResponseInformation: boolean;
  /** Whether it takes reason strings outside of CONNACK and DISCONNECT. */
  readonly wantsProblems: boolean;
  readonly authenticationMethod: string | null;
  readonly authenticationData: Buffer | null;
}

export interface Subscription {
  readonly filter: string;
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0: retained messages are sent, 1: only where the subscription is new, 2: not at all. */
  readonly retainHandling: number;
  /** 0: none. */
  readonly identifier: number;
}

export interface SubscribeRequest {
  readonly packetId: number;
  readonly subscriptions: readonly Subscription[];
}

export interface UnsubscribeRequest {
  readonly packetId: number;
  readonly filters: readonly string[];
}

export interface DisconnectRequest {
  readonly reason: number;
  /** The session's new expiry, or null where it stays. */
  readonly expirySeconds: number | null;
}

export interface AuthRequest {
  readonly reason: number;
  readonly method: string | null;
  readonly data: Buffer | null;
}

const CONNECT_FLAG = {
  reserved: 0x01,
  cleanStart: 0x02,
  will: 0x04,
  willQos: 0x18,
  willRetain: 0x20,
  password: 0x40,
  user: 0x80,
} as const;

const OPTION = { qos: 0x03, noLocal: 0x04, retainAsPublished: 0x08, retainHandling: 0x30, reserved: 0xc0 } as const;

/** Reason codes of a client's DISCONNECT (§3.14.2.1). */
const DISCONNECT_REASONS: ReadonlySet<number> = new Set([
  REASON.success,
  REASON.disconnectWithWill,
  REASON.unspecified,
  REASON.malformed,
  REASON.protocolError,
  REASON.implementationSpecific,
  REASON.topicNameInvalid,
  REASON.receiveMaximumExceeded,
  REASON.topicAliasInvalid,
  REASON.packetTooLarge,
  REASON.messageRateTooHigh,
  REASON.quotaExceeded,
  REASON.administrativeAction,
  REASON.payloadFormatInvalid,
]);

const NO_BYTES = Buffer.alloc(0);

export class ControlPackets {
  private readonly limits: TopicLimits;
  private readonly scanner: PropertyScanner;
  /** CONNECT leaves its version in the parser that read it, so it has one of its own. */
  private readonly connectParser: PacketParser;
  private readonly parser: PacketParser;
  private readonly parser5: PacketParser;

  constructor(limits: TopicLimits, scanner: PropertyScanner) {
    this.limits = limits;
    this.scanner = scanner;
    this.connectParser = new PacketParser(LEVEL.v3_1_1);
    this.parser = new PacketParser(LEVEL.v3_1_1);
    this.parser5 = new PacketParser(LEVEL.v5);
  }

  /** The CONNECT that is [start, end). Throws MalformedPacket, or ConnectRefused where an answer is due. */
  connect(buffer: Buffer, start: number, body: number, end: number): ConnectRequest {
    const walk = this.walkConnect(buffer, body, end);
    const packet = this.connectParser.parse(buffer, start, end) as IConnectPacket;
    const { will } = packet;
    const cleanStart = packet.clean === true;
    const { properties } = walk;
    if (will !== undefined) {
      const problem = topicProblem(will.topic, this.limits);
      if (problem !== null) throw new MalformedPacket(`in the will: ${problem}`);
    }
    return {
      ...properties,
      level: walk.level,
      clientId: packet.clientId,
      cleanStart,
      keepAliveSeconds: packet.keepalive ?? 0,
      user: packet.username ?? null,
      password: packet.password === undefined ? null : packet.password.toString('utf8'),
      expirySeconds: walk.level === LEVEL.v5 ? properties.expirySeconds : cleanStart ? 0 : NEVER_ENDS,
      will:
        will === undefined
          ? null
          : {
              topic: will.topic,
              // A copy: a will lives as long as its connection and must not pin the chunk that it came in.
              payload: ownBytes(will.payload as Buffer),
              qos: will.qos ?? 0,
              retain: will.retain === true,
              block: walk.willBlock,
              delaySeconds: walk.willDelaySeconds,
              expirationMs: walk.willExpirationMs,
            },
    };
  }

  /** The SUBSCRIBE that is [start, end) (§3.8). Throws MalformedPacket. */
  subscribe(buffer: Buffer, start: number, body: number, end: number, level: number): SubscribeRequest {
    if ((buffer[start]! & 15) !== 2) throw new MalformedPacket('reserved flags of SUBSCRIBE [MQTT-3.8.1-1]');
    const v5 = level === LEVEL.v5;
    const filters = this.behindPacketId(buffer, body, end, v5, ALLOWED.subscribe);
    const identifier = v5 ? this.scanner.number(PROPERTY.subscriptionId, -1) : -1;
    if (identifier === 0) throw new MalformedPacket('subscription identifier 0', REASON.protocolError);
    checkFilters(buffer, filters, end, v5 ? OPTION.reserved : 0xfc, true);
    const packet = (v5 ? this.parser5 : this.parser).parse(buffer, start, end) as ISubscribePacket;
    const subscriptions = packet.subscriptions.map(
      ({ topic, qos, nl, rap, rh }): Subscription => ({
        filter: topic,
        qos,
        noLocal: nl === true,
        retainAsPublished: rap === true,
        retainHandling: rh ?? 0,
        identifier: Math.max(identifier, 0),
      }),
    );
    for (const { filter, noLocal } of subscriptions) {
      const problem = filterProblem(filter);
      if (problem !== null) throw new MalformedPacket(problem, REASON.topicFilterInvalid);
      if (noLocal && sharedFilter(filter) !== null) {
        throw new MalformedPacket('a shared subscription with no-local [MQTT-3.8.3-4]', REASON.protocolError);
      }
    }
    return { packetId: packet.messageId ?? 0, subscriptions };
  }

  /** The UNSUBSCRIBE that is [start, end) (§3.10). Throws MalformedPacket. */
  unsubscribe(buffer: Buffer, start: number, body: number, end: number, level: number): UnsubscribeRequest {
    if ((buffer[start]! & 15) !== 2) throw new MalformedPacket('reserved flags of UNSUBSCRIBE [MQTT-3.10.1-1]');
    const v5 = level === LEVEL.v5;
    const filters = this.behindPacketId(buffer, body, end, v5, ALLOWED.unsubscribe);
    checkFilters(buffer, filters, end, 0, false);
    const packet = (v5 ? this.parser5 : this.parser).parse(buffer, start, end) as IUnsubscribePacket;
    for (const filter of packet.unsubscriptions) {
      const problem = filterProblem(filter);
      if (problem !== null) throw new MalformedPacket(problem, REASON.topicFilterInvalid);
    }
    return { packetId: packet.messageId ?? 0, filters: packet.unsubscriptions };
  }

  /** The DISCONNECT with content [body, end) (§3.14). Throws MalformedPacket. */
  disconnect(buffer: Buffer, start: number, body: number, end: number, level: number): DisconnectRequest {
    if ((buffer[start]! & 15) !== 0) throw new MalformedPacket('reserved flags of DISCONNECT [MQTT-3.14.1-1]');
    if (body === end) return { reason: REASON.success, expirySeconds: null };
    if (level !== LEVEL.v5) throw new MalformedPacket('a packet with content that has none');
    const reason = buffer[body]!;
    if (!DISCONNECT_REASONS.has(reason)) {
      throw new MalformedPacket(`reason code ${reason} in DISCONNECT`, REASON.protocolError);
    }
    if (body + 1 === end) return { reason, expirySeconds: null };
    this.wholeBlock(buffer, body + 1, end, ALLOWED.disconnect);
    const expiry = this.scanner.number(PROPERTY.sessionExpiry, -1);
    return { reason, expirySeconds: expiry === -1 ? null : expiry };
  }

  /** The AUTH with content [body, end) (§3.15). Throws MalformedPacket. */
  auth(buffer: Buffer, start: number, body: number, end: number): AuthRequest {
    if ((buffer[start]! & 15) !== 0) throw new MalformedPacket('reserved flags of AUTH [MQTT-3.15.1-1]');
    if (body === end) return { reason: REASON.success, method: null, data: null };
    const reason = buffer[body]!;
    if (reason !== REASON.continueAuthentication && reason !== REASON.reAuthenticate) {
      throw new MalformedPacket(`reason code ${reason} in AUTH`, REASON.protocolError);
    }
    if (body + 1 === end) return { reason, method: null, data: null };
    this.wholeBlock(buffer, body + 1, end, ALLOWED.auth);
    const method = this.scanner.text(buffer, PROPERTY.authenticationMethod);
    return { reason, method, data: this.scanner.bytes(buffer, PROPERTY.authenticationData) };
  }

  /**
   * Walks a CONNECT (§3.1):
   *
   *   name: text "MQTT" | level: u8 | flags: u8 | keep alive: u16 | [properties: 5] | client id: text | will flag:
   *   ([will properties: 5], will topic: text, will payload: bytes) | user: text (user flag) | password: bytes (password
   *   flag)                                                                       text and bytes: u16 length, data
   */
  private walkConnect(buffer: Buffer, body: number, end: number): ConnectWalk {
    let at = skipText(buffer, body, end, 'protocol name');
    const name = buffer.toString('latin1', body + 2, at);
    if (name !== 'MQTT' && name !== 'MQIsdp') {
      throw new MalformedPacket('an unknown protocol name [MQTT-3.1.2-1]', REASON.unsupportedVersion);
    }
    if (at === end) throw new MalformedPacket('a CONNECT that ends early');
    const level = buffer[at]!;
    // [MQTT-3.1.2-2]: an unknown level is answered before anything else is judged, for it may follow other rules.
    const known = name === 'MQTT' ? level === LEVEL.v3_1_1 || level === LEVEL.v5 : level === LEVEL.v3_1;
    if (!known) {
      throw new ConnectRefused(REASON.unsupportedVersion, `protocol ${name} level ${level} is not spoken here`);
    }
    if (at + 4 > end) throw new MalformedPacket('a CONNECT that ends early');
    const v5 = level === LEVEL.v5;
    const flags = buffer[at + 1]!;
    if ((flags & CONNECT_FLAG.reserved) !== 0) throw new MalformedPacket('the reserved connect flag [MQTT-3.1.2-3]');
    const hasWill = (flags & CONNECT_FLAG.will) !== 0;
    const willQos = (flags & CONNECT_FLAG.willQos) >> 3;
    if (willQos === 3) throw new MalformedPacket('a will with QoS 3 [MQTT-3.1.2-14]');
    if (!hasWill && (flags & (CONNECT_FLAG.willQos | CONNECT_FLAG.willRetain)) !== 0) {
      throw new MalformedPacket('will flags without a will [MQTT-3.1.2-11]');
    }
    const hasUser = (flags & CONNECT_FLAG.user) !== 0;
    const hasPassword = (flags & CONNECT_FLAG.password) !== 0;
    if (hasPassword && !hasUser && !v5) throw new MalformedPacket('a password without a user name [MQTT-3.1.2-22]');
    at += 4;
    let properties = NO_CONNECT_PROPERTIES;
    if (v5) {
      at = this.scanner.scan(buffer, at, end, ALLOWED.connect);
      properties = this.connectProperties(buffer);
    }
    at = skipText(buffer, at, end, 'client id');
    let willBlock: Buffer = NO_BYTES;
    let willDelaySeconds = 0;
    let willExpirationMs = -1;
    if (hasWill) {
      if (v5) {
        const { scanner } = this;
        at = scanner.scan(buffer, at, end, ALLOWED.will);
        checkResponseTopic(buffer, scanner, this.limits);
        willDelaySeconds = scanner.number(PROPERTY.willDelay, 0);
        const expiry = scanner.number(PROPERTY.messageExpiry, -1);
        if (expiry >= 0) willExpirationMs = expiry * 1000;
        willBlock = isKeepable(buffer, scanner)
          ? ownBytes(buffer.subarray(scanner.start, scanner.end))
          : keptBlock(buffer, scanner);
      }
      at = skipText(buffer, at, end, 'will topic');
      at = skipBytes(buffer, at, end, 'will payload');
    }
    if (hasUser) at = skipText(buffer, at, end, 'user name');
    if (hasPassword) at = skipBytes(buffer, at, end, 'password');
    if (at !== end) throw new MalformedPacket('bytes after the end of CONNECT');
    return { level, properties, willBlock, willDelaySeconds, willExpirationMs };
  }

  private connectProperties(buffer: Buffer): ConnectProperties {
    const { scanner } = this;
    const receiveMaximum = scanner.number(PROPERTY.receiveMaximum, 65_535);
    const maximumPacketBytes = scanner.number(PROPERTY.maximumPacketSize, Number.POSITIVE_INFINITY);
    if (receiveMaximum === 0) throw new MalformedPacket('receive maximum 0', REASON.protocolError);
    if (maximumPacketBytes === 0) throw new MalformedPacket('maximum packet size 0', REASON.protocolError);
    const authenticationMethod = scanner.text(buffer, PROPERTY.authenticationMethod);
    const authenticationData = scanner.bytes(buffer, PROPERTY.authenticationData);
    if (authenticationData !== null && authenticationMethod === null) {
      throw new MalformedPacket('authentication data without a method', REASON.protocolError);
    }
    return {
      expirySeconds: scanner.number(PROPERTY.sessionExpiry, 0),
      receiveMaximum,
      maximumPacketBytes,
      topicAliasMaximum: scanner.number(PROPERTY.topicAliasMaximum, 0),
      wantsResponseInformation: scanner.number(PROPERTY.requestResponseInformation, 0) === 1,
      wantsProblems: scanner.number(PROPERTY.requestProblemInformation, 1) === 1,
      authenticationMethod,
      authenticationData,
    };
  }

  /** Checks packet id and (of MQTT 5) properties, and gives the position behind them. */
  private behindPacketId(buffer: Buffer, body: number, end: number, v5: boolean, allowed: Uint8Array): number {
    if (body + 2 > end) throw new MalformedPacket('a packet without its packet id');
    if (buffer[body] === 0 && buffer[body + 1] === 0) throw new MalformedPacket('packet id 0 [MQTT-2.3.1-1]');
    return v5 ? this.scanner.scan(buffer, body + 2, end, allowed) : body + 2;
  }

  /** A property block with which its packet ends. */
  private wholeBlock(buffer: Buffer, at: number, end: number, allowed: Uint8Array): void {
    if (this.scanner.scan(buffer, at, end, allowed) !== end) throw new MalformedPacket('bytes after the properties');
  }
}

/** A response topic is a topic name [MQTT-3.3.2-14]. */
export function checkResponseTopic(buffer: Buffer, scanner: PropertyScanner, limits: TopicLimits): void {
  if (!scanner.has(PROPERTY.responseTopic)) return;
  const problem = topicProblem(scanner.text(buffer, PROPERTY.responseTopic)!, limits);
  if (problem !== null) throw new MalformedPacket(`in the response topic: ${problem}`, REASON.protocolError);
}

type ConnectProperties = Pick<
  ConnectRequest,
  | 'expirySeconds'
  | 'receiveMaximum'
  | 'maximumPacketBytes'
  | 'topicAliasMaximum'
  | 'wantsResponseInformation'
  | 'wantsProblems'
  | 'authenticationMethod'
  | 'authenticationData'
>;

interface ConnectWalk {
  readonly level: number;
  readonly properties: ConnectProperties;
  readonly willBlock: Buffer;
  readonly willDelaySeconds: number;
  readonly willExpirationMs: number;
}

const NO_CONNECT_PROPERTIES: ConnectProperties = {
  expirySeconds: 0,
  receiveMaximum: 65_535,
  maximumPacketBytes: Number.POSITIVE_INFINITY,
  topicAliasMaximum: 0,
  wantsResponseInformation: false,
  wantsProblems: false,
  authenticationMethod: null,
  authenticationData: null,
};

/** One mqtt-packet parser, used for one whole packet at a time. */
class PacketParser {
  private readonly parser: ReturnType<typeof parser>;
  private readonly packets: Packet[];
  private readonly errors: Error[];

  constructor(protocolVersion: number) {
    this.parser = parser({ protocolVersion });
    this.packets = [];
    this.errors = [];
    this.parser.on('packet', (packet) => this.packets.push(packet));
    this.parser.on('error', (error: Error) => this.errors.push(error));
  }

  parse(buffer: Buffer, start: number, end: number): Packet {
    this.parser.parse(buffer.subarray(start, end));
    const packet = this.packets.pop();
    const error = this.errors.pop();
    this.packets.length = 0;
    this.errors.length = 0;
    if (error !== undefined) throw new MalformedPacket(error.message);
    // Unreachable while the checks before it hold: the packet is whole.
    if (packet === undefined) throw new MalformedPacket('an incomplete packet');
    return packet;
  }
}

/** Walks the filters of SUBSCRIBE (one option byte after each, without the bits of `reserved`) or UNSUBSCRIBE. */
function checkFilters(buffer: Buffer, from: number, end: number, reserved: number, options: boolean): void {
  let at = from;
  if (at === end) {
    throw new MalformedPacket('no topic filter at all [MQTT-3.8.3-3] [MQTT-3.10.3-2]', REASON.protocolError);
  }
  while (at < end) {
    at = skipText(buffer, at, end, 'topic filter');
    if (!options) continue;
    if (at === end) throw new MalformedPacket('a topic filter without its options');
    const byte = buffer[at++]!;
    if ((byte & reserved) !== 0) throw new MalformedPacket('reserved bits of a subscription [MQTT-3-8.3-4]');
    if ((byte & OPTION.qos) === 3) throw new MalformedPacket('a subscription with QoS 3 [MQTT-3-8.3-4]');
    if ((byte & OPTION.retainHandling) === OPTION.retainHandling) {
      throw new MalformedPacket('retain handling 3', REASON.protocolError);
    }
  }
}

function skipBytes(buffer: Buffer, at: number, end: number, what: string): number {
  if (at + 2 > end) throw new MalformedPacket(`no ${what}`);
  const after = at + 2 + ((buffer[at]! << 8) | buffer[at + 1]!);
  if (after > end) throw new MalformedPacket(`a ${what} that is longer than its packet`);
  return after;
}

function skipText(buffer: Buffer, at: number, end: number, what: string): number {
  const after = skipBytes(buffer, at, end, what);
  if (!isMqttText(buffer, at + 2, after)) throw new MalformedPacket(`a ${what} that is not UTF-8 text [MQTT-1.5.3-1]`);
  return after;
}
