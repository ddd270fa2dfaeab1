// The bindings that lead to each queue of a virtual host. The virtual host adds and removes a binding here and at its
// source exchange together, so that deleting a queue finds its bindings without a search.

import type { Binding } from '../exchange/exchange.ts';
import type { Queue } from '../queue/queue.ts';

const NO_BINDINGS: ReadonlySet<Binding> = new Set();

export class QueueBindings {
  /** Queues that have at least one binding. */
  private readonly byQueue: Map<Queue, Set<Binding>>;

  constructor() {
    this.byQueue = new Map();
  }

  /** The bindings that lead to a queue. Read only; `add` and `remove` change it. */
  of(queue: Queue): ReadonlySet<Binding> {
    return this.byQueue.get(queue) ?? NO_BINDINGS;
  }

  /** Adds a binding whose destination is a queue. */
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
