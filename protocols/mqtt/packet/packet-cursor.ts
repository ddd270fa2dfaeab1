// A position in the content of one control packet, which moves on as the packet is read: every value is checked and taken
// in one step. It never goes beyond the packet's end; what is missing or ill-formed throws MalformedPacket. The readers of
// control packets (connect-packet.ts, control.ts) make one for each packet.

import { MalformedPacket } from './errors.ts';
import type { Allowed, PropertyScanner } from './properties.ts';
import { isMqttText } from './utf8.ts';

export class PacketCursor {
  readonly buffer: Buffer;
  private readonly end: number;
  private at: number;

  /** The content of the packet is [body, end). */
  constructor(buffer: Buffer, body: number, end: number) {
    this.buffer = buffer;
    this.end = end;
    this.at = body;
  }

  get atEnd(): boolean {
    return this.at === this.end;
  }

  /** Throws MalformedPacket with that message unless the packet ends here. */
  requireEnd(message: string): void {
    if (this.at !== this.end) throw new MalformedPacket(message);
  }

  /** One byte (§1.5.1). `message` says what is wrong where there is none. */
  byte(message: string): number {
    if (this.at === this.end) throw new MalformedPacket(message);
    return this.buffer[this.at++]!;
  }

  /** A two byte integer (§1.5.2). `message` says what is wrong where there is none. */
  u16(message: string): number {
    const { at } = this;
    if (at + 2 > this.end) throw new MalformedPacket(message);
    this.at = at + 2;
    return (this.buffer[at]! << 8) | this.buffer[at + 1]!;
  }

  /** Binary data: a u16 length and that many bytes (MQTT 5 §1.5.6), as a view of the packet. `name` is for the error. */
  bytes(name: string): Buffer {
    const from = this.behindBytes(name);
    return this.buffer.subarray(from, this.at);
  }

  /** Text: a u16 length and UTF-8 (§1.5.3) [MQTT-1.5.3-1] [MQTT-1.5.3-2]. `name` is for the error. */
  text(name: string): string {
    const from = this.behindBytes(name);
    if (!isMqttText(this.buffer, from, this.at)) {
      throw new MalformedPacket(`a ${name} that is not UTF-8 text [MQTT-1.5.3-1]`);
    }
    return this.buffer.toString('utf8', from, this.at);
  }

  /** A property block (MQTT 5 §2.2.2), left in `scanner`. */
  properties(scanner: PropertyScanner, allowed: Allowed): void {
    this.at = scanner.scan(this.buffer, this.at, this.end, allowed);
  }

  /** Goes behind a u16 length and that many bytes, and gives the position of the first of them. */
  private behindBytes(name: string): number {
    const length = this.u16(`no ${name}`);
    const from = this.at;
    if (from + length > this.end) throw new MalformedPacket(`a ${name} that is longer than its packet`);
    this.at = from + length;
    return from;
  }
}
