// Puts RFC 6455 frame headers (§5.2, unmasked, as a server sends) around what a front-end writes into an outbox. Room
// for a header is left before the bytes, and the header is filled in when their number is known: at a message's end,
// or as a fragment where a slab is full or a body goes by reference. So the front-end writes into the slab as for TCP.

import { MESSAGE_KIND, type MessageKind } from './message-kind.ts';

/** In front of each fragment. One in a slab has less than 64 KiB, so that 16 bits of length are enough. */
const HEADER_ROOM_BYTES = 4;
/** The longest header, before a body by reference. */
const MAX_HEADER_BYTES = 10;
/** Lengths up to here stand in the second byte itself. */
const MAX_SHORT_LENGTH = 125;

const FIN = 0x80;
const CONTINUATION = 0;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** The part of an outbox that framing works on. */
interface Framed {
  buffer: Buffer;
  position: number;
  readonly room: number;
  /** The next `reserve` takes a new slab. */
  closeSlab(): void;
}

export class WebSocketFraming {
  /** Room that a new slab needs beyond what the writer asked for. */
  readonly headerRoomBytes = HEADER_ROOM_BYTES;
  /** Room that a reference needs in the slab before it. */
  readonly referenceRoomBytes = HEADER_ROOM_BYTES + MAX_HEADER_BYTES;
  kind: MessageKind;
  /** Whether fragments of a message went out whose end has not. */
  midMessage: boolean;
  /** Messages need not hold whole frames of the protocol above, so that each fragment is a message of its own. */
  private readonly byteStream: boolean;
  /** Where the open fragment's payload begins in the slab; 0 where none is open. */
  private payloadAt: number;

  constructor(byteStream: boolean) {
    this.kind = MESSAGE_KIND.binary;
    this.midMessage = false;
    this.byteStream = byteStream;
    this.payloadAt = 0;
  }

  /** Leaves room for a header. */
  open(outbox: Framed): void {
    if (outbox.room <= HEADER_ROOM_BYTES) {
      outbox.closeSlab();
      return;
    }
    outbox.position += HEADER_ROOM_BYTES;
    this.payloadAt = outbox.position;
  }

  /** Ends the open fragment, and with `final` the message. Nothing was written: nothing is left of it. */
  close(outbox: Framed, final: boolean): void {
    const { buffer } = outbox;
    const { payloadAt } = this;
    if (payloadAt === 0) return;
    this.payloadAt = 0;
    const headerAt = payloadAt - HEADER_ROOM_BYTES;
    const length = outbox.position - payloadAt;
    if (length === 0) {
      outbox.position = headerAt;
      if (!final || !this.midMessage) return;
    }
    const first = this.firstByte(final);
    buffer[headerAt] = first;
    if (length <= MAX_SHORT_LENGTH) {
      buffer[headerAt + 1] = length;
      buffer.copyWithin(headerAt + 2, payloadAt, payloadAt + length);
      outbox.position = headerAt + 2 + length;
    } else {
      buffer[headerAt + 1] = LENGTH_16;
      buffer[headerAt + 2] = length >>> 8;
      buffer[headerAt + 3] = length & 0xff;
    }
  }

  /** Writes the header of a fragment whose payload follows by reference. `referenceRoomBytes` were reserved. */
  refer(outbox: Framed, length: number): void {
    this.close(outbox, false);
    const { buffer } = outbox;
    let at = outbox.position;
    buffer[at++] = this.firstByte(false);
    if (length < 0x10000) {
      buffer[at++] = LENGTH_16;
      at = buffer.writeUInt16BE(length, at);
    } else {
      buffer[at++] = LENGTH_64;
      at = buffer.writeUInt32BE(Math.floor(length / 0x100000000), at);
      at = buffer.writeUInt32BE(length >>> 0, at);
    }
    outbox.position = at;
  }

  /** A control frame (§5.5) between messages; its payload has at most 125 bytes, and room for all was reserved. */
  control(outbox: Framed, opcode: number, payload: Buffer): void {
    this.close(outbox, true);
    const { buffer } = outbox;
    buffer[outbox.position] = FIN | opcode;
    buffer[outbox.position + 1] = payload.length;
    payload.copy(buffer, outbox.position + 2);
    outbox.position += 2 + payload.length;
    this.open(outbox);
  }

  /** The open fragment, and all that was not sent of its message, are dropped. No part of the message was sent. */
  discard(): void {
    this.payloadAt = 0;
    this.midMessage = false;
  }

  private firstByte(final: boolean): number {
    const opcode = this.midMessage ? CONTINUATION : this.kind;
    const ends = final || this.byteStream;
    this.midMessage = !ends;
    return ends ? FIN | opcode : opcode;
  }
}
