// The frame of the message that is being published right now. A publish that arrived over MQTT as the bytes that its
// receivers get is taken over from its publisher; what is put together for a first receiver is kept for the others. So a
// delivery is one copy, and a few bytes that are the receiver's own. Nothing is remembered of messages that wait in queues.

import type { Message } from '../../../src/core/message/message.ts';
import type { Outbox } from '../../../src/net/outbox.ts';

/** Frames below this size are copied whole; of larger ones the body may go by reference. */
export const COPIED_FRAME_BYTES = 8 * 1024;

export class FrameAtHand {
  /** Where frames are put together. What is written here may overwrite the frame at hand: see `keep` and `spoil`. */
  readonly scratch: Buffer;
  /** The message whose frame is at hand, as bytes [start, end) of `frame`, its packet id at `idAt` (0: QoS 0). */
  private message: Message | null;
  private frame: Buffer;
  private start: number;
  private end: number;
  private idAt: number;

  constructor() {
    this.scratch = Buffer.allocUnsafeSlow(COPIED_FRAME_BYTES);
    this.message = null;
    this.frame = this.scratch;
    this.start = 0;
    this.end = 0;
    this.idAt = 0;
  }

  /** Takes a frame over that arrived as [start, end) of a chunk, until `done`; one that is large is left aside. */
  take(message: Message, chunk: Buffer, start: number, end: number, idAt: number): void {
    if (end - start > COPIED_FRAME_BYTES) return;
    this.message = message;
    this.frame = chunk;
    this.start = start;
    this.end = end;
    this.idAt = idAt;
  }

  /** Keeps the frame that was put together at the beginning of `scratch`. */
  keep(message: Message, bytes: number, idAt: number): void {
    this.message = message;
    this.frame = this.scratch;
    this.start = 0;
    this.end = bytes;
    this.idAt = idAt;
  }

  /** The publish is over: nothing of its chunk is kept. */
  done(): void {
    this.message = null;
    this.frame = this.scratch;
  }

  /** Something else is being written into `scratch`. */
  spoil(): void {
    if (this.frame === this.scratch) this.message = null;
  }

  /** Whether it is the frame of that message, with or without a packet id. */
  isOf(message: Message, counted: boolean): boolean {
    return message === this.message && counted === this.idAt > 0;
  }

  get bytes(): number {
    return this.end - this.start;
  }

  /** Writes it as it is. */
  append(outbox: Outbox): void {
    outbox.append(this.frame, this.start, this.end);
  }

  /** Writes it with another first byte and packet id (0 where it has none). */
  write(outbox: Outbox, firstByte: number, packetId: number): void {
    const bytes = this.end - this.start;
    outbox.reserve(bytes);
    const { buffer, position } = outbox;
    this.frame.copy(buffer, position, this.start, this.end);
    buffer[position] = firstByte;
    if (packetId !== 0) {
      const id = position + this.idAt - this.start;
      buffer[id] = packetId >> 8;
      buffer[id + 1] = packetId;
    }
    outbox.position = position + bytes;
  }
}
