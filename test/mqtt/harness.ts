// An MQTT front-end on a real core, without sockets and without a disk: clients are byte streams in memory, commits
// and ticks happen when the test says so.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { MqttFrontEnd } from '../../protocols/mqtt/front-end.ts';
import type { MqttLimits } from '../../protocols/mqtt/limits.ts';
import type { MqttOptions } from '../../protocols/mqtt/shared.ts';
import { ClientConnections } from '../../src/core/client-connection.ts';
import { Door } from '../../src/core/door.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { SILENT } from '../../src/core/logger.ts';
import { MemoryBudget } from '../../src/core/memory-budget.ts';
import type { Authenticator, Authorizer, Permission } from '../../src/core/ports.ts';
import { type Meters, newMeters } from '../../src/core/ports.ts';
import type { Session } from '../../src/core/session.ts';
import { Turn } from '../../src/core/turn.ts';
import { VirtualHosts } from '../../src/core/virtual-hosts.ts';
import { OUTBOX_DEFAULTS, Outbox, type OutboxLimits } from '../../src/net/outbox.ts';
import { SlabPool } from '../../src/net/slab-pool.ts';
import { Ticker } from '../../src/net/ticker.ts';
import { MESSAGE_KIND, type Transport, type TransportHandler } from '../../src/net/transport.ts';
import { RecordedDefinitions } from '../support/recorded-definitions.ts';
import * as bytes from './bytes.ts';
import { ManualStore } from './manual-store.ts';

export interface HarnessOptions {
  readonly options?: Partial<MqttOptions>;
  readonly limits?: Partial<MqttLimits>;
  readonly outbox?: OutboxLimits;
  readonly allows?: (permission: Permission, resource: string) => boolean | Promise<boolean>;
  readonly login?: Authenticator['authenticate'];
}

export class Harness implements Authorizer {
  readonly generation: number;
  readonly turn: Turn;
  readonly ticker: Ticker;
  readonly store: ManualStore;
  readonly meters: Meters;
  readonly hosts: VirtualHosts;
  readonly connections: ClientConnections;
  frontEnd: MqttFrontEnd;
  readonly door: Door;
  readonly outboxLimits: OutboxLimits;
  readonly pool: SlabPool;
  private readonly makeFrontEnd: () => MqttFrontEnd;
  allows: (identity: object, vhost: string, permission: Permission, resource: string) => boolean | Promise<boolean>;

  constructor(given: HarnessOptions = {}) {
    this.generation = 1;
    const allows = given.allows ?? (() => true);
    this.allows = (_identity, _vhost, permission, resource) => allows(permission, resource);
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
    this.hosts = new VirtualHosts({
      turn: this.turn,
      store: this.store,
      memory: new MemoryBudget(DEFAULT_LIMITS.memoryHighBytes),
      limits: DEFAULT_LIMITS,
      meters: this.meters,
      definitions,
      log: SILENT,
    });
    this.hosts.recover();
    this.connections = new ClientConnections();
    const authenticate: Authenticator['authenticate'] =
      given.login ??
      (async ({ user, password }) =>
        password === 'guest' ? { user, tags: [] } : { refused: 'the password is wrong' });
    this.door = new Door({
      hosts: this.hosts,
      authenticator: {
        authenticate,
        identify: () => Promise.resolve({ refused: 'by MQTT' }),
        certified: () => ({ refused: 'by MQTT' }),
        mayEnter: () => true,
      },
      authorizer: this,
      store: this.store,
      definitions,
      turn: this.turn,
      meters: this.meters,
      log: SILENT,
    });
    const context = {
      door: this.door,
      turn: this.turn,
      connections: this.connections,
      meters: this.meters,
      log: SILENT,
      unauthenticatedMs: 10_000,
      messageBytes: 1 << 27,
      unackedPerChannel: 1000,
      version: 'test',
    };
    this.makeFrontEnd = () => new MqttFrontEnd(context, this.ticker, given.options, given.limits);
    this.frontEnd = this.makeFrontEnd();
  }

  /** A front-end that has seen nobody, on the same core: what a restart is for sessions. */
  restartFrontEnd(): this {
    this.frontEnd = this.makeFrontEnd();
    this.frontEnd.recover(this.hosts);
    return this;
  }

  /** A client that has not said anything. */
  open(): Client {
    return new Client(this);
  }

  /** A connected client. Its CONNACK is taken off; `present` tells what it said. */
  async connect(clientId: string, fields: bytes.ConnectFields = {}, clean = true): Promise<Client> {
    const client = this.open();
    client.send(bytes.connect({ clientId, user: 'guest', password: 'guest', ...fields }, clean));
    await this.settle();
    client.present = client.take()[0] === '20020100';
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

/** One end of a connection: what the broker sends is kept as packets in hex. */
export class Client {
  readonly transport: MemoryTransport;
  readonly handler: TransportHandler;
  present: boolean;

  constructor(harness: Harness) {
    this.transport = new MemoryTransport(harness);
    this.handler = harness.frontEnd.accept(this.transport);
    this.transport.handler = this.handler;
    this.present = false;
  }

  get closed(): boolean {
    return this.transport.ended;
  }

  send(...packets: Buffer[]): void {
    this.transport.receive(Buffer.concat(packets));
  }

  /** The client's side goes away without a word. */
  drop(): void {
    this.transport.destroy();
  }

  /** The packets that came since the last call, in hex. */
  take(): string[] {
    const stream = Buffer.concat(this.transport.written.splice(0));
    const packets: string[] = [];
    let at = 0;
    while (at < stream.length) {
      let length = 0;
      let shift = 0;
      let body = at + 1;
      do length |= (stream[body]! & 127) << (7 * shift++);
      while (stream[body++]! > 127);
      packets.push(stream.toString('hex', at, body + length));
      at = body + length;
    }
    return packets;
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
  messageKind = MESSAGE_KIND.binary;
  readonly lastMessageKind = MESSAGE_KIND.binary;
  readonly bytesRead = 0;
  readonly bytesWritten = 0;
  readonly written: Buffer[];
  handler: TransportHandler | null;
  ended: boolean;
  paused: boolean;
  /** While true writes do not end: the peer reads nothing. */
  stuck: boolean;
  private waiting: Buffer[];
  private unsent: { bytes: number; sent: (() => void) | undefined }[];

  constructor(harness: Harness) {
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
        transport.written.push(Buffer.from(chunk));
        transport.unsent.push({ bytes: chunk.length, sent });
        if (!transport.stuck) setImmediate(() => transport.unstick());
        return true;
      },
    };
    const owner = { drained: () => this.handler?.drained(), stalled() {} };
    const context = { scheduler: harness.turn, pool: harness.pool, outbox: harness.outboxLimits };
    this.outbox = new Outbox(sink, owner, context, null);
  }

  receive(chunk: Buffer): void {
    if (this.ended) return;
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
