// The output of one connection that is not yet handed to its socket: slabs that front-ends write small frames into, and
// references to large bodies, in order, flushed with one write a turn. It is the hottest object of the broker:
// `reserve` is one comparison if there is room. A slab returns to the pool when the write that carries it has ended,
// never earlier; an idle connection holds none. Invariant: an outbox that holds a slab has a flush scheduled.

import { SLAB_BYTES, type Slab, type SlabOwner, type SlabPool, SMALL_SLAB_BYTES } from './slab-pool.ts';
import type { WebSocketFraming } from './websocket-framing.ts';

/** Bodies of this size or more are sent by reference instead of being copied. */
export const REFERENCE_BYTES = 8 * 1024;

/** Below this a loop is faster than the call into C++ (bench/net.ts, `copy`). */
const COPY_BY_LOOP_BYTES = 32;

const NOTHING = Buffer.alloc(0);

export interface OutboxLimits {
  /** Unsent bytes at which `writable` becomes false. */
  readonly highWatermarkBytes: number;
  /** Unsent bytes at which it becomes true again. */
  readonly lowWatermarkBytes: number;
  /** Bytes that are written within a turn before it ends. */
  readonly flushBytes: number;
}

export const OUTBOX_DEFAULTS: OutboxLimits = {
  highWatermarkBytes: 1024 * 1024,
  lowWatermarkBytes: 256 * 1024,
  flushBytes: 256 * 1024,
};

/** Calls `flush` at the end of the turn: the core's Turn. */
export interface FlushScheduler {
  flushLater(outbox: { flush(): void }): void;
}

/** The part of a socket that an outbox uses. */
export interface OutboxSink {
  readonly writableLength: number;
  cork(): void;
  uncork(): void;
  write(chunk: Buffer, sent: () => void): boolean;
  write(chunk: Buffer): boolean;
}

/** The owner of the outbox: a transport. */
export interface OutboxOwner {
  /** Writable again after it was not. */
  drained(): void;
  /** A flush left bytes that the kernel did not take. */
  stalled(): void;
  /** Writing failed by a fault of ours: the connection ends at once. */
  broken?(): void;
}

/** What all outboxes of a listener share. */
export interface OutboxContext {
  readonly scheduler: FlushScheduler;
  readonly pool: SlabPool;
  readonly outbox: OutboxLimits;
}

export class Outbox implements SlabOwner {
  /** The slab to write into, valid from `reserve` until the next call of anything else here. */
  buffer: Buffer;
  /** Where to write. The writer advances it by what it wrote. */
  position: number;
  /** Whether the peer keeps up. This is advice and not a bound: writing still works. */
  writable: boolean;
  private limit: number;
  /** Where the segment that is being written began. */
  private start: number;
  /** The slab of `buffer`; `previous` links the others of this flush. */
  private slab: Slab | null;
  /** Finished segments; null before the first. */
  private segments: Buffer[] | null;
  private segmentBytes: number;
  private scheduled: boolean;
  /** Whether the last flush outgrew a small slab: the next flush starts with a large one. */
  private busy: boolean;
  private destroyed: boolean;
  /** Whether bytes have left within this turn, perhaps up to the middle of a frame. */
  private cut: boolean;
  private readonly framing: WebSocketFraming | null;
  private readonly sink: OutboxSink;
  private readonly owner: OutboxOwner;
  private readonly context: OutboxContext;

  /** `framing` cuts what is written into WebSocket messages; null for a byte stream. */
  constructor(sink: OutboxSink, owner: OutboxOwner, context: OutboxContext, framing: WebSocketFraming | null) {
    this.buffer = NOTHING;
    this.position = 0;
    this.writable = true;
    this.limit = 0;
    this.start = 0;
    this.slab = null;
    this.segments = null;
    this.segmentBytes = 0;
    this.scheduled = false;
    this.busy = false;
    this.destroyed = false;
    this.cut = false;
    this.framing = framing;
    this.sink = sink;
    this.owner = owner;
    this.context = context;
  }

  /**
   * Makes room for `bytes` (at most SLAB_BYTES − 4) at `buffer[position]` and schedules a flush at the end of the turn.
   * The writer may use less.
   */
  reserve(bytes: number): void {
    if (this.position + bytes > this.limit) this.grow(bytes);
  }

  /**
   * Adds bytes of another buffer. Fewer than REFERENCE_BYTES are copied; otherwise the buffer is referenced, and the
   * caller guarantees that it does not change until it is sent.
   */
  append(source: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length >= REFERENCE_BYTES) {
      this.refer(source.subarray(start, end));
      return;
    }
    if (this.position + length > this.limit) this.grow(length);
    const buffer = this.buffer;
    let at = this.position;
    this.position = at + length;
    if (length >= COPY_BY_LOOP_BYTES) {
      source.copy(buffer, at, start, end);
      return;
    }
    for (let from = start; from < end; from++) buffer[at++] = source[from]!;
  }

  /**
   * Ends a WebSocket message; on a byte stream it costs a comparison. What was written before must be whole frames of
   * the protocol above. The flush at the end of the turn also ends a message, so the caller chooses: one message for
   * each frame, or one for each turn.
   */
  endMessage(): void {
    if (this.framing !== null) this.finishMessage(this.framing);
  }

  /** Inserts a WebSocket control frame between messages. Must not be called within a frame of the protocol above. */
  control(opcode: number, payload: Buffer): void {
    if (this.framing === null || this.destroyed) return;
    this.reserve(payload.length + this.framing.referenceRoomBytes);
    this.framing.control(this, opcode, payload);
  }

  /** Bytes that the kernel has not taken: those of the outbox and those waiting in the socket. */
  get unsentBytes(): number {
    return this.heldBytes + this.sink.writableLength;
  }

  /** Unsent bytes from which `writable` is false. */
  get highWatermarkBytes(): number {
    return this.context.outbox.highWatermarkBytes;
  }

  /** Bytes that were not handed to the socket yet. */
  get heldBytes(): number {
    return this.destroyed ? 0 : this.segmentBytes + this.position - this.start;
  }

  /** Writes everything, once. Called by the scheduler at the end of the turn. */
  flush(): void {
    if (this.framing !== null) this.finishMessage(this.framing);
    this.scheduled = false;
    if (this.slab !== null) this.transmit();
    this.cut = false;
  }

  /**
   * Drops what was not handed to the socket, after a fault in the middle of a frame. False: a part of the frame may have
   * left already, so that nothing that is written now would be understood.
   */
  discard(): boolean {
    if (this.destroyed || this.cut) return false;
    if (this.slab !== null) this.context.pool.release(this.slab);
    this.reset();
    this.framing?.discard();
    return true;
  }

  /** `flush` threw: the connection ends. */
  flushFailed(): void {
    this.owner.broken?.();
  }

  /** Called when the write of a slab has ended. */
  sent(): void {
    if (this.writable || this.destroyed) return;
    if (this.unsentBytes > this.context.outbox.lowWatermarkBytes) return;
    this.writable = true;
    this.owner.drained();
  }

  /** The connection is gone: later output is discarded. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    if (this.slab !== null) this.context.pool.release(this.slab);
    this.reset();
  }

  /** Room in the current slab. Used by the framing, as is `closeSlab`. */
  get room(): number {
    return this.limit - this.position;
  }

  closeSlab(): void {
    this.limit = this.position;
  }

  private grow(bytes: number): void {
    if (this.destroyed) {
      this.buffer = this.context.pool.bin;
      this.limit = this.buffer.length;
      this.start = 0;
      this.position = 0;
      return;
    }
    const { pool, outbox: limits, scheduler } = this.context;
    const framing = this.framing;
    if (this.slab !== null) {
      this.endSegment();
      this.busy = true;
      if (this.segmentBytes >= limits.flushBytes) this.transmitPart();
    }
    const overhead = framing === null ? 0 : framing.headerRoomBytes;
    const slab = pool.take(this, this.busy ? SLAB_BYTES : bytes + overhead);
    slab.previous = this.slab;
    this.slab = slab;
    this.buffer = slab.buffer;
    this.limit = slab.buffer.length;
    this.start = 0;
    this.position = 0;
    if (framing !== null) framing.open(this);
    if (this.position + bytes > this.limit) throw new RangeError(`${bytes} bytes do not fit into one slab`);
    if (!this.scheduled) {
      this.scheduled = true;
      scheduler.flushLater(this);
    }
    if (this.writable && this.unsentBytes > limits.highWatermarkBytes) this.writable = false;
  }

  private refer(body: Buffer): void {
    if (this.destroyed) return;
    const { framing } = this;
    // Also if the slab has no byte to add: the write's callback belongs to the slab.
    if (framing === null) {
      if (this.slab === null) this.grow(0);
    } else {
      this.reserve(framing.referenceRoomBytes);
      framing.refer(this, body.length);
    }
    this.endSegment();
    this.addSegment(body);
    const limits = this.context.outbox;
    if (this.segmentBytes >= limits.flushBytes) this.transmitPart();
    else if (framing !== null) framing.open(this);
    if (this.writable && this.unsentBytes > limits.highWatermarkBytes) this.writable = false;
  }

  private finishMessage(framing: WebSocketFraming): void {
    if (this.slab === null) {
      // The message's last fragment was sent without FIN: an empty fragment ends the message.
      if (!framing.midMessage || this.destroyed) return;
      this.grow(1);
    }
    framing.close(this, true);
    framing.open(this);
  }

  /** Makes a segment of what was written since the last one; writing continues after it. */
  private endSegment(): void {
    if (this.framing !== null) this.framing.close(this, false);
    if (this.position > this.start) this.addSegment(this.buffer.subarray(this.start, this.position));
    this.start = this.position;
  }

  private addSegment(segment: Buffer): void {
    this.segmentBytes += segment.length;
    if (this.segments === null) this.segments = [segment];
    else this.segments.push(segment);
  }

  private transmitPart(): void {
    this.cut = true;
    this.transmit();
  }

  /** Hands all segments to the socket: one write, or one writev. */
  private transmit(): void {
    const slab = this.slab!;
    const { sink } = this;
    // Drops the header room that was reserved for the next message.
    if (this.framing !== null) this.framing.close(this, false);
    const heldBytes = this.heldBytes;
    this.busy = heldBytes > SMALL_SLAB_BYTES;
    if (this.segments === null) {
      const only = this.buffer.subarray(this.start, this.position);
      this.reset();
      if (heldBytes === 0) this.context.pool.release(slab);
      else sink.write(only, slab.sent);
    } else {
      this.endSegment();
      const segments = this.segments;
      this.reset();
      const last = segments.length - 1;
      if (last > 0) sink.cork();
      for (let i = 0; i < last; i++) sink.write(segments[i]!);
      sink.write(segments[last]!, slab.sent);
      if (last > 0) sink.uncork();
    }
    if (sink.writableLength > 0) {
      this.owner.stalled();
      if (this.writable && this.unsentBytes > this.context.outbox.highWatermarkBytes) this.writable = false;
    }
  }

  private reset(): void {
    this.slab = null;
    this.segments = null;
    this.segmentBytes = 0;
    this.buffer = NOTHING;
    this.limit = 0;
    this.start = 0;
    this.position = 0;
  }
}
