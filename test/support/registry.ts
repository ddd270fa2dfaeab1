// The core's registries without disk or sockets, for tests of their readers: virtual hosts over a store that keeps
// nothing, and connections that only have properties.

import { amqpRewriter } from '../../protocols/amqp/foreign-properties.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { SILENT } from '../../src/core/logger.ts';
import { EMPTY_TABLE, type FieldTable } from '../../src/core/message/field-table.ts';
import { type Meters, newMeters } from '../../src/core/ports/meters.ts';
import { MemoryBudget } from '../../src/core/queue/memory-budget.ts';
import {
  type ClientConnection,
  ClientConnections,
  type ConnectionInfo,
} from '../../src/core/session/client-connection.ts';
import { DEFAULT_MEMORY_LIMITS, MemoryLedger } from '../../src/core/session/memory-ledger.ts';
import type { Faults } from '../../src/core/turn/faults.ts';
import { Turn } from '../../src/core/turn/turn.ts';
import type { TurnWatch } from '../../src/core/turn/turn-watch.ts';
import { VirtualHosts } from '../../src/core/vhost/virtual-hosts.ts';
import type { ProcessFigures } from '../../src/metrics/metrics.ts';
import { FakeRetained } from '../../support/fake-retained.ts';
import { forgetfulStore } from '../../support/forgetful-store.ts';
import { RecordedDefinitions } from './recorded-definitions.ts';

export interface Registry {
  readonly hosts: VirtualHosts;
  readonly connections: ClientConnections;
  readonly meters: Meters;
  readonly memory: MemoryBudget;
  readonly ledger: MemoryLedger;
  readonly process: () => ProcessFigures;
  readonly watch: TurnWatch;
  readonly faults: Faults;
}

export function registry(): Registry {
  const meters = newMeters();
  const turn = new Turn({ now: () => 0 });
  const memory = new MemoryBudget(DEFAULT_LIMITS.memoryHighBytes);
  const hosts = new VirtualHosts({
    definitions: new RecordedDefinitions(),
    limits: DEFAULT_LIMITS,
    log: SILENT,
    retained: new FakeRetained(),
    retainedExchange: 'amq.topic',
    store: forgetfulStore(),
    memory,
    meters,
    rewriter: amqpRewriter,
    turn,
  });
  hosts.recover();
  const ledger = new MemoryLedger(DEFAULT_MEMORY_LIMITS);
  const { watch, faults } = turn;
  const process = () => ({ heap: 1, heapLimit: 2, external: 3 });
  return { hosts, connections: new ClientConnections(), meters, memory, ledger, process, watch, faults };
}

/** Declares a durable, non-exclusive queue. */
export function declare(hosts: VirtualHosts, vhost: string, name: string, args: FieldTable = EMPTY_TABLE): void {
  hosts.get(vhost)!.declareQueue({ name, durable: true, autoDelete: false, args, owner: null });
}

export function connection(id: number, info: Partial<ConnectionInfo>): ClientConnection {
  const whole: ConnectionInfo = {
    protocol: 'AMQP 0-9-1',
    user: 'guest',
    vhost: '/',
    peer: '127.0.0.1:4711',
    secure: false,
    connectedAt: 1_700_000_000_000,
    channels: 1,
    bytesRead: 10,
    bytesWritten: 20,
    state: 'running',
    clientProperties: EMPTY_TABLE,
    name: null,
    ...info,
  };
  return { id, info: () => whole, block() {}, unblock() {}, shutdown() {} };
}
