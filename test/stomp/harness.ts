// A STOMP front-end on a real core, without sockets and without a disk: clients are byte streams in memory, commits and
// ticks happen when the test says so.

import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type StompSettings, stompFrontEnd } from '../../protocols/stomp/context.ts';
import { STOMP_LIMITS } from '../../protocols/stomp/limits.ts';
import { ClientConnections } from '../../src/core/client-connection.ts';
import { Door } from '../../src/core/door.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { SILENT } from '../../src/core/logger.ts';
import { MemoryBudget } from '../../src/core/memory-budget.ts';
import { type Authorizer, type Identity, type Meters, newMeters, type Permission } from '../../src/core/ports.ts';
import type { Session } from '../../src/core/session.ts';
import { Turn } from '../../src/core/turn.ts';
import { VirtualHosts } from '../../src/core/virtual-hosts.ts';
import { OUTBOX_DEFAULTS, Outbox, type OutboxLimits } from '../../src/net/outbox.ts';
import { SlabPool } from '../../src/net/slab-pool.ts';
import { Ticker } from '../../src/net/ticker.ts';
import {
  type Accept,
  MESSAGE_KIND,
  type MessageKind,
  type Transport,
  type TransportHandler,
} from '../../src/net/transport.ts';
import { ManualStore } from '../mqtt/manual-store.ts';
import { RecordedDefinitions } from '../support/recorded-definitions.ts';
import { frame, type ReadFrame, readFrames } from './frames.ts';

export interface HarnessOptions {
  readonly settings?: Partial<StompSettings>;
  readonly outbox?: OutboxLimits;
  readonly unackedPerChannel?: number;
  readonly messageBytes?: number;
  readonly allows?: (permission: Permission, resource: string) => boolean | Promise<boolean>;
}

export class Harness implements Authorizer {
  readonly generation: number;
  readonly turn: Turn;
  readonly ticker: Ticker;
  readonly store: ManualStore;
  readonly meters: Meters;
  readonly hosts: VirtualHosts;
  readonly connections: ClientConnections;
  readonly door: Door;
  readonly accept: Accept;
  readonly outboxLimits: OutboxLimits;
  readonly pool: SlabPool;
  readonly allows: Authorizer['allows'];

  constructor(given: HarnessOptions = {}) {
    this.generation = 1;
    const allows = given.allows ?? (() => true);
    this.allows = (_identity: Identity, _vhost, permission, resource) => allows(permission, resource);
    this.turn = new Turn({ now: () => 1_700_000_000_000 });
    this.ticker = new Ticker((error) => {
      throw error;
    });
    this.store = new ManualStore();
    this.turn.sealWith(() => this.store.seal());
    this.meters = newMeters();
    this.outboxLimits = given.outbox ?? OUTBOX_DEFAULTS;
    this.pool = new SlabPool();
    const definitions = new RecordedDefinitions();
    const shared = { turn: this.turn, store: this.store, definitions, meters: this.meters, log: SILENT };
    const memory = new MemoryBudget(DEFAULT_LIMITS.memoryHighBytes);
    this.hosts = new VirtualHosts({ ...shared, memory, limits: DEFAULT_LIMITS });
    this.hosts.recover();
    this.connections = new ClientConnections();
    const authenticator = {
      authenticate: async ({ user, password }: { user: string; password: string }) =>
        password === 'guest' ? { user, tags: [] } : { refused: 'the password is wrong' },
      identify: () => Promise.resolve({ refused: 'by STOMP' }),
      certified: () => ({ refused: 'by STOMP' }),
      mayEnter: () => true,
    };
    this.door = new Door({ ...shared, hosts: this.hosts, authenticator, authorizer: this });
    const frontEnd = {
      door: this.door,
      turn: this.turn,
      connections: this.connections,
      meters: this.meters,
      log: SILENT,
      unauthenticatedMs: 10_000,
      messageBytes: given.messageBytes ?? 1 << 27,
      unackedPerChannel: given.unackedPerChannel ?? 1000,
      version: 'test',
    };
    this.accept = stompFrontEnd(frontEnd, this.ticker, { ...STOMP_LIMITS, ...given.settings });
  }

  /** A client that has not said anything; `kind` is that of its WebSocket messages. */
  open(kind: MessageKind = MESSAGE_KIND.binary): Client {
    return new Client(this, kind);
  }

  /** A client that is logged in. Its CONNECTED is taken off. */
  async connect(headers: readonly string[] = [], kind: MessageKind = MESSAGE_KIND.binary): Promise<Client> {
    const client = this.open(kind);
    client.send(frame('CONNECT', ['login:guest', 'passcode:guest', ...headers, 'accept-version:1.2']));
    await this.settle();
    const [connected] = client.take();
    assert.equal(connected?.command, 'CONNECTED', connected?.body.toString());
    return client;
  }

  /** A session as another protocol's front-end would hold it. */
  session(): Promise<Session> {
    return this.door.login({ user: 'guest', password: 'guest', vhost: '/', loopback: true });
  }

  /** Lets everything that is under way finish: promises, turns, commits that are not held. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await nextTurn();
  }

  tick(ticks: number): void {
    for (let i = 0; i < ticks; i++) this.ticker.advance();
  }
}

/** One end of a connection. */
export class Client {
  readonly transport: MemoryTransport;
  private readonly harness: Harness;

  constructor(harness: Harness, kind: MessageKind) {
    this.harness = harness;
    this.transport = new MemoryTransport(harness, kind);
    this.transport.handler = harness.accept(this.transport);
  }

  get closed(): boolean {
    return this.transport.ended;
  }

  send(...frames: Buffer[]): void {
    this.transport.receive(Buffer.concat(frames));
  }

  /** The client's side goes away without a word. */
  drop(): void {
    this.transport.destroy();
  }

  /** Sends, waits, and answers with what came since the last call. */
  async exchange(...frames: Buffer[]): Promise<ReadFrame[]> {
    this.send(...frames);
    await this.harness.settle();
    return this.take();
  }

  /** The frames that came since the last call. */
  take(): ReadFrame[] {
    const { frames, rest } = readFrames(Buffer.concat(this.transport.written.splice(0).map(({ bytes }) => bytes)));
    assert.equal(rest.length, 0, 'a frame was cut off');
    return frames;
  }

  /** The raw bytes that came, with the kind of WebSocket message that carried them. */
  takeRaw(): { kind: MessageKind; bytes: Buffer }[] {
    return this.transport.written.splice(0);
  }
}

class MemoryTransport implements Transport {
  readonly outbox: Outbox;
  readonly peer = '127.0.0.1:1';
  readonly local = '127.0.0.1:2';
  readonly loopback = true;
  readonly secure = false;
  readonly clientCertificate = null;
  readonly subprotocol = '';
  readonly lastMessageKind: MessageKind;
  bytesRead: number;
  bytesWritten: number;
  readonly written: { kind: MessageKind; bytes: Buffer }[];
  handler: TransportHandler | null;
  ended: boolean;
  paused: boolean;
  /** While true writes do not end: the peer reads nothing. */
  stuck: boolean;
  private kind: MessageKind;
  private readonly waiting: Buffer[];
  private readonly unsent: { bytes: number; sent: (() => void) | undefined }[];

  constructor(harness: Harness, kind: MessageKind) {
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
    this.outbox = new Outbox(
      sink,
      owner,
      { scheduler: harness.turn, pool: harness.pool, outbox: harness.outboxLimits },
      null,
    );
  }

  get messageKind(): MessageKind {
    return this.kind;
  }

  /** What was written so far goes out in a message of the kind before. */
  set messageKind(kind: MessageKind) {
    if (kind === this.kind) return;
    this.outbox.flush();
    this.kind = kind;
  }

  receive(chunk: Buffer): void {
    if (this.ended) return;
    this.bytesRead += chunk.length;
    if (this.paused) this.waiting.push(chunk);
    else this.handler!.data(chunk);
  }

  /** The peer reads what waits. */
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
