// A connection without a socket: it records the broker's output, passes the client's bytes directly to the handler, and
// lets the test decide when the peer reads.

import type { Turn } from '../../src/core/turn/turn.ts';
import type { HttpCredentials } from '../../src/net/http-credentials.ts';
import { MESSAGE_KIND, type MessageKind } from '../../src/net/message-kind.ts';
import { Outbox, type OutboxLimits } from '../../src/net/outbox.ts';
import type { SlabPool } from '../../src/net/slab-pool.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';

/** Shared by all transports of a broker. */
export interface TransportDependencies {
  readonly turn: Turn;
  readonly pool: SlabPool;
  readonly outboxLimits: OutboxLimits;
}

/** The bytes written, with the type of WebSocket message that would carry them. */
export interface Written {
  readonly kind: MessageKind;
  readonly bytes: Buffer;
}

export class MemoryTransport implements Transport {
  readonly outbox: Outbox;
  readonly peer = '127.0.0.1:1';
  readonly local = '127.0.0.1:2';
  readonly address = '127.0.0.1';
  loopback: boolean;
  readonly secure = false;
  readonly clientCertificate = null;
  readonly subprotocol = '';
  readonly httpCredentials: HttpCredentials | null;
  readonly lastMessageKind: MessageKind;
  bytesRead: number;
  bytesWritten: number;
  readonly written: Written[];
  handler: TransportHandler | null;
  ended: boolean;
  paused: boolean;
  /** While true, writes do not complete: the peer does not read. */
  stuck: boolean;
  private kind: MessageKind;
  private readonly waiting: Buffer[];
  private readonly unsent: { bytes: number; sent: (() => void) | undefined }[];

  /** `kind` is the type of the client's WebSocket messages. */
  constructor(
    { turn, pool, outboxLimits }: TransportDependencies,
    kind: MessageKind = MESSAGE_KIND.binary,
    httpCredentials: HttpCredentials | null = null,
  ) {
    this.httpCredentials = httpCredentials;
    this.loopback = true;
    this.lastMessageKind = kind;
    this.kind = MESSAGE_KIND.binary;
    this.bytesRead = 0;
    this.bytesWritten = 0;
    this.written = [];
    this.handler = null;
    this.ended = false;
    this.paused = false;
    this.stuck = false;
    this.waiting = [];
    this.unsent = [];
    const transport = this;
    const sink = {
      get writableLength(): number {
        return transport.unsent.reduce((sum, write) => sum + write.bytes, 0);
      },
      cork() {},
      uncork() {},
      write(chunk: Buffer, sent?: () => void): boolean {
        transport.written.push({ kind: transport.kind, bytes: Buffer.from(chunk) });
        transport.bytesWritten += chunk.length;
        transport.unsent.push({ bytes: chunk.length, sent });
        if (!transport.stuck) setImmediate(() => transport.unstick());
        return true;
      },
    };
    const owner = { drained: () => this.handler?.drained(), stalled() {} };
    this.outbox = new Outbox(sink, owner, { scheduler: turn, pool, outbox: outboxLimits }, null);
  }

  get messageKind(): MessageKind {
    return this.kind;
  }

  /** Ends the current message, whose bytes have the previous type. */
  set messageKind(kind: MessageKind) {
    if (kind === this.kind) return;
    this.outbox.flush();
    this.kind = kind;
  }

  get gone(): boolean {
    return this.ended;
  }

  get reading(): boolean {
    return !this.paused;
  }

  fault(): void {
    const said = !this.ended && this.outbox.discard() && this.handler!.sayFault();
    if (said) this.end();
    else this.destroy();
  }

  receive(chunk: Buffer): void {
    if (this.ended) return;
    this.bytesRead += chunk.length;
    if (this.paused) this.waiting.push(chunk);
    else this.handler!.data(chunk);
  }

  /** The peer reads all pending output. */
  unstick(): void {
    this.stuck = false;
    for (const { sent } of this.unsent.splice(0)) sent?.();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    setImmediate(() => {
      while (!this.paused && !this.ended && this.waiting.length > 0) this.handler!.data(this.waiting.shift()!);
    });
  }

  end(): void {
    if (this.ended) return;
    this.outbox.flush();
    this.destroy();
  }

  destroy(): void {
    if (this.ended) return;
    this.ended = true;
    this.outbox.destroy();
    setImmediate(() => this.handler!.closed(null));
  }
}
