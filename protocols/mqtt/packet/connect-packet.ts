// CONNECT (MQTT 5 §3.1, 3.1.1 §3.1) of every version: one pass over its bytes validates it and takes its values. Called
// through ConnectReader by connection/handshake.ts.

import { ownBytes } from '../../../src/core/message/own-bytes.ts';
import { type TopicLimits, topicProblem } from '../topic/topics.ts';
import { ConnectRefused, MalformedPacket } from './errors.ts';
import { PacketCursor } from './packet-cursor.ts';
import { LEVEL } from './packet-types.ts';
import { ALLOWED, PROPERTY, type PropertyScanner } from './properties.ts';
import { isKeepable, keptBlock } from './property-block.ts';
import { REASON } from './reason-codes.ts';
import type { Will } from './will-record.ts';

/** The bit of the protocol level that marks a bridge. */
const BRIDGE = 0x80;

/** A session that never expires (§3.1.2.11.2). */
export const NEVER_ENDS = 0xffff_ffff;

export interface ConnectRequest {
  /** 3 (MQIsdp), 4 (3.1.1) or 5. */
  readonly level: number;
  /** A bridge of another broker: it does not get its own publishes, and gets the retain flag as published. */
  readonly bridge: boolean;
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

const WILL_QOS_SHIFT = 3;

/** The reader below with one broker's limits. One for all connections. */
export class ConnectReader {
  private readonly limits: TopicLimits;
  private readonly scanner: PropertyScanner;

  constructor(limits: TopicLimits, scanner: PropertyScanner) {
    this.limits = limits;
    this.scanner = scanner;
  }

  /** The CONNECT with content [body, end). Throws MalformedPacket, or ConnectRefused where an answer is due. */
  read(buffer: Buffer, body: number, end: number): ConnectRequest {
    return readConnect(new PacketCursor(buffer, body, end), this.scanner, this.limits);
  }
}

/**
 * CONNECT (§3.1):
 *
 *   0001 0000 | name: text "MQTT" | level: u8 | flags: u8 | keep alive: u16 | [properties: 5] | client id: text |
 *   [will, with the will flag] | [user: text, with the user flag] | [password: bytes, with the password flag]
 *
 * Text and bytes have a u16 length in front.
 */
function readConnect(packet: PacketCursor, scanner: PropertyScanner, limits: TopicLimits): ConnectRequest {
  const { level, bridge } = readLevel(packet);
  const v5 = level === LEVEL.v5;
  const flags = packet.byte('a CONNECT that ends early');
  const keepAliveSeconds = packet.u16('a CONNECT that ends early');
  checkFlags(flags, v5);
  const properties = v5 ? readConnectProperties(packet, scanner) : NO_CONNECT_PROPERTIES;
  const clientId = packet.text('client id');
  const will = (flags & CONNECT_FLAG.will) === 0 ? null : readWill(packet, flags, v5, scanner, limits);
  const user = (flags & CONNECT_FLAG.user) === 0 ? null : packet.text('user name');
  const password = (flags & CONNECT_FLAG.password) === 0 ? null : packet.bytes('password').toString('utf8');
  packet.requireEnd('bytes after the end of CONNECT');
  // Judged last, as the meaning of a packet whose form is right.
  const problem = will === null ? null : topicProblem(will.topic, limits);
  if (problem !== null) throw new MalformedPacket(`in the will: ${problem}`);
  const cleanStart = (flags & CONNECT_FLAG.cleanStart) !== 0;
  const { expirySeconds } = properties;
  return {
    ...properties,
    level,
    bridge,
    clientId,
    cleanStart,
    keepAliveSeconds,
    user,
    password,
    expirySeconds: v5 ? expirySeconds : cleanStart ? 0 : NEVER_ENDS,
    will,
  };
}

/**
 * Name and level (§3.1.2.1, §3.1.2.2):
 *
 *   "MQTT" | 5 or 4      MQTT 5, 3.1.1
 *   "MQIsdp" | 3         3.1
 *
 * Up to 3.1.1 bit 7 of the level marks a bridge; Mosquitto's bridges set it and RabbitMQ and Mosquitto know it.
 */
function readLevel(packet: PacketCursor): { readonly level: number; readonly bridge: boolean } {
  const name = packet.text('protocol name');
  if (name !== 'MQTT' && name !== 'MQIsdp') {
    throw new MalformedPacket('an unknown protocol name [MQTT-3.1.2-1]', REASON.unsupportedVersion);
  }
  const byte = packet.byte('a CONNECT that ends early');
  const level = byte & ~BRIDGE;
  const bridge = level !== byte && level < LEVEL.v5;
  const known = name === 'MQTT' ? level === LEVEL.v3_1_1 || level === LEVEL.v5 : level === LEVEL.v3_1;
  // [MQTT-3.1.2-2]: an unknown level is answered before anything else is judged, for it may follow other rules.
  if (!known || (level !== byte && !bridge)) {
    throw new ConnectRefused(REASON.unsupportedVersion, `protocol ${name} level ${byte} is not spoken here`);
  }
  return { level, bridge };
}

/**
 * Connect flags (§3.1.2.3), from bit 7 down:
 *
 *   user | password | will retain | will QoS: two bits | will | clean start | reserved: 0
 */
function checkFlags(flags: number, v5: boolean): void {
  if ((flags & CONNECT_FLAG.reserved) !== 0) throw new MalformedPacket('the reserved connect flag [MQTT-3.1.2-3]');
  if ((flags & CONNECT_FLAG.willQos) === CONNECT_FLAG.willQos) {
    throw new MalformedPacket('a will with QoS 3 [MQTT-3.1.2-14]');
  }
  if ((flags & CONNECT_FLAG.will) === 0 && (flags & (CONNECT_FLAG.willQos | CONNECT_FLAG.willRetain)) !== 0) {
    throw new MalformedPacket('will flags without a will [MQTT-3.1.2-11]');
  }
  // MQTT 5 §3.1.2.9 allows it.
  if ((flags & CONNECT_FLAG.password) !== 0 && (flags & CONNECT_FLAG.user) === 0 && !v5) {
    throw new MalformedPacket('a password without a user name [MQTT-3.1.2-22]');
  }
}

/** CONNECT's properties (MQTT 5 §3.1.2.11). */
function readConnectProperties(packet: PacketCursor, scanner: PropertyScanner): ConnectProperties {
  packet.properties(scanner, ALLOWED.connect);
  const { buffer } = packet;
  const receiveMaximum = scanner.number(PROPERTY.receiveMaximum, 65_535);
  const maximumPacketBytes = scanner.number(PROPERTY.maximumPacketSize, Number.POSITIVE_INFINITY);
  // §3.1.2.11.3
  if (receiveMaximum === 0) throw new MalformedPacket('receive maximum 0', REASON.protocolError);
  // §3.1.2.11.4
  if (maximumPacketBytes === 0) throw new MalformedPacket('maximum packet size 0', REASON.protocolError);
  const authenticationMethod = scanner.text(buffer, PROPERTY.authenticationMethod);
  const authenticationData = scanner.bytes(buffer, PROPERTY.authenticationData);
  // §3.1.2.11.10
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

/**
 * The will (§3.1.3.2 to §3.1.3.4):
 *
 *   [properties: 5] | topic: text | payload: bytes
 *
 * Payload and block are copies: a will lives as long as its connection and must not pin the chunk that it came in.
 */
function readWill(
  packet: PacketCursor,
  flags: number,
  v5: boolean,
  scanner: PropertyScanner,
  limits: TopicLimits,
): Will {
  const properties = v5 ? readWillProperties(packet, scanner, limits) : NO_WILL_PROPERTIES;
  const topic = packet.text('will topic');
  const payload = ownBytes(packet.bytes('will payload'));
  const qos = (flags & CONNECT_FLAG.willQos) >> WILL_QOS_SHIFT;
  return { topic, payload, qos, retain: (flags & CONNECT_FLAG.willRetain) !== 0, ...properties };
}

/** The will's properties (MQTT 5 §3.1.3.2). */
function readWillProperties(packet: PacketCursor, scanner: PropertyScanner, limits: TopicLimits): WillProperties {
  packet.properties(scanner, ALLOWED.will);
  const { buffer } = packet;
  checkResponseTopic(buffer, scanner, limits);
  const block = isKeepable(buffer, scanner)
    ? ownBytes(buffer.subarray(scanner.start, scanner.end))
    : keptBlock(buffer, scanner);
  const expiry = scanner.number(PROPERTY.messageExpiry, -1);
  return {
    block,
    delaySeconds: scanner.number(PROPERTY.willDelay, 0),
    expirationMs: expiry < 0 ? -1 : expiry * 1000,
  };
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

type WillProperties = Pick<Will, 'block' | 'delaySeconds' | 'expirationMs'>;

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

const NO_WILL_PROPERTIES: WillProperties = { block: Buffer.alloc(0), delaySeconds: 0, expirationMs: -1 };
