// What all exchanges share: identity, the set of bindings, the route cache and its generation. Each kind decides, in
// its own file, how bindings are indexed and which of them match a message. `Binding` stands here too, because an
// exchange and its bindings refer to each other. Two bindings are equal if source, destination, routing key, arguments
// and dialect are equal (AMQP 0-9-1 §1.7.2.3; arguments included, as in RabbitMQ).

import { type FieldTable, findField, sameTable, textOf } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import { type PackedTable, packedBytes, packTable, unpackTable } from '../message/packed-table.ts';
import type { Dialect } from '../message/topic-pattern.ts';
import type { Queue } from '../queue/queue.ts';
import { readSubscriptionOptions, type SubscriptionOptions } from '../queue/subscription-options.ts';
import { NO_TARGETS, type Target } from '../queue/target.ts';
import { BindingChanges } from './binding-changes.ts';
import type { Retainer } from './retainer.ts';
import { Route } from './route.ts';
import { RouteCache } from './route-cache.ts';
import { SiblingBindings } from './sibling-bindings.ts';

export interface ExchangeOptions {
  readonly name: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  /** Only other exchanges may publish to it. */
  readonly internal: boolean;
  readonly args: FieldTable;
}

/** The exchanges of one virtual host, as each of them sees the others. */
export interface ExchangeGraph {
  /** The exchange of that name, or null. */
  find(name: string): Exchange | null;
  /**
   * Grows when bindings change in an exchange that others lead to. One number for all, and not a walk to those others:
   * clients can build chains of any length, and change their ends as often as they like.
   */
  generation: number;
}

export abstract class Exchange {
  abstract readonly kind: string;
  readonly name: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly internal: boolean;
  private readonly packedArgs: PackedTable;
  /** Name of the alternate exchange, which gets what this one cannot route, or null. */
  readonly alternate: string | null;
  deleted: boolean;
  /** Stores retained messages, if this is the exchange that MQTT uses; else null. */
  retainer: Retainer | null;
  /** Exchanges whose routes pass through this one: sources of bindings to it, and exchanges whose alternate it is. */
  readonly dependents: Set<Exchange>;
  private readonly graph: ExchangeGraph;
  /** The generation of the graph that the cached routes know. */
  private graphGeneration: number;
  private readonly changes: BindingChanges;
  /** By identity: the binding, or several that differ in arguments or dialect. */
  private readonly bindings: Map<string, Binding | SiblingBindings<Binding>>;
  /** Bindings that lead to other exchanges, by destination; created with the first. */
  private leads: Map<Exchange, Set<Binding>> | null;
  private cache: RouteCache | null;
  /** Whether routes may be cached, and the generation in which that was decided. */
  private keyed: boolean;
  private keyedGeneration: number;
  private count: number;

  constructor(options: ExchangeOptions, graph: ExchangeGraph) {
    this.name = options.name;
    this.durable = options.durable;
    this.autoDelete = options.autoDelete;
    this.internal = options.internal;
    this.packedArgs = packTable(options.args);
    this.alternate = textOf(findField(options.args, 'alternate-exchange'));
    this.deleted = false;
    this.retainer = null;
    this.dependents = new Set();
    this.graph = graph;
    this.graphGeneration = graph.generation;
    this.changes = new BindingChanges((bindingKey, routingKey) => this.mayMatch(bindingKey, routingKey));
    this.bindings = new Map();
    this.leads = null;
    this.cache = null;
    this.keyed = true;
    this.keyedGeneration = -1;
    this.count = 0;
  }

  get args(): FieldTable {
    return unpackTable(this.packedArgs);
  }

  /** Memory that its arguments take. */
  get argumentBytes(): number {
    return packedBytes(this.packedArgs);
  }

  /** Before a client's binding is added. Throws BrokerError for one that costs too much here. */
  admit(_args: FieldTable): void {}

  /** Hands each binding that matches to `route.follow`. True if at least one matched. */
  abstract match(route: Route): boolean;
  /** Adds a binding to the kind's index. Throws BrokerError for arguments that the kind cannot read. */
  protected abstract file(binding: Binding): void;
  protected abstract unfile(binding: Binding): void;
  /** Whether a binding with this key can match that routing key; true if that is too slow to decide. */
  protected abstract mayMatch(bindingKey: string, routingKey: string): boolean;
  /** Whether the kind routes by more than the routing key. */
  protected get readsMessage(): boolean {
    return false;
  }

  /** Whether the routing key alone decides the route, here and in every exchange that this one leads to. */
  get cacheable(): boolean {
    if (this.keyedGeneration !== this.generation) {
      this.keyedGeneration = this.generation;
      this.keyed = this.closure().every((exchange) => !exchange.readsMessage);
    }
    return this.keyed;
  }

  /**
   * Grows when a route that passes through this exchange may have changed: its own bindings, or those of an exchange
   * that it leads to.
   */
  get generation(): number {
    if (this.graphGeneration !== this.graph.generation) this.followGraph();
    return this.changes.generation;
  }

  get bindingCount(): number {
    return this.count;
  }

  /** The queues that a message published here reaches. Shared and cached: read only. */
  route(message: Message): readonly Target[] {
    return this.knownRoute(message) ?? this.findRoute(message);
  }

  /** As `route`, if nothing has to be matched for it; else null. */
  knownRoute(message: Message): readonly Target[] | null {
    if (!this.cacheable || this.cache === null) return null;
    return this.cache.find(message.routingKey);
  }

  /** As `route`, by a walk over the bindings, which may take long. */
  findRoute(message: Message): readonly Target[] {
    const targets = this.walk(message);
    if (!this.cacheable) return targets;
    this.cache ??= new RouteCache(this.changes);
    this.cache.keep(message.routingKey, targets);
    return targets;
  }

  /** The binding with that destination and key (see `Binding.identity`), arguments and dialect, or null. */
  findBinding(identity: string, args: FieldTable, dialect: Dialect): Binding | null {
    const known = this.bindings.get(identity);
    if (known === undefined) return null;
    if (known instanceof SiblingBindings) return known.find(args, dialect);
    return known.same(args, dialect) ? known : null;
  }

  /** A binding with that destination and key in that dialect, with any arguments, or null. */
  findInDialect(identity: string, dialect: Dialect): Binding | null {
    const known = this.bindings.get(identity);
    if (known === undefined) return null;
    if (!(known instanceof SiblingBindings)) return known.dialect === dialect ? known : null;
    for (const binding of known.values()) if (binding.dialect === dialect) return binding;
    return null;
  }

  /** Adds a binding. The caller has checked with `findBinding` that it does not exist. */
  add(binding: Binding): void {
    this.file(binding);
    const { identity } = binding;
    const known = this.bindings.get(identity);
    if (known === undefined) this.bindings.set(identity, binding);
    else if (known instanceof SiblingBindings) known.add(binding);
    else this.bindings.set(identity, new SiblingBindings(known, binding));
    this.count++;
    if (binding.exchange !== null) this.lead(binding, binding.exchange);
    this.changed(binding);
  }

  remove(binding: Binding): void {
    this.detach(binding);
    this.changed(binding);
  }

  /** Removes a binding without invalidating routes: the caller has invalidated them. */
  detach(binding: Binding): void {
    this.unfile(binding);
    this.unlink(binding);
    this.count--;
    if (binding.exchange !== null) this.removeLead(binding, binding.exchange);
  }

  /** The bindings that lead from here to another exchange. */
  bindingsTo(exchange: Exchange): Iterable<Binding> {
    return this.leads?.get(exchange) ?? [];
  }

  /** All bindings, in no order. */
  *all(): IterableIterator<Binding> {
    for (const known of this.bindings.values()) {
      if (known instanceof SiblingBindings) yield* known.values();
      else yield known;
    }
  }

  /** Invalidates every route through this exchange, and those of all exchanges that lead here. */
  invalidate(): void {
    this.changes.anything();
    this.invalidateDependents();
  }

  /** Invalidates the routes that a binding with this key may be part of. */
  private changed(binding: Binding): void {
    this.changes.binding(binding.routingKey);
    this.invalidateDependents();
  }

  private invalidateDependents(): void {
    if (this.dependents.size > 0) this.graph.generation++;
  }

  /** Somewhere an exchange that others lead to has changed: if this one leads to others, its routes are void. */
  private followGraph(): void {
    this.graphGeneration = this.graph.generation;
    if (this.leads !== null || this.alternate !== null) this.changes.anything();
  }

  alternateExchange(): Exchange | null {
    return this.alternate === null ? null : this.graph.find(this.alternate);
  }

  private walk(message: Message): readonly Target[] {
    const route = new Route(message);
    route.walk(this);
    return route.targets.length === 0 ? NO_TARGETS : route.targets;
  }

  private unlink(binding: Binding): void {
    const { identity } = binding;
    const known = this.bindings.get(identity)!;
    if (known instanceof SiblingBindings) {
      known.remove(binding);
      if (known.size > 0) return;
    }
    this.bindings.delete(identity);
  }

  private lead(binding: Binding, to: Exchange): void {
    this.leads ??= new Map();
    const known = this.leads.get(to);
    if (known === undefined) this.leads.set(to, new Set([binding]));
    else known.add(binding);
    to.dependents.add(this);
  }

  private removeLead(binding: Binding, to: Exchange): void {
    const known = this.leads!.get(to)!;
    known.delete(binding);
    if (known.size > 0) return;
    this.leads!.delete(to);
    if (this.leads!.size === 0) this.leads = null;
    if (this.alternate !== to.name) to.dependents.delete(this);
  }

  /** This exchange and all exchanges that a message published here may pass through. */
  private closure(): Exchange[] {
    const reached = new Set<Exchange>([this]);
    for (const exchange of reached) {
      if (exchange.leads !== null) for (const next of exchange.leads.keys()) reached.add(next);
      const alternate = exchange.alternateExchange();
      if (alternate !== null) reached.add(alternate);
    }
    return [...reached];
  }
}

export type Destination = { readonly queue: Queue } | { readonly exchange: Exchange };

export class Binding {
  readonly source: Exchange;
  /** Exactly one of the two is set. */
  readonly queue: Queue | null;
  readonly exchange: Exchange | null;
  readonly routingKey: string;
  private readonly packedArgs: PackedTable;
  readonly dialect: Dialect;
  /** Options of an MQTT subscription for the messages that it matches (arguments `x-mqtt-…`). */
  readonly subscriptionOptions: SubscriptionOptions;
  /** Its index in the list of bindings with the same pattern; the topic trie maintains it. */
  place: number;

  constructor(source: Exchange, destination: Destination, routingKey: string, args: FieldTable, dialect: Dialect) {
    this.source = source;
    this.queue = 'queue' in destination ? destination.queue : null;
    this.exchange = 'exchange' in destination ? destination.exchange : null;
    this.routingKey = routingKey;
    this.packedArgs = packTable(args);
    this.dialect = dialect;
    this.subscriptionOptions = readSubscriptionOptions(args);
    this.place = 0;
  }

  get args(): FieldTable {
    return unpackTable(this.packedArgs);
  }

  /** Memory that its arguments take. */
  get argumentBytes(): number {
    return packedBytes(this.packedArgs);
  }

  get durable(): boolean {
    return this.source.durable && (this.queue?.persisted ?? this.exchange!.durable);
  }

  /**
   * Destination and key in one string, by which an exchange finds its bindings. The length separates them, because both
   * may contain any character.
   */
  get identity(): string {
    const { name } = this.queue ?? this.exchange!;
    return `${this.queue !== null ? 'q' : 'e'}${name.length} ${name}${this.routingKey}`;
  }

  same(args: FieldTable, dialect: Dialect): boolean {
    return this.dialect === dialect && sameTable(this.args, args);
  }
}
