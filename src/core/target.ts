// Where a route ends: a queue, with what the bindings that matched say, merged. A publish reaches a queue once, however
// many of its bindings match.

import type { Binding } from './binding.ts';
import type { Exchange } from './exchange.ts';
import type { Message } from './message.ts';
import type { Queue } from './queue.ts';

export class Target {
  readonly queue: Queue;
  /** The highest QoS of the bindings that matched. */
  qos: number;

  constructor(queue: Queue, qos: number) {
    this.queue = queue;
    this.qos = qos;
  }
}

export const NO_TARGETS: readonly Target[] = Object.freeze([]);

/**
 * One walk from an exchange to its queues. It owns the visited set, so cycles of exchange-to-exchange bindings deliver
 * once, and merges bindings into targets.
 */
export class Route {
  readonly message: Message;
  readonly routingKey: string;
  readonly targets: Target[];
  /** Made when a second queue or a second exchange turns up: most routes have one of each. */
  private byQueue: Map<Queue, Target> | null;
  private visited: Set<Exchange> | null;

  constructor(message: Message) {
    this.message = message;
    this.routingKey = message.routingKey;
    this.targets = [];
    this.byQueue = null;
    this.visited = null;
  }

  /** Follows a binding that matched. */
  follow(binding: Binding): void {
    if (binding.queue !== null) this.reach(binding.queue, binding.qos);
    else this.enter(binding.exchange!);
  }

  /** Adds a queue, or widens its target where it is there already. */
  reach(queue: Queue, qos: number): void {
    const { targets } = this;
    let known: Target | undefined;
    if (this.byQueue !== null) known = this.byQueue.get(queue);
    else if (targets.length === 1 && targets[0]!.queue === queue) known = targets[0];
    if (known !== undefined) {
      if (qos > known.qos) known.qos = qos;
      return;
    }
    const target = new Target(queue, qos);
    targets.push(target);
    if (targets.length < 2) return;
    if (this.byQueue === null) {
      this.byQueue = new Map();
      for (let i = 0; i < targets.length; i++) this.byQueue.set(targets[i]!.queue, targets[i]!);
    } else {
      this.byQueue.set(queue, target);
    }
  }

  /** Walks an exchange, unless this route was there before. An exchange that matches nothing hands over to its alternate. */
  enter(exchange: Exchange): void {
    this.visited ??= new Set();
    if (this.visited.has(exchange)) return;
    this.visited.add(exchange);
    if (exchange.match(this)) return;
    const alternate = exchange.alternateExchange();
    if (alternate !== null) this.enter(alternate);
  }
}
