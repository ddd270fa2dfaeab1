// Fixtures of the network layer's tests: a turn, a sink whose writes complete when the test says so, a handler that
// records events, and helpers that await sockets.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { AddressLimit } from '../../src/net/address-limit.ts';
import { ChunkGarbage } from '../../src/net/chunk-garbage.ts';
import {
  OUTBOX_DEFAULTS,
  Outbox,
  type OutboxContext,
  type OutboxLimits,
  type OutboxSink,
} from '../../src/net/outbox.ts';
import { SlabPool } from '../../src/net/slab-pool.ts';
import { TRANSPORT_DEFAULTS, type TransportContext } from '../../src/net/socket-transport.ts';
import { Ticker } from '../../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import type { WebSocketFraming } from '../../src/net/websocket-framing.ts';

/** Flushes when the test calls it, or at the end of each event loop iteration. */
export class TestTurn {
  readonly waiting: { flush(): void }[];
  private readonly automatic: boolean;

  constructor(automatic: boolean) {
    this.waiting = [];
    this.automatic = automatic;
  }

  flushLater(outbox: { flush(): void }): void {
    if (this.waiting.push(outbox) === 1 && this.automatic) setImmediate(() => this.end());
  }

  end(): void {
    for (const outbox of this.waiting.splice(0)) outbox.flush();
  }
}

/** The writing half of a socket; the test decides how much the kernel accepts. */
export class TestSink implements OutboxSink {
  writableLength: number;
  /** One element for each write that reached the kernel; writes corked together count as one. */
  readonly writes: Buffer[];
  private corked: Buffer[];
  /** Nesting depth of corks, as in Node's streams. */
  private corks: number;
  private callbacks: { sent: () => void; bytes: number }[];
  private waitingBytes: number;

  constructor() {
    this.writableLength = 0;
    this.writes = [];
    this.corked = [];
    this.corks = 0;
    this.callbacks = [];
    this.waitingBytes = 0;
  }

  cork(): void {
    this.corks++;
  }

  uncork(): void {
    if (--this.corks > 0) return;
    this.writes.push(Buffer.concat(this.corked));
    this.corked = [];
  }

  write(chunk: Buffer, sent?: () => void): boolean {
    this.writableLength += chunk.length;
    this.waitingBytes += chunk.length;
    // Kept by reference, as by a kernel: a change before sending is visible in the output.
    if (this.corks === 0) this.writes.push(chunk);
    else this.corked.push(chunk);
    if (sent !== undefined) {
      this.callbacks.push({ sent, bytes: this.waitingBytes });
      this.waitingBytes = 0;
    }
    return true;
  }

  /** Completes all pending writes. */
  complete(): void {
    for (const { sent, bytes } of this.callbacks.splice(0)) {
      this.writableLength -= bytes;
      sent();
    }
  }

  get output(): Buffer {
    return Buffer.concat(this.writes);
  }
}

export interface OutboxFixture {
  readonly outbox: Outbox;
  readonly sink: TestSink;
  readonly pool: SlabPool;
  readonly turn: TestTurn;
  readonly owner: { drainedCount: number; stalledCount: number; drained(): void };
}

export function newOutbox(limits: Partial<OutboxLimits> = {}, framing: WebSocketFraming | null = null): OutboxFixture {
  const sink = new TestSink();
  const pool = new SlabPool();
  const turn = new TestTurn(false);
  const owner = {
    drainedCount: 0,
    stalledCount: 0,
    drained(): void {
      owner.drainedCount++;
    },
    stalled(): void {
      owner.stalledCount++;
    },
  };
  const context: OutboxContext = { scheduler: turn, pool, outbox: { ...OUTBOX_DEFAULTS, ...limits } };
  return { outbox: new Outbox(sink, owner, context, framing), sink, pool, turn, owner };
}

/** Writes into the outbox's buffer, as a front-end does. */
export function put(outbox: Outbox, text: string): void {
  outbox.reserve(text.length);
  outbox.position += outbox.buffer.write(text, outbox.position, 'latin1');
}

export interface TestContext extends TransportContext {
  readonly handlerErrors: unknown[];
  readonly expired: string[];
}

export function newContext(overrides: Partial<TransportContext> = {}): TestContext {
  const handlerErrors: unknown[] = [];
  const expired: string[] = [];
  return {
    scheduler: new TestTurn(true),
    pool: new SlabPool(),
    outbox: OUTBOX_DEFAULTS,
    ticker: new Ticker((error) => {
      throw error;
    }),
    garbage: new ChunkGarbage(null),
    addresses: new AddressLimit(100_000),
    transport: TRANSPORT_DEFAULTS,
    stopping: false,
    onHandlerError: (error) => handlerErrors.push(error),
    onExpired: (code) => expired.push(code),
    handlerErrors,
    expired,
    ...overrides,
  };
}

/** Records events and data; a test may replace `onData`. */
export class TestHandler implements TransportHandler {
  readonly transport: Transport;
  readonly chunks: Buffer[];
  readonly isClosed: Promise<Error | null>;
  closedCount: number;
  drainedCount: number;
  onData: (chunk: Buffer) => void;
  /** What the client is told of a fault; empty: nothing. */
  faultNotice: string;
  private resolveClosed!: (error: Error | null) => void;
  private waiter: { bytes: number; resolve: () => void } | null;

  constructor(transport: Transport) {
    this.transport = transport;
    this.chunks = [];
    this.closedCount = 0;
    this.drainedCount = 0;
    this.onData = () => {};
    this.faultNotice = '';
    this.waiter = null;
    this.isClosed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }

  get received(): Buffer {
    return Buffer.concat(this.chunks);
  }

  /** Resolves once `count` bytes have arrived in total. */
  bytes(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.waiter = { bytes: count, resolve };
      this.check();
    });
  }

  data(chunk: Buffer): void {
    this.chunks.push(Buffer.from(chunk));
    this.onData(chunk);
    this.check();
  }

  drained(): void {
    this.drainedCount++;
  }

  sayFault(): boolean {
    if (this.faultNotice === '') return false;
    put(this.transport.outbox, this.faultNotice);
    return true;
  }

  closed(error: Error | null): void {
    this.closedCount++;
    this.resolveClosed(error);
  }

  private check(): void {
    if (this.waiter === null || this.received.length < this.waiter.bytes) return;
    this.waiter.resolve();
    this.waiter = null;
  }
}

/** An `accept` function, and the handlers that it created, in order of arrival. */
export class Arrivals {
  readonly handlers: TestHandler[];
  readonly accept: (transport: Transport) => TestHandler;
  private waiters: ((handler: TestHandler) => void)[];

  constructor() {
    this.handlers = [];
    this.waiters = [];
    this.accept = (transport) => {
      const handler = new TestHandler(transport);
      this.handlers.push(handler);
      this.waiters.shift()?.(handler);
      return handler;
    };
  }

  /** Resolves with the next connection. Call it before the client connects. */
  next(): Promise<TestHandler> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }
}

export async function connected(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Reads until the peer's FIN or an error. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => {});
  await new Promise<void>((resolve) => {
    socket.once('end', () => resolve());
    socket.once('close', () => resolve());
  });
  return Buffer.concat(chunks);
}

/** Reads whole chunks until at least `count` bytes have arrived. */
export function readBytes(socket: Socket, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      length += chunk.length;
      if (length < count) return;
      socket.off('data', take);
      resolve(Buffer.concat(chunks));
    };
    socket.on('data', take);
    socket.resume();
    socket.once('close', () => reject(new Error(`closed after ${length} of ${count} bytes`)));
  });
}
