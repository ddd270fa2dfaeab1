// The publishing loop of all protocols. One message is encoded and copied into batches of about 64 KiB. Before each
// write the time stamps and packet ids of the batch are patched. A batch's buffer is reused when its write has
// completed.

import type { LoadSocket } from './load-socket.ts';
import { COUNTER, nowUs, type Workload } from './workload.ts';

const BATCH_BYTES = 65_536;
const LEAST_BATCH_BYTES = 4096;
/** Batches with a pending write: enough to keep the socket busy. */
const BATCHES = 4;
const PACKET_IDS = 65_535;
/** Longest pause of the paced loop between two reads of its socket. */
const NAP_MS = 0.2;

export interface Template {
  /** One encoded message. */
  readonly bytes: Buffer;
  /** Offset of its body, whose first 8 bytes become the time stamp. */
  readonly bodyOffset: number;
  /** Offset of its packet id, or -1. */
  readonly idOffset: number;
}

export class Publisher {
  private readonly socket: LoadSocket;
  private readonly template: Template;
  private readonly window: number;
  private readonly rate: number;
  private readonly counters: Float64Array;
  private readonly batch: number;
  private readonly free: Buffer[];
  private readonly napCell: Int32Array;
  private unconfirmed: number;
  private nextId: number;
  private scheduled: boolean;

  constructor(socket: LoadSocket, template: Template, workload: Workload, counters: Float64Array) {
    this.socket = socket;
    this.template = template;
    this.window = workload.window;
    this.rate = workload.rate;
    this.counters = counters;
    const most = this.window > 0 ? Math.ceil(this.window / 2) : Number.POSITIVE_INFINITY;
    // With many publishers each sends small batches, as devices do.
    const bytes = Math.max(LEAST_BATCH_BYTES, BATCH_BYTES / workload.publishers);
    this.batch = Math.max(1, Math.min(most, Math.floor(bytes / template.bytes.length)));
    this.free = Array.from({ length: BATCHES }, () => repeat(template.bytes, this.batch));
    this.napCell = new Int32Array(new SharedArrayBuffer(4));
    this.unconfirmed = 0;
    this.nextId = 1;
    this.scheduled = false;
  }

  start(): void {
    if (this.rate > 0) this.pace(nowUs(), 0);
    else this.schedule();
  }

  /** Called when the broker has confirmed `count` more messages. */
  confirmed(count: number): void {
    this.counters[COUNTER.confirmed]! += count;
    this.unconfirmed -= count;
    if (this.rate === 0) this.schedule();
  }

  /**
   * Uses `setImmediate`, so that the event loop reads answers between two batches even if the kernel accepts writes at
   * once.
   */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.pump);
  }

  private readonly pump = (): void => {
    this.scheduled = false;
    while (this.free.length > 0) {
      const room = this.window > 0 ? this.window - this.unconfirmed : this.batch;
      if (room < Math.min(this.batch, this.window / 2)) return;
      this.send(Math.min(this.batch, room));
      if (this.window === 0) {
        this.schedule();
        return;
      }
    }
  };

  private send(count: number): void {
    const buffer = this.free.pop()!;
    const { bytes, bodyOffset, idOffset } = this.template;
    const now = nowUs();
    for (let i = 0, at = 0; i < count; i++, at += bytes.length) {
      buffer.writeDoubleLE(now, at + bodyOffset);
      if (idOffset >= 0) {
        buffer.writeUInt16BE(this.nextId, at + idOffset);
        this.nextId = this.nextId === PACKET_IDS ? 1 : this.nextId + 1;
      }
    }
    this.counters[COUNTER.sent]! += count;
    this.unconfirmed += count;
    this.socket.write(buffer.subarray(0, count * bytes.length), () => {
      this.free.push(buffer);
      if (this.rate === 0) this.schedule();
    });
  }

  /** Sends single messages at even intervals. Timers are too coarse for that, so it blocks the thread briefly. */
  private pace(startUs: number, sent: number): void {
    const stepUs = 1_000_000 / this.rate;
    let due = startUs + sent * stepUs;
    const now = nowUs();
    while (due <= now && this.free.length > 0) {
      this.send(1);
      sent++;
      due += stepUs;
    }
    const waitMs = (due - nowUs()) / 1000;
    if (waitMs > 0) Atomics.wait(this.napCell, 0, 0, Math.min(waitMs, NAP_MS));
    setImmediate(() => this.pace(startUs, sent));
  }
}

function repeat(bytes: Buffer, times: number): Buffer {
  const all = Buffer.allocUnsafeSlow(bytes.length * times);
  for (let i = 0; i < times; i++) bytes.copy(all, i * bytes.length);
  return all;
}
