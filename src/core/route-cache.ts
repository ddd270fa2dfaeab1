// Routes that were walked before, by routing key: two maps of bounded size, young and old. A full young map becomes the
// old one, so that memory is bounded and keys in use survive a scan of keys that are not. A new generation of the
// exchange empties both. The bound counts targets and the length of keys as well: 8,192 keys that each reach a thousand
// subscribers would hold 8 million targets.

import type { Target } from './target.ts';

/** Keys in each of the two maps. 2 × 8,192 keys of 32 bytes with one target each take about 3 MiB. */
const CAPACITY = 8192;
/** Targets and blocks of 32 characters of keys in each of the two maps. A route alone may have more. */
const WEIGHT = 8 * CAPACITY;

export class RouteCache {
  private young: Map<string, readonly Target[]>;
  private old: Map<string, readonly Target[]>;
  private weight: number;
  private generation: number;

  constructor() {
    this.young = new Map();
    this.old = new Map();
    this.weight = 0;
    this.generation = -1;
  }

  /** The targets found earlier in this generation, or null. */
  find(routingKey: string, generation: number): readonly Target[] | null {
    if (generation !== this.generation) {
      this.generation = generation;
      if (this.young.size > 0) this.young = new Map();
      this.weight = 0;
      if (this.old.size > 0) this.old = new Map();
      return null;
    }
    const young = this.young.get(routingKey);
    if (young !== undefined) return young;
    const old = this.old.get(routingKey);
    if (old === undefined) return null;
    this.keep(routingKey, old);
    return old;
  }

  /** Remembers a route of the generation that `find` was last asked for. */
  keep(routingKey: string, targets: readonly Target[]): void {
    const weight = targets.length + (routingKey.length >> 5);
    if (this.young.size >= CAPACITY || (this.weight + weight > WEIGHT && this.young.size > 0)) {
      this.old = this.young;
      this.young = new Map();
      this.weight = 0;
    }
    this.weight += weight;
    this.young.set(routingKey, targets);
  }
}
