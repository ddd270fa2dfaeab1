// The property blocks of MQTT 5 (§2.2.2): which properties there are, which packet may carry which, and the one walk that
// validates a block and remembers where its values are. One scanner serves all connections and allocates nothing.
//
//   block     length: variable byte integer | property*
//   property  identifier: variable byte integer (one byte for all there are) | value
//   value     byte, u16, u32, variable byte integer, text (u16 length, UTF-8), bytes (u16 length), or pair (two texts)
//
// A property that its packet may not carry is malformed; one that stands twice is a protocol error, the user property
// (and, towards a client, the subscription identifier) excepted [MQTT-3.1.2-*, MQTT-3.3.2-*].

import { MalformedPacket } from './errors.ts';
import { REASON } from './reason-codes.ts';
import { isMqttText } from './utf8.ts';

export const PROPERTY = {
  payloadFormat: 1,
  messageExpiry: 2,
  contentType: 3,
  responseTopic: 8,
  correlationData: 9,
  subscriptionId: 11,
  sessionExpiry: 17,
  assignedClientId: 18,
  serverKeepAlive: 19,
  authenticationMethod: 21,
  authenticationData: 22,
  requestProblemInformation: 23,
  willDelay: 24,
  requestResponseInformation: 25,
  responseInformation: 26,
  serverReference: 28,
  reasonString: 31,
  receiveMaximum: 33,
  topicAliasMaximum: 34,
  topicAlias: 35,
  maximumQos: 36,
  retainAvailable: 37,
  userProperty: 38,
  maximumPacketSize: 39,
  wildcardsAvailable: 40,
  subscriptionIdsAvailable: 41,
  sharedAvailable: 42,
} as const;

const TYPE = { none: 0, byte: 1, u16: 2, u32: 3, variable: 4, text: 5, bytes: 6, pair: 7 } as const;
const COUNT = 43;

/** The types of the properties that clients send, by identifier. */
const TYPES = new Uint8Array(COUNT);
for (const [id, type] of [
  [PROPERTY.payloadFormat, TYPE.byte],
  [PROPERTY.messageExpiry, TYPE.u32],
  [PROPERTY.contentType, TYPE.text],
  [PROPERTY.responseTopic, TYPE.text],
  [PROPERTY.correlationData, TYPE.bytes],
  [PROPERTY.subscriptionId, TYPE.variable],
  [PROPERTY.sessionExpiry, TYPE.u32],
  [PROPERTY.authenticationMethod, TYPE.text],
  [PROPERTY.authenticationData, TYPE.bytes],
  [PROPERTY.requestProblemInformation, TYPE.byte],
  [PROPERTY.willDelay, TYPE.u32],
  [PROPERTY.requestResponseInformation, TYPE.byte],
  [PROPERTY.reasonString, TYPE.text],
  [PROPERTY.receiveMaximum, TYPE.u16],
  [PROPERTY.topicAliasMaximum, TYPE.u16],
  [PROPERTY.topicAlias, TYPE.u16],
  [PROPERTY.userProperty, TYPE.pair],
  [PROPERTY.maximumPacketSize, TYPE.u32],
] as const) {
  TYPES[id] = type;
}

/** What a packet from a client may carry: a flag for each identifier. */
export type Allowed = Uint8Array;

function allow(...ids: readonly number[]): Allowed {
  const allowed = new Uint8Array(COUNT);
  for (const id of [PROPERTY.userProperty, ...ids]) allowed[id] = 1;
  return allowed;
}

const {
  payloadFormat,
  messageExpiry,
  contentType,
  responseTopic,
  correlationData,
  reasonString,
  authenticationMethod,
  authenticationData,
} = PROPERTY;

/** By packet (MQTT 5 table 2-4). */
export const ALLOWED = {
  connect: allow(
    PROPERTY.sessionExpiry,
    PROPERTY.receiveMaximum,
    PROPERTY.maximumPacketSize,
    PROPERTY.topicAliasMaximum,
    PROPERTY.requestResponseInformation,
    PROPERTY.requestProblemInformation,
    authenticationMethod,
    authenticationData,
  ),
  will: allow(PROPERTY.willDelay, payloadFormat, messageExpiry, contentType, responseTopic, correlationData),
  publish: allow(payloadFormat, messageExpiry, PROPERTY.topicAlias, contentType, responseTopic, correlationData),
  acknowledgement: allow(reasonString),
  subscribe: allow(PROPERTY.subscriptionId),
  unsubscribe: allow(),
  disconnect: allow(PROPERTY.sessionExpiry, reasonString),
  auth: allow(authenticationMethod, authenticationData, reasonString),
} as const satisfies Record<string, Allowed>;

/** Property identifiers whose byte is a boolean. */
function isFlag(id: number): boolean {
  return (
    id === PROPERTY.payloadFormat ||
    id === PROPERTY.requestProblemInformation ||
    id === PROPERTY.requestResponseInformation
  );
}

/** Reads one block at a time; what it found is valid until the next `scan`. */
export class PropertyScanner {
  /** The properties without their length. */
  start: number;
  end: number;
  /** Which identifiers were there, and for each the number, or the position and length of text or bytes. */
  private readonly seen: Uint8Array;
  private readonly numbers: Float64Array;
  private readonly lengths: Uint16Array;
  private found: number[];
  private readonly mostBytes: number;

  /** `mostBytes`: a longer block is refused before it is looked at. */
  constructor(mostBytes: number) {
    this.mostBytes = mostBytes;
    this.start = 0;
    this.end = 0;
    this.seen = new Uint8Array(COUNT);
    this.numbers = new Float64Array(COUNT);
    this.lengths = new Uint16Array(COUNT);
    this.found = [];
  }

  /** Scans the block at `at`, which ends before `limit`, and gives the position behind it. Throws MalformedPacket. */
  scan(buffer: Buffer, at: number, limit: number, allowed: Allowed): number {
    for (let i = 0; i < this.found.length; i++) this.seen[this.found[i]!] = 0;
    this.found.length = 0;
    const start = behindVariable(buffer, at, limit);
    const end = start + variableAt(buffer, at, start);
    if (end > limit) throw new MalformedPacket('a property block that is longer than its packet');
    if (end - start > this.mostBytes) {
      const why = `properties of ${end - start} bytes are over the limit`;
      throw new MalformedPacket(why, REASON.quotaExceeded, 'mqtt.propertyBytes');
    }
    this.start = start;
    this.end = end;
    for (let position = start; position < end; ) position = this.property(buffer, position, end, allowed);
    return end;
  }

  has(id: number): boolean {
    return this.seen[id] === 1;
  }

  /** The value of a numeric property, or `otherwise` where it was not there. */
  number(id: number, otherwise: number): number {
    return this.seen[id] === 1 ? this.numbers[id]! : otherwise;
  }

  text(buffer: Buffer, id: number): string | null {
    if (this.seen[id] === 0) return null;
    const at = this.numbers[id]!;
    return buffer.toString('utf8', at, at + this.lengths[id]!);
  }

  bytes(buffer: Buffer, id: number): Buffer | null {
    if (this.seen[id] === 0) return null;
    const at = this.numbers[id]!;
    return Buffer.from(buffer.subarray(at, at + this.lengths[id]!));
  }

  private property(buffer: Buffer, at: number, end: number, allowed: Allowed): number {
    const id = buffer[at]!;
    if (id >= COUNT || allowed[id] === 0) throw new MalformedPacket(`property ${id} does not belong here`);
    if (id !== PROPERTY.userProperty) {
      if (this.seen[id] === 1) throw new MalformedPacket(`property ${id} stands twice`, REASON.protocolError);
      this.seen[id] = 1;
      this.found.push(id);
    }
    const value = at + 1;
    switch (TYPES[id]) {
      case TYPE.byte: {
        if (value >= end) throw cutOff(id);
        const byte = buffer[value]!;
        if (byte > 1 && isFlag(id)) throw new MalformedPacket(`property ${id} is ${byte}`, REASON.protocolError);
        this.numbers[id] = byte;
        return value + 1;
      }
      case TYPE.u16:
        if (value + 2 > end) throw cutOff(id);
        this.numbers[id] = buffer.readUInt16BE(value);
        return value + 2;
      case TYPE.u32:
        if (value + 4 > end) throw cutOff(id);
        this.numbers[id] = buffer.readUInt32BE(value);
        return value + 4;
      case TYPE.variable: {
        const behind = behindVariable(buffer, value, end);
        this.numbers[id] = variableAt(buffer, value, behind);
        return behind;
      }
      case TYPE.text: {
        const behind = behindText(buffer, value, end, id);
        this.numbers[id] = value + 2;
        this.lengths[id] = behind - value - 2;
        return behind;
      }
      case TYPE.bytes: {
        const behind = behindBytes(buffer, value, end, id);
        this.numbers[id] = value + 2;
        this.lengths[id] = behind - value - 2;
        return behind;
      }
      default:
        return behindText(buffer, behindText(buffer, value, end, id), end, id);
    }
  }
}

function behindBytes(buffer: Buffer, at: number, end: number, id: number): number {
  if (at + 2 > end) throw cutOff(id);
  const behind = at + 2 + ((buffer[at]! << 8) | buffer[at + 1]!);
  if (behind > end) throw cutOff(id);
  return behind;
}

function behindText(buffer: Buffer, at: number, end: number, id: number): number {
  const behind = behindBytes(buffer, at, end, id);
  if (!isMqttText(buffer, at + 2, behind)) {
    throw new MalformedPacket(`property ${id} is not UTF-8 text [MQTT-1.5.4-1] [MQTT-1.5.4-2]`);
  }
  return behind;
}

/** The position behind a variable byte integer in its shortest form [MQTT-1.5.5-1]. Throws MalformedPacket. */
export function behindVariable(buffer: Buffer, at: number, end: number): number {
  for (let behind = at; behind < end && behind < at + 4; behind++) {
    const byte = buffer[behind]!;
    if (byte > 127) continue;
    if (byte === 0 && behind > at) throw new MalformedPacket('a variable byte integer is not in its shortest form');
    return behind + 1;
  }
  throw new MalformedPacket('a variable byte integer that does not end');
}

/** Its value, given the position behind it. */
export function variableAt(buffer: Buffer, at: number, behind: number): number {
  let value = 0;
  for (let i = behind - 1; i >= at; i--) value = value * 128 + (buffer[i]! & 127);
  return value;
}

/** Bytes that a variable byte integer takes. */
export function variableBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  return value < 0x200000 ? 3 : 4;
}

/** Writes a variable byte integer and gives the position behind it. */
export function writeVariable(target: Buffer, position: number, value: number): number {
  let at = position;
  let rest = value;
  while (rest > 127) {
    target[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  target[at++] = rest;
  return at;
}

function cutOff(id: number): MalformedPacket {
  return new MalformedPacket(`property ${id} is cut off`);
}
