// Frames of AMQP 0-9-1 (§4.2.3) and their payloads: methods and content headers. Encodes them, and decodes them strictly:
// a frame without its end octet, an unknown property flag, or a trailing byte is an error.
//
//   frame  = type(octet) channel(short) size(long) payload end(0xCE)
//   method = class-id(short) method-id(short) fields
//   header = class-id(short) weight(short) body-size(longlong) property-flags property-list

import { ByteReader, ByteWriter } from './bytes.ts';
import {
  type Args,
  type FieldType,
  type FieldValues,
  METHODS,
  type MethodName,
  methodName,
  PROPERTIES,
  type Properties,
} from './methods.ts';
import { decodeTable, encodeTable, type Table } from './table.ts';

export const FRAME = { method: 1, header: 2, body: 3, heartbeat: 8 } as const;
/** Type, channel, size, and the end octet. */
export const FRAME_OVERHEAD = 8;
export const FRAME_END = 0xce;
export const BASIC = 60;

/** `AMQP`, 0, and the version. */
export const PROTOCOL_HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);

export interface Frame {
  readonly type: number;
  readonly channel: number;
  readonly payload: Buffer;
}

export interface ContentHeader {
  readonly bodySize: bigint;
  readonly properties: Properties;
}

export function encodeFrame(type: number, channel: number, payload: Uint8Array): Buffer {
  const out = new ByteWriter();
  out.octet(type);
  out.short(channel);
  out.long(payload.length);
  out.append(payload);
  out.octet(FRAME_END);
  return out.done();
}

/** The first frame of the bytes, or null if it is incomplete. Throws on a wrong end octet. */
export function firstFrame(bytes: Buffer): Frame | null {
  if (bytes.length < FRAME_OVERHEAD) return null;
  const size = bytes.readUInt32BE(3);
  if (bytes.length < size + FRAME_OVERHEAD) return null;
  if (bytes[7 + size] !== FRAME_END) throw new Error(`malformed: a frame ends in ${bytes[7 + size]}, not in 0xCE`);
  return { type: bytes[0]!, channel: bytes.readUInt16BE(1), payload: bytes.subarray(7, 7 + size) };
}

/** A method's payload. Fields that are not given are 0, false or empty. */
export function encodeMethod<N extends MethodName>(name: N, args: Partial<Args<N>>): Buffer {
  const { classId, methodId, fields } = METHODS[name];
  const out = new ByteWriter();
  out.short(classId);
  out.short(methodId);
  for (const [field, type] of Object.entries(fields) as [keyof Args<N>, FieldType][]) {
    writeField(out, type, args[field]);
  }
  return out.done();
}

export function decodeMethod(payload: Buffer): { name: MethodName; args: Record<string, unknown> } {
  const input = new ByteReader(payload);
  const classId = input.short();
  const methodId = input.short();
  const name = methodName(classId, methodId);
  if (name === null) throw new Error(`malformed: no method ${classId}.${methodId}`);
  const args: Record<string, unknown> = {};
  for (const [field, type] of Object.entries(METHODS[name].fields) as [string, FieldType][]) {
    args[field] = readField(input, type);
  }
  input.end();
  return { name, args };
}

export function encodeHeader(bodySize: number | bigint, properties: Properties, classId = BASIC): Buffer {
  const out = new ByteWriter();
  const list = new ByteWriter();
  let flags = 0;
  (Object.entries(PROPERTIES) as [keyof Properties, FieldType][]).forEach(([name, type], index) => {
    const value = properties[name];
    if (value === undefined) return;
    flags |= 0x8000 >> index;
    writeField(list, type, value);
  });
  out.short(classId);
  out.short(0);
  out.longlong(BigInt(bodySize));
  out.short(flags);
  out.append(list.done());
  return out.done();
}

export function decodeHeader(payload: Buffer): ContentHeader {
  const input = new ByteReader(payload);
  const classId = input.short();
  if (classId !== BASIC) throw new Error(`malformed: a content header of class ${classId}`);
  const weight = input.short();
  if (weight !== 0) throw new Error(`malformed: a content header of weight ${weight}`);
  const bodySize = input.longlong();
  // The last bit of a word announces another one; no property uses the bits of that word.
  const flags = input.short();
  for (let word = flags; (word & 1) !== 0; ) {
    word = input.short();
    if ((word & 0xfffe) !== 0) throw new Error(`malformed: property flags ${word.toString(2)}`);
  }
  if ((flags & 2) !== 0) throw new Error(`malformed: property flags ${flags.toString(2)}`);
  const properties: Record<string, unknown> = {};
  Object.entries(PROPERTIES).forEach(([name, type], index) => {
    if ((flags & (0x8000 >> index)) !== 0) properties[name] = readField(input, type);
  });
  input.end();
  return { bodySize, properties };
}

function writeField(out: ByteWriter, kind: FieldType, value: unknown): void {
  switch (kind) {
    case 'bit':
      out.bit((value ?? false) as boolean);
      break;
    case 'octet':
      out.octet((value ?? 0) as number);
      break;
    case 'short':
      out.short((value ?? 0) as number);
      break;
    case 'long':
      out.long((value ?? 0) as number);
      break;
    case 'longlong':
      out.longlong((value ?? 0n) as bigint);
      break;
    case 'shortstr':
      out.shortstr((value ?? '') as string);
      break;
    case 'longstr':
      out.longstr((value ?? '') as string);
      break;
    case 'table':
      out.longstr(encodeTable((value ?? {}) as Table));
      break;
    default:
      kind satisfies never;
  }
}

function readField(input: ByteReader, type: FieldType): FieldValues[FieldType] {
  return type === 'table' ? decodeTable(input.bytes()) : input[type]();
}
