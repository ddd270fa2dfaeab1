// PUBLISH and the acknowledgements, the packets of the hot path, read and written. Reading allocates nothing: one reader
// serves all connections and holds positions in the chunk.
//
//   PUBLISH   0011 dup qos qos retain | remaining length | topic: u16 length, UTF-8 | packet id: u16, QoS > 0 only |
//             payload: the rest                                                          MQTT 3.1.1 §3.3
//   PUBACK, PUBREC, PUBREL, PUBCOMP   type, flags | 2 | packet id: u16                   §3.4 to §3.7
//
// MQTT 5 has a property block before the payload of PUBLISH, and acknowledgements may go on with a reason code and one.

import { MalformedPacket } from './errors.ts';
import { ALLOWED, PROPERTY, type PropertyScanner } from './properties.ts';
import { FIRST_FAILURE, REASON } from './reason-codes.ts';

/** Where the parts of one PUBLISH are. Valid until the next `read`. */
export class PublishReader {
  qos: number;
  retain: boolean;
  duplicate: boolean;
  topicStart: number;
  topicLength: number;
  /** 0 at QoS 0. */
  packetId: number;
  payloadStart: number;

  constructor() {
    this.qos = 0;
    this.retain = false;
    this.duplicate = false;
    this.topicStart = 0;
    this.topicLength = 0;
    this.packetId = 0;
    this.payloadStart = 0;
  }

  /** Reads the packet with that first byte and its content in [body, end). Throws MalformedPacket. */
  read(buffer: Buffer, firstByte: number, body: number, end: number): void {
    const qos = (firstByte >> 1) & 3;
    if (qos === 3) throw new MalformedPacket('a PUBLISH with QoS 3 [MQTT-3.3.1-4]');
    if (qos === 0 && (firstByte & 8) !== 0) throw new MalformedPacket('DUP on a QoS 0 PUBLISH [MQTT-3.3.1-2]');
    if (end - body < 2) throw new MalformedPacket('a PUBLISH without a topic');
    const topicLength = (buffer[body]! << 8) | buffer[body + 1]!;
    const topicStart = body + 2;
    let at = topicStart + topicLength;
    if (at > end) throw new MalformedPacket('a PUBLISH whose topic is longer than the packet');
    let packetId = 0;
    if (qos !== 0) {
      if (at + 2 > end) throw new MalformedPacket('a PUBLISH without its packet id');
      packetId = (buffer[at]! << 8) | buffer[at + 1]!;
      if (packetId === 0) throw new MalformedPacket('packet id 0 [MQTT-2.3.1-1]');
      at += 2;
    }
    this.qos = qos;
    this.retain = (firstByte & 1) !== 0;
    this.duplicate = (firstByte & 8) !== 0;
    this.topicStart = topicStart;
    this.topicLength = topicLength;
    this.packetId = packetId;
    this.payloadStart = at;
  }

  /** As `read`, of MQTT 5: leaves the properties in `scanner`. The topic may be empty, where there is a topic alias. */
  read5(buffer: Buffer, firstByte: number, body: number, end: number, scanner: PropertyScanner): void {
    this.read(buffer, firstByte, body, end);
    if (this.payloadStart >= end) throw new MalformedPacket('a PUBLISH without its properties');
    this.payloadStart = scanner.scan(buffer, this.payloadStart, end, ALLOWED.publish);
    if (scanner.number(PROPERTY.topicAlias, 1) === 0) {
      throw new MalformedPacket('topic alias 0 [MQTT-3.3.2-8]', REASON.topicAliasInvalid);
    }
  }
}

/** The reason codes that each acknowledgement may have from a client (§3.4.2.1, §3.5.2.1, §3.6.2.1, §3.7.2.1). */
const PUBLISH_REASONS: ReadonlySet<number> = new Set([
  REASON.success,
  REASON.noMatchingSubscribers,
  REASON.unspecified,
  REASON.implementationSpecific,
  REASON.notAuthorized,
  REASON.topicNameInvalid,
  REASON.packetIdInUse,
  REASON.quotaExceeded,
  REASON.payloadFormatInvalid,
]);
const RELEASE_REASONS: ReadonlySet<number> = new Set([REASON.success, REASON.packetIdNotFound]);

/** One acknowledgement of MQTT 5. Valid until the next `read`. */
export class AckReader {
  packetId: number;
  /** Whether its reason is a failure. */
  failed: boolean;
  private readonly scanner: PropertyScanner;

  constructor(scanner: PropertyScanner) {
    this.packetId = 0;
    this.failed = false;
    this.scanner = scanner;
  }

  /** `releases`: PUBREL or PUBCOMP. Throws MalformedPacket. */
  read(buffer: Buffer, body: number, end: number, releases: boolean): void {
    this.failed = false;
    if (end - body === 2) {
      this.packetId = readPacketId(buffer, body, end);
      return;
    }
    if (end - body < 2) throw new MalformedPacket('an acknowledgement without its packet id');
    this.packetId = readPacketId(buffer, body, body + 2);
    const reason = buffer[body + 2]!;
    if (!(releases ? RELEASE_REASONS : PUBLISH_REASONS).has(reason)) {
      throw new MalformedPacket(`reason code ${reason} in an acknowledgement`);
    }
    this.failed = reason >= FIRST_FAILURE;
    if (end - body === 3) return;
    if (this.scanner.scan(buffer, body + 3, end, ALLOWED.acknowledgement) !== end) {
      throw new MalformedPacket('bytes after the end of an acknowledgement');
    }
  }
}

/** The packet id of an acknowledgement with content [body, end). Throws MalformedPacket. */
export function readPacketId(buffer: Buffer, body: number, end: number): number {
  if (end - body !== 2) throw new MalformedPacket('an acknowledgement that is not two bytes long');
  const packetId = (buffer[body]! << 8) | buffer[body + 1]!;
  if (packetId === 0) throw new MalformedPacket('packet id 0 [MQTT-2.3.1-1]');
  return packetId;
}

/** Remaining length of a PUBLISH. */
export function publishLength(topicBytes: number, bodyBytes: number, qos: number): number {
  return 2 + topicBytes + (qos === 0 ? 0 : 2) + bodyBytes;
}

/** Bytes that first byte and remaining length take. */
export function headerBytes(remainingLength: number): number {
  if (remainingLength < 0x80) return 2;
  if (remainingLength < 0x4000) return 3;
  return remainingLength < 0x200000 ? 4 : 5;
}

/**
 * Writes everything of a PUBLISH but its payload and returns where the payload goes. `packetId` is 0 at QoS 0. The
 * caller made sure of the room: headerBytes + 2 + topic + 2.
 */
export function writePublishHead(
  target: Buffer,
  position: number,
  firstByte: number,
  topic: Buffer,
  packetId: number,
  remainingLength: number,
): number {
  let at = writeLength(target, position, firstByte, remainingLength);
  const topicBytes = topic.length;
  target[at] = topicBytes >> 8;
  target[at + 1] = topicBytes;
  at = copyBytes(topic, 0, topicBytes, target, at + 2);
  if (packetId !== 0) {
    target[at] = packetId >> 8;
    target[at + 1] = packetId;
    at += 2;
  }
  return at;
}

/** Writes first byte and remaining length and returns the position after them. */
export function writeLength(target: Buffer, position: number, firstByte: number, remainingLength: number): number {
  let at = position;
  target[at++] = firstByte;
  let rest = remainingLength;
  while (rest > 127) {
    target[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  target[at++] = rest;
  return at;
}

/** Writes a four-byte acknowledgement and returns the position after it. */
export function writeAck(target: Buffer, position: number, firstByte: number, packetId: number): number {
  target[position] = firstByte;
  target[position + 1] = 2;
  target[position + 2] = packetId >> 8;
  target[position + 3] = packetId;
  return position + 4;
}

/** Writes an acknowledgement with a reason code and returns the position after it (MQTT 5): five bytes. */
export function writeReason(
  target: Buffer,
  position: number,
  firstByte: number,
  packetId: number,
  reason: number,
): number {
  target[position] = firstByte;
  target[position + 1] = 3;
  target[position + 2] = packetId >> 8;
  target[position + 3] = packetId;
  target[position + 4] = reason;
  return position + 5;
}

/** Below this a loop copies faster than the native call does (16 bytes: 20 ns against 31, bench/mqtt-codec.ts). */
const LOOP_COPY_BYTES = 16;

/** Copies [start, end) and returns the position after it. */
function copyBytes(source: Buffer, start: number, end: number, target: Buffer, position: number): number {
  const length = end - start;
  if (length < LOOP_COPY_BYTES) for (let i = 0; i < length; i++) target[position + i] = source[start + i]!;
  else source.copy(target, position, start, end);
  return position + length;
}
