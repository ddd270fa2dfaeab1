// Routes that were walked before, by routing key: two maps of bounded size, young and old. A full young map becomes the
// old one. So memory is bounded, and keys in use stay cached while many keys that are used once pass. The bound counts
// targets and the length of keys as well: 8,192 keys that each reach a thousand subscribers would hold 8 million
// targets.
//
// A route carries the generation of the exchange in which it was found. Bindings change often, and most changes concern
// few keys. So an older route is compared with the changes since then, and walked again only if one of them may match
// its key. Otherwise 1,000 subscriptions a second would empty the cache of every publisher 1,000 times
// (bench/route-cache).

import type { Target } from '../queue/target.ts';
import type { BindingChanges } from './binding-changes.ts';

/** Keys in each of the two maps. 2 × 8,192 keys of 32 bytes with one target each take about 3 MiB. */
const CAPACITY = 8192;
/** Targets and blocks of 32 characters of keys in each of the two maps. A single route may exceed it. */
const WEIGHT = 8 * CAPACITY;

/** Changes after which void routes are removed. Looking at 16,384 routes takes a millisecond. */
const SWEEP_AFTER = 64;

interface CachedRoute {
  readonly targets: readonly Target[];
  generation: number;
}

export class RouteCache {
  private readonly changes: BindingChanges;
  private young: Map<string, CachedRoute>;
  private old: Map<string, CachedRoute>;
  private weight: number;
  /** The generation in which void routes were removed last. */
  private swept: number;

  constructor(changes: BindingChanges) {
    this.changes = changes;
    this.young = new Map();
    this.old = new Map();
    this.weight = 0;
    this.swept = changes.generation;
  }

  /** The targets found earlier, if nothing has changed for this key since then; else null. */
  find(routingKey: string): readonly Target[] | null {
    const young = this.young.get(routingKey);
    const known = young ?? this.old.get(routingKey);
    if (known === undefined) return null;
    const { generation } = this.changes;
    if (known.generation !== generation) {
      if (this.changes.concern(routingKey, known.generation)) return null;
      known.generation = generation;
    }
    if (young === undefined) this.place(routingKey, known);
    return known.targets;
  }

  /** Routes in the cache, valid or void. */
  get size(): number {
    return this.young.size + this.old.size;
  }

  /** Caches a route of the current generation. */
  keep(routingKey: string, targets: readonly Target[]): void {
    this.place(routingKey, { targets, generation: this.changes.generation });
  }

  private place(routingKey: string, route: CachedRoute): void {
    if (this.changes.generation - this.swept >= SWEEP_AFTER) this.sweep();
    const weight = route.targets.length + (routingKey.length >> 5);
    if (this.young.size >= CAPACITY || (this.weight + weight > WEIGHT && this.young.size > 0)) {
      this.old = this.young;
      this.young = new Map();
      this.weight = 0;
    }
    this.weight += weight;
    this.young.set(routingKey, route);
  }

  /** Removes void routes: they would keep deleted queues, and the sessions of their clients, in memory. */
  private sweep(): void {
    this.swept = this.changes.generation;
    for (const routes of [this.young, this.old]) {
      for (const [routingKey, { generation }] of routes) if (this.changes.forgot(generation)) routes.delete(routingKey);
    }
  }
}
