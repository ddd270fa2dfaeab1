// The control packets of MQTT 3.1, 3.1.1 and 5.0, written from the specifications without the product's code, so that
// the same mistake cannot hide in both codecs. Client packets are encoded as given, legal or not. Server packets are
// decoded strictly: illegal flags, lengths, reason codes and properties are errors.

import { ByteReader, ByteWriter, type Text, variable } from './bytes.ts';
import { decodeProperties, encodeProperties, type Properties, type Property } from './properties.ts';

/** The protocol level in CONNECT: MQTT 3.1, 3.1.1 and 5.0. */
export const LEVEL = { v31: 3, v3: 4, v5: 5 } as const;
export type Level = (typeof LEVEL)[keyof typeof LEVEL];
/** A level that no version has. */
export const UNKNOWN_LEVEL = 99;

export type Qos = 0 | 1 | 2;

/** Control packet types by name (§2.2.1). */
export const TYPE = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
  AUTH: 15,
} as const;
export type TypeName = keyof typeof TYPE;

const TYPE_NAMES = Object.keys(TYPE) as TypeName[];

/** The reserved fixed header flags that are not 0 (§2.2.2). */
const FLAGS: Partial<Record<TypeName, number>> = { PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2 };

export interface Will {
  readonly topic: Text;
  readonly payload: Text;
  readonly qos?: Qos;
  readonly retain?: boolean;
  readonly properties?: Properties;
}
export interface ConnectOptions {
  readonly name?: string;
  readonly level?: number;
  /** Clean session (3.1.1) or clean start (5.0). */
  readonly clean?: boolean;
  readonly keepAlive?: number;
  readonly clientId?: Text;
  readonly will?: Will;
  /** Null sends no user name. */
  readonly user?: Text | null;
  readonly password?: Text | null;
  readonly properties?: Properties;
  /** Replaces the flags that follow from the fields. */
  readonly flags?: number;
}
export interface PublishOptions {
  readonly topic: Text;
  readonly payload?: Text;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly packetId?: number;
  readonly properties?: Properties;
}
export interface SubscriptionOptions {
  readonly filter: Text;
  readonly qos?: number;
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
  readonly retainHandling?: number;
  /** Replaces the options byte that follows from the fields. */
  readonly options?: number;
}

/** A packet with any first byte and any body. */
export function frame(type: TypeName | number, body: Uint8Array = Buffer.alloc(0), flags?: number): Buffer {
  const first = typeof type === 'number' ? type : (TYPE[type] << 4) | (flags ?? FLAGS[type] ?? 0);
  return Buffer.concat([Buffer.of(first), variable(body.length), body]);
}

export function encodeConnect(level: Level, options: ConnectOptions): Buffer {
  return frame('CONNECT', connectBody(level, options));
}

export function connectBody(version: Level, options: ConnectOptions): Buffer {
  const { clean = true, keepAlive = 0, clientId = '', will, user = null, password = null } = options;
  const name = options.name ?? (version === LEVEL.v31 ? 'MQIsdp' : 'MQTT');
  let flags = clean ? 2 : 0;
  if (will !== undefined) flags |= 4 | ((will.qos ?? 0) << 3) | (will.retain ? 0x20 : 0);
  if (password !== null) flags |= 0x40;
  if (user !== null) flags |= 0x80;
  const writer = new ByteWriter()
    .string(name)
    .byte(options.level ?? version)
    .byte(options.flags ?? flags)
    .short(keepAlive);
  if (version === LEVEL.v5) writer.append(encodeProperties(options.properties ?? []));
  writer.string(clientId);
  if (will !== undefined) {
    if (version === LEVEL.v5) writer.append(encodeProperties(will.properties ?? []));
    writer.string(will.topic).string(will.payload);
  }
  if (user !== null) writer.string(user);
  if (password !== null) writer.string(password);
  return writer.done();
}

export function encodePublish(version: Level, options: PublishOptions): Buffer {
  const { topic, payload = '', qos = 0, retain = false, dup = false, packetId } = options;
  const writer = new ByteWriter().string(topic);
  if (packetId !== undefined) writer.short(packetId);
  if (version === LEVEL.v5) writer.append(encodeProperties(options.properties ?? []));
  writer.append(Buffer.from(payload as string));
  return frame('PUBLISH', writer.done(), (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0));
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP: in the short form unless a reason or properties are given. */
export function encodeAck(type: TypeName, packetId: number, reason?: number, properties?: Properties): Buffer {
  const writer = new ByteWriter().short(packetId);
  if (reason !== undefined) writer.byte(reason);
  if (properties !== undefined) writer.append(encodeProperties(properties));
  return frame(type, writer.done());
}

export function encodeSubscribe(
  version: Level,
  packetId: number,
  subscriptions: readonly SubscriptionOptions[],
  properties: Properties = [],
): Buffer {
  const writer = new ByteWriter().short(packetId);
  if (version === LEVEL.v5) writer.append(encodeProperties(properties));
  for (const { filter, qos = 0, noLocal, retainAsPublished, retainHandling = 0, options } of subscriptions) {
    const byte = qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4);
    writer.string(filter).byte(options ?? byte);
  }
  return frame('SUBSCRIBE', writer.done());
}

export function encodeUnsubscribe(
  version: Level,
  packetId: number,
  filters: readonly Text[],
  properties: Properties = [],
): Buffer {
  const writer = new ByteWriter().short(packetId);
  if (version === LEVEL.v5) writer.append(encodeProperties(properties));
  for (const filter of filters) writer.string(filter);
  return frame('UNSUBSCRIBE', writer.done());
}

/** DISCONNECT and AUTH: without a body unless a reason or properties are given. */
export function encodeReason(type: 'DISCONNECT' | 'AUTH', reason?: number, properties?: Properties): Buffer {
  const writer = new ByteWriter();
  if (reason !== undefined) writer.byte(reason);
  if (properties !== undefined) writer.append(encodeProperties(properties));
  return frame(type, writer.done());
}

/** A decoded packet. Fields that its type does not have are empty. */
export interface Packet {
  readonly type: TypeName;
  /** Size of the whole packet in bytes. */
  readonly size: number;
  readonly packetId: number;
  /** Reason code or return code; one for each filter in SUBACK and UNSUBACK. */
  readonly reasons: readonly number[];
  readonly properties: readonly Property[];
  readonly sessionPresent: boolean;
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
}

/** First byte, body and size of the first packet in the buffer; null if it is incomplete. */
export function firstPacket(buffer: Buffer): { first: number; body: Buffer; size: number } | null {
  let length = 0;
  for (let at = 1; at <= 4; at++) {
    const digit = buffer[at];
    if (digit === undefined) return null;
    length += (digit & 0x7f) * 128 ** (at - 1);
    if (digit < 0x80) {
      // [MQTT-1.5.5-1]
      if (digit === 0 && at > 1) throw new Error('malformed: a remaining length is longer than it has to be');
      const size = at + 1 + length;
      return buffer.length < size ? null : { first: buffer[0]!, body: buffer.subarray(at + 1, size), size };
    }
  }
  throw new Error('malformed: a remaining length of more than four bytes');
}

const CONNACK_REASONS = [
  0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
  0x9c, 0x9d, 0x9f,
];
const PUBACK_REASONS = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const SUBACK_REASONS = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];
const DISCONNECT_REASONS = [
  0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
  0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];

/** The reason codes that a server may send in this packet in this version. */
function reasonsOf(type: TypeName, version: Level): readonly number[] {
  switch (type) {
    case 'CONNACK':
      return version === LEVEL.v5 ? CONNACK_REASONS : [0, 1, 2, 3, 4, 5];
    case 'PUBACK':
    case 'PUBREC':
      return PUBACK_REASONS;
    case 'PUBREL':
    case 'PUBCOMP':
      return [0x00, 0x92];
    case 'SUBACK':
      // 3.1 has no failure code [MQTT-3.9.3-2].
      return version === LEVEL.v5 ? SUBACK_REASONS : version === LEVEL.v3 ? [0, 1, 2, 0x80] : [0, 1, 2];
    case 'UNSUBACK':
      return [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91];
    case 'DISCONNECT':
      return DISCONNECT_REASONS;
    case 'AUTH':
      return [0x00, 0x18];
    default:
      throw new Error(`${type} has no reason code`);
  }
}

/** Decodes a packet that a server may send; throws on any other. */
export function decode(version: Level, first: number, body: Buffer, size: number): Packet {
  const type = TYPE_NAMES[(first >> 4) - 1];
  if (type === undefined) throw new Error(`malformed: a packet of type ${first >> 4}`);
  if (type !== 'PUBLISH' && (first & 0x0f) !== (FLAGS[type] ?? 0)) {
    throw new Error(`malformed: ${type} with flags ${first & 0x0f}`);
  }
  const reader = new ByteReader(body);
  const packet: { -readonly [K in keyof Packet]: Packet[K] } = {
    type,
    size,
    packetId: 0,
    reasons: [],
    properties: [],
    sessionPresent: false,
    topic: '',
    payload: Buffer.alloc(0),
    qos: 0,
    retain: false,
    dup: false,
  };
  const v5 = version === LEVEL.v5;
  const reason = (): readonly number[] => checked(type, version, [reader.byte()]);
  switch (type) {
    case 'CONNACK': {
      const flags = reader.byte();
      if (flags > 1) throw new Error(`malformed: CONNACK with flags ${flags}`);
      packet.sessionPresent = flags === 1;
      packet.reasons = reason();
      if (v5) packet.properties = decodeProperties(reader, type);
      break;
    }
    case 'PUBLISH':
      packet.dup = (first & 8) !== 0;
      packet.retain = (first & 1) !== 0;
      packet.qos = ((first >> 1) & 3) as Qos;
      if ((packet.qos as number) === 3) throw new Error('malformed: PUBLISH with QoS 3');
      if (packet.dup && packet.qos === 0) throw new Error('malformed: PUBLISH with DUP at QoS 0');
      packet.topic = reader.string();
      if (packet.qos > 0) packet.packetId = nonZero(type, reader.short());
      if (v5) packet.properties = decodeProperties(reader, type);
      packet.payload = reader.rest();
      break;
    case 'PUBACK':
    case 'PUBREC':
    case 'PUBREL':
    case 'PUBCOMP':
      packet.packetId = nonZero(type, reader.short());
      packet.reasons = v5 && reader.left > 0 ? reason() : [0];
      if (v5 && reader.left > 0) packet.properties = decodeProperties(reader, type);
      break;
    case 'SUBACK':
    case 'UNSUBACK':
      packet.packetId = nonZero(type, reader.short());
      if (v5) packet.properties = decodeProperties(reader, type);
      if (v5 || type === 'SUBACK') packet.reasons = checked(type, version, [...reader.rest()]);
      break;
    case 'PINGRESP':
      break;
    case 'DISCONNECT':
    case 'AUTH':
      if (!v5) throw new Error(`malformed: ${type} of a server`);
      packet.reasons = reader.left > 0 ? reason() : [0];
      if (reader.left > 0) packet.properties = decodeProperties(reader, type);
      break;
    default:
      throw new Error(`malformed: ${type} of a server`);
  }
  reader.end();
  return packet;
}

function checked(type: TypeName, version: Level, reasons: readonly number[]): readonly number[] {
  const unknown = reasons.find((code) => !reasonsOf(type, version).includes(code));
  if (unknown !== undefined) throw new Error(`malformed: ${type} with reason ${hex(unknown)}`);
  return reasons;
}

function nonZero(type: TypeName, packetId: number): number {
  if (packetId === 0) throw new Error(`malformed: ${type} with packet identifier 0`);
  return packetId;
}

export function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`;
}
