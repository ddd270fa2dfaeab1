// The dependencies of a front-end in tests: a real core without sockets or disk. The test triggers commits and ticks.
// Each protocol's harness extends it with its front-end and a client.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { amqpRewriter } from '../../protocols/amqp/foreign-properties.ts';
import { type CoreLimits, DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { type Logger, SILENT } from '../../src/core/logger.ts';
import type {
  AuthenticationExchange,
  Authenticator,
  Authorizer,
  Identity,
  Permission,
} from '../../src/core/ports/authorization.ts';
import { type Meters, newMeters } from '../../src/core/ports/meters.ts';
import { MemoryBudget } from '../../src/core/queue/memory-budget.ts';
import { AccessControl } from '../../src/core/session/access-control.ts';
import { ClientConnections } from '../../src/core/session/client-connection.ts';
import type { FrontEndContext } from '../../src/core/session/front-end-context.ts';
import { DEFAULT_MEMORY_LIMITS, MemoryLedger, type MemoryLimits } from '../../src/core/session/memory-ledger.ts';
import type { Session } from '../../src/core/session/session.ts';
import { SystemSession } from '../../src/core/session/system-session.ts';
import { Turn } from '../../src/core/turn/turn.ts';
import { VirtualHosts } from '../../src/core/vhost/virtual-hosts.ts';
import { identityOf } from '../../src/identity.ts';
import { OUTBOX_DEFAULTS, type OutboxLimits } from '../../src/net/outbox.ts';
import { SlabPool } from '../../src/net/slab-pool.ts';
import { TICK_MS, Ticker } from '../../src/net/ticker.ts';
import { FakeRetained } from '../../support/fake-retained.ts';
import { FakeStore } from './fake-store.ts';
import type { TransportDependencies } from './memory-transport.ts';

export interface CoreOptions {
  readonly outbox?: OutboxLimits;
  readonly messageBytes?: number;
  readonly unackedPerChannel?: number;
  readonly coreLimits?: Partial<CoreLimits>;
  readonly memoryLimits?: Partial<MemoryLimits>;
  readonly allows?: (permission: Permission, resource: string) => boolean | Promise<boolean>;
  /** Topic permissions for every topic exchange. */
  readonly topics?: (permission: string, routingKey: string, clientId: string | null) => boolean;
  readonly login?: Authenticator['authenticate'];
  readonly log?: Logger;
  readonly exchange?: (method: string) => AuthenticationExchange | null;
}

export class ProtocolHarness implements Authorizer, TransportDependencies {
  /** Generation of the permissions: a test that changes them increments it. */
  generation: number;
  /** Milliseconds since the epoch; the test sets it. */
  clock: number;
  readonly turn: Turn;
  readonly ticker: Ticker;
  readonly store: FakeStore;
  readonly retained: FakeRetained;
  readonly meters: Meters;
  readonly hosts: VirtualHosts;
  readonly connections: ClientConnections;
  readonly ledger: MemoryLedger;
  readonly access: AccessControl;
  /** The dependencies that the broker passes to a front-end. */
  readonly context: FrontEndContext;
  readonly outboxLimits: OutboxLimits;
  readonly pool: SlabPool;
  readonly allows: Authorizer['allows'];
  private readonly topics: CoreOptions['topics'] | null;

  constructor(given: CoreOptions = {}) {
    this.generation = 1;
    this.topics = given.topics ?? null;
    const allows = given.allows ?? (() => true);
    this.allows = (_identity: Identity, _vhost, permission, resource) => allows(permission, resource);
    this.clock = 1_700_000_000_000;
    // Timers fire in `tick`.
    this.turn = new Turn({ now: () => this.clock }, () => () => {});
    this.ticker = new Ticker((error) => {
      throw error;
    });
    this.store = new FakeStore({ automatic: true });
    this.retained = new FakeRetained();
    this.turn.sealWith(() => this.store.seal());
    this.meters = newMeters();
    this.turn.boundBy(this.meters);
    this.outboxLimits = given.outbox ?? OUTBOX_DEFAULTS;
    this.pool = new SlabPool();
    const { turn, store, meters, retained } = this;
    const shared = { turn, store, definitions: store.definitions, meters, log: SILENT };
    const memory = new MemoryBudget(DEFAULT_LIMITS.memoryHighBytes);
    this.hosts = new VirtualHosts({
      ...shared,
      memory,
      limits: { ...DEFAULT_LIMITS, ...given.coreLimits },
      retained,
      retainedExchange: 'amq.topic',
      rewriter: amqpRewriter,
    });
    this.hosts.recover();
    this.connections = new ClientConnections();
    const authenticator: Authenticator = {
      authenticate: given.login ?? guestOnly,
      identify: (user) => Promise.resolve(user === 'guest' ? { user, tags: [] } : { refused: 'unknown user' }),
      certified: (user) => ({ user, tags: [] }),
      knows: (user) => user === 'guest',
      exchange: (method) => given.exchange?.(method) ?? null,
      mayEnter: () => true,
    };
    this.access = new AccessControl({ ...shared, hosts: this.hosts, authenticator, authorizer: this });
    this.ledger = new MemoryLedger({ ...DEFAULT_MEMORY_LIMITS, ...given.memoryLimits });
    this.context = {
      access: this.access,
      system: new SystemSession(),
      turn,
      connections: this.connections,
      memory: this.ledger,
      meters,
      log: given.log ?? SILENT,
      retained,
      definitions: store.definitions,
      unauthenticatedMs: 10_000,
      messageBytes: given.messageBytes ?? 1 << 27,
      unackedPerChannel: given.unackedPerChannel ?? 1000,
      version: 'test',
      identity: identityOf('rabbitmq', 'test'),
    };
  }

  restrictsTopics(): boolean {
    return this.topics !== null;
  }

  allowsTopic(
    _identity: Identity,
    _vhost: string,
    _exchange: string,
    permission: string,
    routingKey: string,
    clientId: string | null,
  ): boolean {
    return this.topics!(permission, routingKey, clientId);
  }

  /** A session as another protocol's front-end would open it. */
  session(): Promise<Session> {
    const origin = { loopback: true, address: '127.0.0.1', gone: false };
    return this.access.login({ user: 'guest', password: 'guest', vhost: '/', origin });
  }

  /** Completes pending work: promises, turns, and commits that are not held. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await nextTurn();
  }

  /** Advances the time by this many ticks and fires due timers. */
  tick(ticks: number): void {
    for (let i = 0; i < ticks; i++) {
      this.clock += TICK_MS;
      this.ticker.advance();
      this.turn.timers.fire();
    }
  }
}

const guestOnly: Authenticator['authenticate'] = async ({ user, password }) =>
  password === 'guest' ? { user, tags: [] } : { refused: 'the password is wrong' };
