// A virtual host: the registry of its exchanges, queues and bindings. It declares, checks equivalence, binds and
// deletes, and stores durable definitions (host-definitions.ts). It does not check permissions: the session
// (session.ts) does.

import { DeadLettering } from '../dead-letter/dead-lettering.ts';
import { BrokerError } from '../errors.ts';
import { AlternateExchanges } from '../exchange/alternate-exchanges.ts';
import { DefaultExchange } from '../exchange/default.ts';
import type { Exchange, ExchangeGraph, ExchangeOptions } from '../exchange/exchange.ts';
import { Binding, type Destination } from '../exchange/exchange.ts';
import { EXCHANGE_KINDS, type ExchangeKind, isExchangeKind, newExchange, PREDECLARED } from '../exchange/kinds.ts';
import { Retainer } from '../exchange/retainer.ts';
import type { CoreLimits } from '../limits.ts';
import type { Logger } from '../logger.ts';
import { EMPTY_TABLE, FIELD_TYPE_NAMES, type FieldTable, findField, textOf } from '../message/field-table.ts';
import type { Dialect } from '../message/topic-pattern.ts';
import type { DefinitionStore } from '../ports/definitions.ts';
import type { RetainedStore } from '../ports/retained-store.ts';
import type { Death } from '../queue/death-reason.ts';
import { Queue, type QueueDependencies, type QueueEvents } from '../queue/queue.ts';
import { checkQueueDeclaration, readQueueArguments } from '../queue/queue-arguments.ts';
import type { QueueEntry } from '../queue/queue-entry.ts';
import { recoveredReturns } from '../queue/return-counts.ts';
import type { ExchangeDeclaration, QueueDeclaration } from './declarations.ts';
import { DefinitionChanges } from './definition-changes.ts';
import { bindingBytes, exchangeBytes, queueBytes } from './definition-sizes.ts';
import { DirectReplies } from './direct-replies.ts';
import { requireSameExchange, requireSameQueue } from './equivalence.ts';
import { HostDefinitions, type StoredBinding } from './host-definitions.ts';
import { QueueBindings } from './queue-bindings.ts';

/** What all virtual hosts of a broker share. */
export interface VirtualHostDependencies extends QueueDependencies {
  readonly definitions: DefinitionStore;
  readonly limits: CoreLimits;
  readonly log: Logger;
  readonly retained: RetainedStore;
  /** Name of the topic exchange whose messages may be retained: the exchange that MQTT uses. */
  readonly retainedExchange: string;
}

export class VirtualHost implements QueueEvents {
  readonly name: string;
  readonly queues: Map<string, Queue>;
  readonly exchanges: Map<string, Exchange>;
  readonly replies: DirectReplies;
  readonly retainer: Retainer;
  readonly changes: DefinitionChanges;
  private readonly dependencies: VirtualHostDependencies;
  readonly deadLetters: DeadLettering;
  private readonly alternates: AlternateExchanges;
  private readonly definitions: HostDefinitions;
  private readonly queueBindings: QueueBindings;
  private readonly graph: ExchangeGraph;
  private bindingCount: number;
  /** Memory of exchanges, queues and bindings. */
  definitionBytes: number;

  constructor(name: string, dependencies: VirtualHostDependencies) {
    this.name = name;
    this.dependencies = dependencies;
    this.queues = new Map();
    this.exchanges = new Map();
    this.deadLetters = new DeadLettering(this.exchanges, dependencies);
    this.replies = new DirectReplies();
    this.retainer = new Retainer(dependencies.retained, name);
    this.changes = new DefinitionChanges(dependencies.store, dependencies.turn);
    this.alternates = new AlternateExchanges();
    this.definitions = new HostDefinitions(name, dependencies.definitions);
    this.queueBindings = new QueueBindings();
    this.graph = { find: (exchange) => this.exchanges.get(exchange) ?? null, generation: 0 };
    this.bindingCount = 0;
    this.definitionBytes = 0;
    this.exchanges.set('', new DefaultExchange(this.queues));
    for (const [exchange, kind] of PREDECLARED) {
      const options = { name: exchange, durable: true, autoDelete: false, internal: false, args: EMPTY_TABLE };
      this.exchanges.set(exchange, this.makeExchange(kind, options));
    }
  }

  /** The exchange of that name. Throws not-found. */
  exchange(name: string): Exchange {
    const exchange = this.exchanges.get(name);
    if (exchange === undefined) {
      throw new BrokerError('not-found', `no exchange '${name}' in vhost '${this.name}'`);
    }
    return exchange;
  }

  /** The queue of that name. Throws not-found, and resource-locked if it is exclusive to another session. */
  queue(name: string, owner: object): Queue {
    const queue = this.queues.get(name);
    if (queue === undefined) throw new BrokerError('not-found', `no queue '${name}' in vhost '${this.name}'`);
    if (queue.owner !== null && queue.owner !== owner) {
      throw new BrokerError(
        'resource-locked',
        `cannot obtain exclusive access to locked queue '${name}' in vhost '${this.name}'. It could be originally ` +
          'declared on another connection or the exclusive property value does not match that of the original declaration.',
      );
    }
    return queue;
  }

  /** The bindings that lead to a queue. Read only. */
  bindingsOf(queue: Queue): ReadonlySet<Binding> {
    return this.queueBindings.of(queue);
  }

  /** Declares an exchange, or checks that the existing one is equivalent. True if it is new and durable. */
  declareExchange(declaration: ExchangeDeclaration): boolean {
    const { name, kind } = declaration;
    const known = this.exchanges.get(name);
    if (known !== undefined) {
      requireSameExchange(known, declaration, this.name);
      return false;
    }
    if (name.startsWith('amq.')) {
      throw new BrokerError('access-refused', `exchange name '${name}' contains reserved prefix 'amq.*'`);
    }
    if (!isExchangeKind(kind)) {
      throw new BrokerError('not-allowed', `invalid exchange type '${kind}'; known are ${EXCHANGE_KINDS.join(', ')}`);
    }
    const alternate = findField(declaration.args, 'alternate-exchange');
    if (alternate !== null && textOf(alternate) === null) {
      const type = FIELD_TYPE_NAMES[alternate.type];
      const what = `for arg 'alternate-exchange' in exchange '${name}' in vhost '${this.name}'`;
      throw new BrokerError('precondition-failed', `invalid type '${type}' ${what}`);
    }
    this.requireRoom(this.exchanges.size, 'exchanges');
    const exchange = this.makeExchange(kind, declaration);
    this.addExchange(exchange);
    if (!exchange.durable) return false;
    this.definitions.putExchange(exchange, kind);
    return true;
  }

  /** Deletes an exchange with its bindings. True if its definition was durable. */
  deleteExchange(name: string, ifUnused: boolean): boolean {
    if (name === '' || name.startsWith('amq.')) {
      throw new BrokerError(
        'access-refused',
        name === ''
          ? 'operation not permitted on the default exchange'
          : `deletion of system exchange '${name}' in vhost '${this.name}' not allowed`,
      );
    }
    const exchange = this.exchanges.get(name);
    // Deleting an exchange that does not exist succeeds, as in RabbitMQ since 3.2.
    if (exchange === undefined) return false;
    if (ifUnused && exchange.bindingCount > 0) {
      throw new BrokerError('precondition-failed', `exchange '${name}' in vhost '${this.name}' in use`);
    }
    this.dropExchange(exchange);
    return exchange.durable;
  }

  /**
   * Declares a queue, or checks that the existing one is equivalent. If it is `created` and durable the caller awaits
   * its commit.
   */
  declareQueue(declaration: QueueDeclaration): { readonly queue: Queue; readonly created: boolean } {
    const { name, owner } = declaration;
    const known = this.queues.get(name);
    if (known !== undefined) {
      this.queue(name, owner ?? this);
      requireSameQueue(known, declaration, this.name);
      return { queue: known, created: false };
    }
    const { durable, autoDelete, args } = declaration;
    checkQueueDeclaration(args, { durable, exclusive: owner !== null, autoDelete }, name, this.name);
    this.requireRoom(this.queues.size, 'queues');
    // One id for each priority lane, used or not: the id of a lane is the queue's id plus its priority.
    const id = this.dependencies.store.nextQueueId(1 + readQueueArguments(args, name, this.name).maxPriority);
    const queue = new Queue({ ...declaration, id }, this.dependencies, this);
    this.queues.set(name, queue);
    this.definitionBytes += queueBytes(queue);
    this.exchange('').invalidate();
    if (queue.persisted) this.definitions.putQueue(queue, false);
    return { queue, created: true };
  }

  /** Deletes a queue, its bindings and its messages. Returns the number of ready messages. */
  deleteQueue(queue: Queue): number {
    if (queue.deleted) return 0;
    for (const binding of [...this.queueBindings.of(queue)]) this.removeBinding(binding);
    this.queues.delete(queue.name);
    this.definitionBytes -= queueBytes(queue);
    this.exchange('').invalidate();
    if (queue.persisted) this.definitions.removeQueue(queue);
    queue.owner?.disowned(queue);
    return queue.delete();
  }

  /** Binds, unless an equal binding exists. True if it is new and durable. */
  bind(source: Exchange, destination: Destination, routingKey: string, args: FieldTable, dialect: Dialect): boolean {
    if (source.name === '') throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
    const binding = new Binding(source, destination, routingKey, args, dialect);
    if (source.findBinding(binding.identity, args, dialect) !== null) return false;
    this.requireRoom(this.bindingCount, 'bindings');
    source.admit(args);
    this.link(binding);
    if (!binding.durable) return false;
    this.definitions.putBinding(binding);
    return true;
  }

  /** Unbinds. Does nothing if there is no such binding (as RabbitMQ). True if it was durable. */
  unbind(source: Exchange, destination: Destination, routingKey: string, args: FieldTable, dialect: Dialect): boolean {
    if (source.name === '') throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
    const probe = new Binding(source, destination, routingKey, args, dialect);
    const binding = source.findBinding(probe.identity, args, dialect);
    if (binding === null) return false;
    const { durable } = binding;
    this.removeBinding(binding);
    return durable;
  }

  /** Recovers the durable definitions: exchanges first, then queues, then bindings. */
  recover(): void {
    const { definitions } = this;
    // Times that start at recovery (x-expires) start now.
    this.dependencies.turn.begin();
    for (const stored of definitions.exchanges()) {
      this.addExchange(this.makeExchange(stored.kind, stored));
    }
    for (const stored of definitions.queues()) {
      const queue = new Queue(stored, this.dependencies, this);
      queue.recover(stored.expiring);
      queue.touch();
      this.queues.set(queue.name, queue);
      this.definitionBytes += queueBytes(queue);
    }
    for (const { queue, seq, count } of recoveredReturns(this.dependencies.definitions, this.name)) {
      this.queues.get(queue)?.returns?.recovered(seq, count);
    }
    for (const stored of definitions.bindings()) {
      const source = this.exchanges.get(stored.source);
      const destination = this.destinationOf(stored);
      if (source === undefined || destination === null) continue;
      this.link(new Binding(source, destination, stored.routingKey, stored.args, stored.dialect));
    }
  }

  /** Called at an orderly stop: no client holds a delivery any more. */
  settleDelivered(): void {
    for (const queue of this.queues.values()) queue.mark?.settle();
  }

  unused(queue: Queue): void {
    this.deleteQueue(queue);
  }

  died(entry: QueueEntry, death: Death): void {
    this.deadLetters.add(entry, death);
  }

  /**
   * Stores that messages of the queue may expire, so that a restart looks for those that expired meanwhile. If a full
   * disk refuses the record they are found when the queue is next read; an expired message is never delivered.
   */
  expiring(queue: Queue): void {
    if (!queue.deleted) this.definitions.putQueue(queue, true);
  }

  damaged(queue: Queue, error: Error): void {
    this.dependencies.log.error({ vhost: this.name, queue: queue.name, error }, 'a stored message cannot be read');
  }

  /** Removes a binding, and its source if that is auto-delete and this was its last binding. */
  private removeBinding(binding: Binding): void {
    const last = this.unlink(binding);
    binding.source.invalidate();
    if (last) this.dropExchange(binding.source);
  }

  /**
   * Deletes an exchange with its bindings, and the auto-delete exchanges whose last binding led to it. This is a loop
   * and not a recursion, because clients can build chains of any length. All exchanges that are deleted here, or whose
   * routes change, lead to the first one, so invalidating its routes invalidates theirs.
   */
  private dropExchange(first: Exchange): void {
    first.invalidate();
    const ending = new Set([first]);
    for (const exchange of ending) {
      exchange.deleted = true;
      this.exchanges.delete(exchange.name);
      this.definitionBytes -= exchangeBytes(exchange);
      for (const binding of [...exchange.all()]) this.unlink(binding);
      for (const source of [...exchange.dependents]) {
        for (const binding of [...source.bindingsTo(exchange)]) if (this.unlink(binding)) ending.add(source);
      }
      this.alternates.unlink(exchange);
      if (exchange.durable) this.definitions.removeExchange(exchange);
    }
  }

  private addExchange(exchange: Exchange): void {
    this.exchanges.set(exchange.name, exchange);
    this.definitionBytes += exchangeBytes(exchange);
    this.alternates.link(exchange);
  }

  /** Adds a binding to its source and its destination. */
  private link(binding: Binding): void {
    binding.source.add(binding);
    if (binding.queue !== null) this.queueBindings.add(binding.queue, binding);
    this.bindingCount++;
    this.definitionBytes += bindingBytes(binding);
  }

  /** Removes a binding and its definition. True if its source is auto-delete and has no binding left. */
  private unlink(binding: Binding): boolean {
    const { source } = binding;
    if (binding.durable) this.definitions.removeBinding(binding);
    source.detach(binding);
    if (binding.queue !== null) this.queueBindings.remove(binding.queue, binding);
    this.bindingCount--;
    this.definitionBytes -= bindingBytes(binding);
    return source.autoDelete && source.bindingCount === 0 && !source.deleted;
  }

  private makeExchange(kind: ExchangeKind, options: ExchangeOptions): Exchange {
    const exchange = newExchange(kind, options, this.graph);
    if (kind === 'topic' && options.name === this.dependencies.retainedExchange) exchange.retainer = this.retainer;
    return exchange;
  }

  private destinationOf({ destinationType, destination }: StoredBinding): Destination | null {
    if (destinationType === 'queue') {
      const queue = this.queues.get(destination);
      return queue === undefined ? null : { queue };
    }
    const exchange = this.exchanges.get(destination);
    return exchange === undefined ? null : { exchange };
  }

  private requireRoom(count: number, what: 'exchanges' | 'queues' | 'bindings'): void {
    const { limits, meters, memory } = this.dependencies;
    const limit = limits[`${what}PerVhost`];
    if (count >= limit) {
      meters.limitHits[`limits.${what}PerVhost`]++;
      throw new BrokerError('limit-exceeded', `vhost '${this.name}' has reached its limit of ${limit} ${what}`);
    }
    if (this.definitionBytes >= limits.definitionBytesPerVhost) {
      meters.limitHits['limits.definitionBytesPerVhost']++;
      const bytes = limits.definitionBytesPerVhost;
      const text = `vhost '${this.name}' has reached its limit of ${bytes} bytes of queues, exchanges and bindings`;
      throw new BrokerError('limit-exceeded', text);
    }
    if (memory.processLow) throw new BrokerError('limit-exceeded', `low on memory: no new ${what} now`);
  }
}
