// MQTT packets for the rule-breaking proxy. Packets are split by their length alone and keep their bytes, because
// checks send malformed ones. A packet that a mutation changes is decoded into fields and encoded again, if it can be
// decoded.

import type { PacketFormat, Splitter } from '../../mutations/mutation.ts';
import { ByteReader, ByteWriter } from '../wire/bytes.ts';
import {
  encodeConnect,
  encodePublish,
  encodeSubscribe,
  encodeUnsubscribe,
  frame,
  LEVEL,
  type Level,
  TYPE,
  type TypeName,
} from '../wire/packets.ts';

export interface MqttPacket {
  readonly bytes: Buffer;
  /** Null for bytes that cannot be split into packets. */
  readonly type: TypeName | null;
  readonly flags: number;
  readonly body: Buffer;
}

/** One property: its identifier, and its bytes including the identifier. */
export interface RawProperty {
  readonly id: number;
  readonly bytes: Buffer;
}

export interface Connect {
  readonly name: string;
  readonly level: number;
  readonly flags: number;
  readonly keepAlive: number;
  readonly properties: readonly RawProperty[];
  readonly clientId: string;
  readonly will: Will | null;
  readonly user: string | null;
  readonly password: string | null;
}
export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly properties: readonly RawProperty[];
}
export interface Publish {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 0 if absent. */
  readonly packetId: number;
  readonly properties: readonly RawProperty[];
}
export interface Subscribe {
  readonly packetId: number;
  readonly properties: readonly RawProperty[];
  readonly filters: readonly { readonly filter: string; readonly options: number }[];
}
/** CONNACK (its flags are in `packetId`), acknowledgements, SUBACK, UNSUBACK and DISCONNECT. */
export interface Answer {
  readonly packetId: number;
  readonly reasons: readonly number[];
  readonly properties: readonly RawProperty[];
}

const TYPE_NAMES = Object.keys(TYPE) as TypeName[];
const NOTHING = Buffer.alloc(0);

export function packetOf(bytes: Buffer): MqttPacket {
  const first = bytes[0]!;
  let at = 1;
  while (bytes[at]! >= 0x80) at++;
  return { bytes, type: TYPE_NAMES[(first >> 4) - 1] ?? null, flags: first & 0x0f, body: bytes.subarray(at + 1) };
}

function opaque(bytes: Buffer): MqttPacket {
  return { bytes, type: null, flags: 0, body: NOTHING };
}

class PacketSplitter implements Splitter<MqttPacket> {
  private left: Buffer;
  /** Set after an invalid length: later bytes are passed on without splitting. */
  private foreign: boolean;

  constructor() {
    this.left = NOTHING;
    this.foreign = false;
  }

  split(chunk: Buffer): readonly MqttPacket[] {
    if (this.foreign) return [opaque(chunk)];
    this.left = Buffer.concat([this.left, chunk]);
    const packets: MqttPacket[] = [];
    for (let size = sizeOf(this.left); size !== null; size = sizeOf(this.left)) {
      if (size === 0) {
        this.foreign = true;
        packets.push(opaque(this.left));
        this.left = NOTHING;
        break;
      }
      packets.push(packetOf(this.left.subarray(0, size)));
      this.left = this.left.subarray(size);
    }
    return packets;
  }
}

/** Size of the first packet; null if it is incomplete, 0 if its length is invalid. */
function sizeOf(bytes: Buffer): number | null {
  let length = 0;
  for (let at = 1; at <= 4; at++) {
    const digit = bytes[at];
    if (digit === undefined) return null;
    length += (digit & 0x7f) * 128 ** (at - 1);
    if (digit < 0x80) return bytes.length < at + 1 + length ? null : at + 1 + length;
  }
  return 0;
}

export const MQTT_FORMAT: PacketFormat<MqttPacket> = {
  client: () => new PacketSplitter(),
  broker: () => new PacketSplitter(),
};

/** The result of `read`, or null if the body is malformed. */
export function readable<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Size of a property's value in bytes, by its identifier (5.0 §2.2.2.2). */
function valueSize(id: number, reader: ByteReader): number {
  if ([0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a].includes(id)) return 1;
  if ([0x13, 0x21, 0x22, 0x23].includes(id)) return 2;
  if ([0x02, 0x11, 0x18, 0x27].includes(id)) return 4;
  throw new Error(`property ${id} with ${reader.left} bytes left`);
}

function readProperties(reader: ByteReader): RawProperty[] {
  const block = new ByteReader(reader.take(reader.variable()));
  const properties: RawProperty[] = [];
  while (block.left > 0) {
    const id = block.byte();
    const writer = new ByteWriter().byte(id);
    if (id === 0x0b) writer.variable(block.variable());
    else if ([0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1a, 0x1c, 0x1f].includes(id)) writer.string(block.binary());
    else if (id === 0x26) writer.string(block.binary()).string(block.binary());
    else writer.append(block.take(valueSize(id, block)));
    properties.push({ id, bytes: writer.done() });
  }
  return properties;
}

/** The properties whose identifier is not in `ids`. */
export const without = (properties: readonly RawProperty[], ...ids: number[]): RawProperty[] => {
  return properties.filter(({ id }) => !ids.includes(id));
};

const bytesOf = (properties: readonly RawProperty[]): Buffer[] => properties.map(({ bytes }) => bytes);

export function readConnect({ body }: MqttPacket): Connect {
  const reader = new ByteReader(body);
  const name = reader.string();
  const level = reader.byte();
  const flags = reader.byte();
  const keepAlive = reader.short();
  const properties = level === LEVEL.v5 ? readProperties(reader) : [];
  const clientId = reader.string();
  let will: Will | null = null;
  if ((flags & 4) !== 0) {
    const willProperties = level === LEVEL.v5 ? readProperties(reader) : [];
    const topic = reader.string();
    const payload = reader.binary();
    will = { topic, payload, qos: (flags >> 3) & 3, retain: (flags & 0x20) !== 0, properties: willProperties };
  }
  const user = (flags & 0x80) !== 0 ? reader.string() : null;
  const password = (flags & 0x40) !== 0 ? reader.string() : null;
  reader.end();
  return { name, level, flags, keepAlive, properties, clientId, will, user, password };
}

/** Decodes a CONNECT; null if it is another packet or malformed. */
export function connectIn(packet: MqttPacket): Connect | null {
  return packet.type === 'CONNECT' ? readable(() => readConnect(packet)) : null;
}

export function writeConnect(connect: Connect): MqttPacket {
  const { name, level, flags, keepAlive, properties, clientId, will, user, password } = connect;
  const options = {
    name,
    level,
    clean: (flags & 2) !== 0,
    keepAlive,
    clientId,
    user,
    password,
    properties: bytesOf(properties),
    ...(will === null ? {} : { will: { ...will, qos: will.qos as 0, properties: bytesOf(will.properties) } }),
  };
  return packetOf(encodeConnect(level === LEVEL.v5 ? LEVEL.v5 : LEVEL.v3, options));
}

export function readPublish({ flags, body }: MqttPacket, version: Level): Publish {
  const reader = new ByteReader(body);
  const topic = reader.string();
  const qos = (flags >> 1) & 3;
  const packetId = qos > 0 ? reader.short() : 0;
  const properties = version === LEVEL.v5 ? readProperties(reader) : [];
  return {
    topic,
    payload: reader.rest(),
    qos,
    retain: (flags & 1) !== 0,
    dup: (flags & 8) !== 0,
    packetId,
    properties,
  };
}

/** Decodes a PUBLISH; null if it is another packet or malformed. */
export function publishIn(packet: MqttPacket, version: Level): Publish | null {
  return packet.type === 'PUBLISH' ? readable(() => readPublish(packet, version)) : null;
}

export function writePublish({ packetId, properties, ...rest }: Publish, version: Level): MqttPacket {
  const id = rest.qos > 0 ? { packetId } : {};
  return packetOf(encodePublish(version, { ...rest, ...id, properties: bytesOf(properties) }));
}

/** Decodes a SUBSCRIBE, or an UNSUBSCRIBE, whose filters then have default options. */
export function readSubscribe({ type, body }: MqttPacket, version: Level): Subscribe {
  const reader = new ByteReader(body);
  const packetId = reader.short();
  const properties = version === LEVEL.v5 ? readProperties(reader) : [];
  const filters: { filter: string; options: number }[] = [];
  while (reader.left > 0) {
    filters.push({ filter: reader.string(), options: type === 'SUBSCRIBE' ? reader.byte() : 0 });
  }
  return { packetId, properties, filters };
}

/** Decodes a SUBSCRIBE or UNSUBSCRIBE; null if it is another packet or malformed. */
export function subscribeIn(packet: MqttPacket, version: Level): Subscribe | null {
  return packet.type === 'SUBSCRIBE' ? readable(() => readSubscribe(packet, version)) : null;
}

export function writeSubscribe({ packetId, properties, filters }: Subscribe, version: Level): MqttPacket {
  return packetOf(encodeSubscribe(version, packetId, filters, bytesOf(properties)));
}

export function writeUnsubscribe({ packetId, properties, filters }: Subscribe, version: Level): MqttPacket {
  return packetOf(
    encodeUnsubscribe(
      version,
      packetId,
      filters.map(({ filter }) => filter),
      bytesOf(properties),
    ),
  );
}

export function readAnswer({ type, body }: MqttPacket, version: Level): Answer {
  const reader = new ByteReader(body);
  const v5 = version === LEVEL.v5;
  const packetId = type === 'CONNACK' ? reader.byte() : type === 'DISCONNECT' || type === 'AUTH' ? 0 : reader.short();
  if (type === 'SUBACK' || type === 'UNSUBACK') {
    const properties = v5 ? readProperties(reader) : [];
    return { packetId, properties, reasons: [...reader.rest()] };
  }
  const reasons = reader.left > 0 ? [reader.byte()] : [0];
  return { packetId, reasons, properties: v5 && reader.left > 0 ? readProperties(reader) : [] };
}

export function writeAnswer(type: TypeName, { packetId, reasons, properties }: Answer, version: Level): MqttPacket {
  const v5 = version === LEVEL.v5;
  const writer = new ByteWriter();
  if (type === 'CONNACK') writer.byte(packetId);
  else if (type !== 'DISCONNECT' && type !== 'AUTH') writer.short(packetId);
  const block = Buffer.concat(bytesOf(properties));
  const list = type === 'SUBACK' || type === 'UNSUBACK';
  if (list && v5) writer.variable(block.length).append(block);
  if (v5 || type === 'CONNACK' || type === 'SUBACK') writer.append(Buffer.from(reasons));
  if (!list && v5) writer.variable(block.length).append(block);
  return packetOf(frame(type, writer.done()));
}
