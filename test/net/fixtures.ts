// What the tests of the network layer share: a turn, a sink that completes writes when told to, a handler that keeps
// what it hears, and sockets that are awaited.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
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

/** Flushes when the test says so, or at the end of each pass of the event loop. */
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

/** A socket's writing half of which the kernel takes what the test lets it take. */
export class TestSink implements OutboxSink {
  writableLength: number;
  /** One for each write that reached the kernel; corked ones are one. */
  readonly writes: Buffer[];
  private corked: Buffer[];
  /** Corks that were not taken out: as of Node's streams, they nest. */
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
    // Kept by reference, as a kernel would: what changes before it is sent shows in the output.
    if (this.corks === 0) this.writes.push(chunk);
    else this.corked.push(chunk);
    if (sent !== undefined) {
      this.callbacks.push({ sent, bytes: this.waitingBytes });
      this.waitingBytes = 0;
    }
    return true;
  }

  /** All writes so far end. */
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

/** Writes as a front-end does: in place. */
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
    transport: TRANSPORT_DEFAULTS,
    stopping: false,
    onHandlerError: (error) => handlerErrors.push(error),
    onExpired: (code) => expired.push(code),
    handlerErrors,
    expired,
    ...overrides,
  };
}

/** Keeps what it hears; a test may replace `onData`. */
export class TestHandler implements TransportHandler {
  readonly transport: Transport;
  readonly chunks: Buffer[];
  readonly isClosed: Promise<Error | null>;
  closedCount: number;
  drainedCount: number;
  onData: (chunk: Buffer) => void;
  private resolveClosed!: (error: Error | null) => void;
  private waiter: { bytes: number; resolve: () => void } | null;

  constructor(transport: Transport) {
    this.transport = transport;
    this.chunks = [];
    this.closedCount = 0;
    this.drainedCount = 0;
    this.onData = () => {};
    this.waiter = null;
    this.isClosed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }

  get received(): Buffer {
    return Buffer.concat(this.chunks);
  }

  /** Resolves once so many bytes came in all. */
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

/** An `accept` and the handlers that it made, in order of arrival. */
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

  /** The next connection to come. Ask before it connects. */
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

/** Reads until the peer's FIN, or until the connection breaks. */
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

/** Reads exactly so many bytes; more that come stay for the next reader only if they come later. */
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
