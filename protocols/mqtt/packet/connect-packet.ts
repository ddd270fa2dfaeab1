// CONNECT (MQTT 5 §3.1, 3.1.1 §3.1), of every version: walked and checked here, decoded by mqtt-packet.

import type { IConnectPacket } from 'mqtt-packet';
import { ownBytes } from '../../../src/core/message/own-bytes.ts';
import { type TopicLimits, topicProblem } from '../topic/topics.ts';
import { ConnectRefused, MalformedPacket } from './errors.ts';
import { PacketParser, skipBytes, skipText } from './packet-parser.ts';
import { LEVEL } from './packet-types.ts';
import { ALLOWED, PROPERTY, type PropertyScanner } from './properties.ts';
import { isKeepable, keptBlock } from './property-block.ts';
import { REASON } from './reason-codes.ts';
import type { Will } from './will-record.ts';

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

const CONNECT_FLAG = {
  reserved: 0x01,
  cleanStart: 0x02,
  will: 0x04,
  willQos: 0x18,
  willRetain: 0x20,
  password: 0x40,
  user: 0x80,
} as const;

const NO_BYTES = Buffer.alloc(0);

/** Reads CONNECT packets; one for all connections. */
export class ConnectReader {
  private readonly limits: TopicLimits;
  private readonly scanner: PropertyScanner;
  /** CONNECT leaves its version in the parser that read it, so it has one of its own. */
  private readonly parser: PacketParser;

  constructor(limits: TopicLimits, scanner: PropertyScanner) {
    this.limits = limits;
    this.scanner = scanner;
    this.parser = new PacketParser(LEVEL.v3_1_1);
  }

  /** The CONNECT that is [start, end). Throws MalformedPacket, or ConnectRefused where an answer is due. */
  read(buffer: Buffer, start: number, body: number, end: number): ConnectRequest {
    const walk = this.walk(buffer, body, end);
    const packet = this.parser.parse(buffer, start, end) as IConnectPacket;
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

  /**
   * Walks a CONNECT (§3.1):
   *
   *   name: text "MQTT" | level: u8 | flags: u8 | keep alive: u16 | [properties: 5] | client id: text | will flag:
   *   ([will properties: 5], will topic: text, will payload: bytes) | user: text (user flag) | password: bytes (password
   *   flag)                                                                       text and bytes: u16 length, data
   */
  private walk(buffer: Buffer, body: number, end: number): ConnectWalk {
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
