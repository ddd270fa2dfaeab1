// The encoded PUBLISH of the message that is being published, shared by its receivers. It is the publisher's own packet, if
// receivers get the same bytes, or else the packet that was encoded for the first receiver. So a delivery is one copy and
// a few bytes of the receiver's own. It is cleared after each publish: messages in queues have none. Used by the encoders.

import type { Message } from '../../../src/core/message/message.ts';
import type { Outbox } from '../../../src/net/outbox.ts';

/** Frames below this size are copied whole; of larger ones the body may go by reference. */
export const COPIED_FRAME_BYTES = 8 * 1024;

export class SharedFrame {
  /** Frames are encoded here. Writing to it may overwrite the shared frame: see `keepScratch` and `scratchOverwritten`. */
  readonly scratch: Buffer;
  /** The message whose frame is bytes [start, end) of `frame`, with its packet id at `idAt` (0: QoS 0). */
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

  /** Shares a packet that arrived as [start, end) of a chunk, until `clear`; a large one is not shared. */
  adopt(message: Message, chunk: Buffer, start: number, end: number, idAt: number): void {
    if (end - start > COPIED_FRAME_BYTES) return;
    this.message = message;
    this.frame = chunk;
    this.start = start;
    this.end = end;
    this.idAt = idAt;
  }

  /** Shares the frame that was encoded at the beginning of `scratch`. */
  keepScratch(message: Message, bytes: number, idAt: number): void {
    this.message = message;
    this.frame = this.scratch;
    this.start = 0;
    this.end = bytes;
    this.idAt = idAt;
  }

  /** The publish is over: lets go of its chunk. */
  clear(): void {
    this.message = null;
    this.frame = this.scratch;
  }

  /** `scratch` is overwritten with another frame. */
  scratchOverwritten(): void {
    if (this.frame === this.scratch) this.message = null;
  }

  /** Whether the frame is that of a message, with or without a packet id. */
  isOf(message: Message, withId: boolean): boolean {
    return message === this.message && withId === this.idAt > 0;
  }

  get bytes(): number {
    return this.end - this.start;
  }

  /** Writes the frame as it is. */
  append(outbox: Outbox): void {
    outbox.append(this.frame, this.start, this.end);
  }

  /** Writes the frame with another first byte and packet id (0: it has none). */
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
