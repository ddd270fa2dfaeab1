// Where a route ends: a queue, with what the bindings that matched say, merged. A publish reaches a queue once, however
// many of its bindings match.

import type { Binding } from '../exchange/binding.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Message } from '../message/message.ts';
import type { Queue } from './queue.ts';
import { mergeTerms, type Terms } from './subscription-options.ts';

export class Target {
  readonly queue: Queue;
  /** The highest QoS of the bindings that matched. */
  qos: number;
  /** All that these bindings say. */
  terms: Terms;
  /** The same for what the queue's own client publishes: without the no-local ones; null: it is not for the queue. */
  echo: Terms | null;

  constructor(queue: Queue, terms: Terms) {
    this.queue = queue;
    this.qos = terms.qos;
    this.terms = terms;
    this.echo = terms.noLocal ? null : terms;
  }

  /** One more binding to the queue matched. */
  widen(terms: Terms): void {
    if (terms !== this.terms) this.terms = mergeTerms(this.terms, terms);
    if (!terms.noLocal) this.echo = this.echo === null ? terms : mergeTerms(this.echo, terms);
    this.qos = this.terms.qos;
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
  /** Made when a second queue turns up: most routes have one. */
  private byQueue: Map<Queue, Target> | null;
  /** In the order in which they are walked. */
  private readonly visited: Set<Exchange>;

  constructor(message: Message) {
    this.message = message;
    this.routingKey = message.routingKey;
    this.targets = [];
    this.byQueue = null;
    this.visited = new Set();
  }

  /**
   * Walks an exchange and all that it leads to, each once. One that matches nothing hands over to its alternate. A loop
   * and no recursion: chains of exchanges are as long as clients make them.
   */
  walk(from: Exchange): void {
    this.visited.add(from);
    for (const exchange of this.visited) {
      if (exchange.match(this)) continue;
      const alternate = exchange.alternateExchange();
      if (alternate !== null) this.visited.add(alternate);
    }
  }

  /** Follows a binding that matched. */
  follow(binding: Binding): void {
    if (binding.queue !== null) this.reach(binding.queue, binding.terms);
    else this.visited.add(binding.exchange!);
  }

  /** Adds a queue, or widens its target where it is there already. */
  reach(queue: Queue, terms: Terms): void {
    const { targets } = this;
    let known: Target | undefined;
    if (this.byQueue !== null) known = this.byQueue.get(queue);
    else if (targets.length === 1 && targets[0]!.queue === queue) known = targets[0];
    if (known !== undefined) {
      known.widen(terms);
      return;
    }
    const target = new Target(queue, terms);
    targets.push(target);
    if (targets.length < 2) return;
    if (this.byQueue === null) {
      this.byQueue = new Map();
      for (let i = 0; i < targets.length; i++) this.byQueue.set(targets[i]!.queue, targets[i]!);
    } else {
      this.byQueue.set(queue, target);
    }
  }
}
