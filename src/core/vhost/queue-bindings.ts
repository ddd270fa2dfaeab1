// The bindings that lead to each queue of a virtual host. The virtual host adds and removes them together with those of
// their source exchange, so that deleting a queue finds its bindings without a search.

import type { Binding } from '../exchange/exchange.ts';
import type { Queue } from '../queue/queue.ts';

const NO_BINDINGS: ReadonlySet<Binding> = new Set();

export class QueueBindings {
  /** Queues with a binding at least. */
  private readonly byQueue: Map<Queue, Set<Binding>>;

  constructor() {
    this.byQueue = new Map();
  }

  /** The bindings that lead to a queue; read only, and changed by `add` and `remove`. */
  of(queue: Queue): ReadonlySet<Binding> {
    return this.byQueue.get(queue) ?? NO_BINDINGS;
  }

  /** A binding whose destination is a queue. */
  add(queue: Queue, binding: Binding): void {
    const known = this.byQueue.get(queue);
    if (known === undefined) this.byQueue.set(queue, new Set([binding]));
    else known.add(binding);
  }

  remove(queue: Queue, binding: Binding): void {
    const known = this.byQueue.get(queue);
    if (known?.delete(binding) && known.size === 0) this.byQueue.delete(queue);
  }
}
