// The control packets CONNECT, SUBSCRIBE and UNSUBSCRIBE. mqtt-packet decodes them, one exactly framed packet at a
// time; before it sees one, the checks here walk the bytes and refuse what it would let through: text that is not
// UTF-8 or holds U+0000, packet id 0, reserved flags, will QoS 3, bytes after the end, a password without a user.

import { type IConnectPacket, type ISubscribePacket, type IUnsubscribePacket, type Packet, parser } from 'mqtt-packet';
import { ownBytes } from '../../src/core/own-bytes.ts';
import { ConnectRefused, MalformedPacket } from './errors.ts';
import { CONNECT_CODE } from './packet-types.ts';
import { filterProblem, type TopicLimits, topicProblem } from './topics.ts';
import { isMqttText } from './utf8.ts';

/** A message that the broker publishes when its client goes without DISCONNECT (MQTT 3.1.1 §3.1.2.5). */
export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
}

export interface ConnectRequest {
  /** 3 (MQIsdp) or 4 (3.1.1). */
  readonly level: number;
  readonly clientId: string;
  readonly cleanSession: boolean;
  readonly keepAliveSeconds: number;
  readonly user: string | null;
  readonly password: string | null;
  readonly will: Will | null;
}

export interface Subscription {
  readonly filter: string;
  readonly qos: number;
}

export interface SubscribeRequest {
  readonly packetId: number;
  readonly subscriptions: readonly Subscription[];
}

export interface UnsubscribeRequest {
  readonly packetId: number;
  readonly filters: readonly string[];
}

const CONNECT_FLAG = {
  reserved: 0x01,
  cleanSession: 0x02,
  will: 0x04,
  willQos: 0x18,
  willRetain: 0x20,
  password: 0x40,
  user: 0x80,
} as const;

export class ControlPackets {
  private readonly limits: TopicLimits;
  /** CONNECT leaves its version in the parser that read it, so it has one of its own. */
  private readonly connectParser: PacketParser;
  private readonly parser: PacketParser;

  constructor(limits: TopicLimits) {
    this.limits = limits;
    this.connectParser = new PacketParser();
    this.parser = new PacketParser();
  }

  /** The CONNECT that is [start, end). Throws MalformedPacket, or ConnectRefused where an answer is due. */
  connect(buffer: Buffer, start: number, body: number, end: number): ConnectRequest {
    checkConnect(buffer, body, end);
    const packet = this.connectParser.parse(buffer, start, end) as IConnectPacket;
    const will = packet.will;
    if (will !== undefined) {
      const problem = topicProblem(will.topic, this.limits);
      if (problem !== null) throw new MalformedPacket(`in the will: ${problem}`);
    }
    return {
      level: packet.protocolVersion ?? 4,
      clientId: packet.clientId,
      cleanSession: packet.clean === true,
      keepAliveSeconds: packet.keepalive ?? 0,
      user: packet.username ?? null,
      password: packet.password === undefined ? null : packet.password.toString('utf8'),
      will:
        will === undefined
          ? null
          : {
              topic: will.topic,
              // A copy: a will lives as long as its connection and must not pin the chunk that it came in.
              payload: ownBytes(will.payload as Buffer),
              qos: will.qos ?? 0,
              retain: will.retain === true,
            },
    };
  }

  /** The SUBSCRIBE that is [start, end) (§3.8). Throws MalformedPacket. */
  subscribe(buffer: Buffer, start: number, body: number, end: number): SubscribeRequest {
    if ((buffer[start]! & 15) !== 2) throw new MalformedPacket('reserved flags of SUBSCRIBE [MQTT-3.8.1-1]');
    checkFilters(buffer, body, end, 1);
    const packet = this.parser.parse(buffer, start, end) as ISubscribePacket;
    const subscriptions = packet.subscriptions.map(({ topic, qos }) => ({ filter: topic, qos }));
    for (const { filter } of subscriptions) requireFilter(filter);
    return { packetId: packet.messageId ?? 0, subscriptions };
  }

  /** The UNSUBSCRIBE that is [start, end) (§3.10). Throws MalformedPacket. */
  unsubscribe(buffer: Buffer, start: number, body: number, end: number): UnsubscribeRequest {
    if ((buffer[start]! & 15) !== 2) throw new MalformedPacket('reserved flags of UNSUBSCRIBE [MQTT-3.10.1-1]');
    checkFilters(buffer, body, end, 0);
    const packet = this.parser.parse(buffer, start, end) as IUnsubscribePacket;
    for (const filter of packet.unsubscriptions) requireFilter(filter);
    return { packetId: packet.messageId ?? 0, filters: packet.unsubscriptions };
  }
}

/** One mqtt-packet parser, used for one whole packet at a time. */
class PacketParser {
  private readonly parser: ReturnType<typeof parser>;
  private readonly packets: Packet[];
  private readonly errors: Error[];

  constructor() {
    this.parser = parser({ protocolVersion: 4 });
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

/**
 * Walks a CONNECT (§3.1):
 *
 *   name: text "MQTT" | level: u8 | flags: u8 | keep alive: u16 | client id: text | will topic: text, will payload:
 *   bytes (will flag) | user: text (user flag) | password: bytes (password flag)       text and bytes: u16 length, data
 */
function checkConnect(buffer: Buffer, body: number, end: number): void {
  let at = skipText(buffer, body, end, 'protocol name');
  const name = buffer.toString('latin1', body + 2, at);
  if (name !== 'MQTT' && name !== 'MQIsdp') throw new MalformedPacket('an unknown protocol name [MQTT-3.1.2-1]');
  if (at + 4 > end) throw new MalformedPacket('a CONNECT that ends early');
  const level = buffer[at]!;
  // [MQTT-3.1.2-2]: an unknown level is answered before anything else is judged, for it may follow other rules.
  if (level !== (name === 'MQTT' ? 4 : 3)) {
    throw new ConnectRefused(CONNECT_CODE.unacceptableProtocol, `protocol ${name} level ${level} is not spoken here`);
  }
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
  if (hasPassword && !hasUser) throw new MalformedPacket('a password without a user name [MQTT-3.1.2-22]');
  at = skipText(buffer, at + 4, end, 'client id');
  if (hasWill) {
    at = skipText(buffer, at, end, 'will topic');
    at = skipBytes(buffer, at, end, 'will payload');
  }
  if (hasUser) at = skipText(buffer, at, end, 'user name');
  if (hasPassword) at = skipBytes(buffer, at, end, 'password');
  if (at !== end) throw new MalformedPacket('bytes after the end of CONNECT');
}

/** Walks packet id and filters of SUBSCRIBE (one option byte after each) or UNSUBSCRIBE (none). */
function checkFilters(buffer: Buffer, body: number, end: number, optionBytes: number): void {
  if (body + 2 > end) throw new MalformedPacket('a packet without its packet id');
  if (buffer[body] === 0 && buffer[body + 1] === 0) throw new MalformedPacket('packet id 0 [MQTT-2.3.1-1]');
  let at = body + 2;
  if (at === end) throw new MalformedPacket('no topic filter at all [MQTT-3.8.3-3] [MQTT-3.10.3-2]');
  while (at < end) {
    at = skipText(buffer, at, end, 'topic filter');
    if (optionBytes === 0) continue;
    if (at === end) throw new MalformedPacket('a topic filter without its QoS');
    const options = buffer[at]!;
    if (options > 2) throw new MalformedPacket('a subscription with reserved bits or QoS 3 [MQTT-3-8.3-4]');
    at++;
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

function requireFilter(filter: string): void {
  const problem = filterProblem(filter);
  if (problem !== null) throw new MalformedPacket(problem);
}
