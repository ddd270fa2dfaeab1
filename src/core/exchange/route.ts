// One walk from an exchange to the queues that a message reaches.

import type { Message } from '../message/message.ts';
import type { Queue } from '../queue/queue.ts';
import type { SubscriptionOptions } from '../queue/subscription-options.ts';
import { Target } from '../queue/target.ts';

/** An exchange as a route sees it. */
export interface RoutedExchange {
  /** Hands each binding that matches to `route.follow`. True if at least one matched. */
  match(route: Route): boolean;
  /** The exchange that gets what this one cannot route, or null. */
  alternateExchange(): RoutedExchange | null;
}

/** A binding as a route sees it: exactly one of `queue` and `exchange` is set. */
export interface RoutedBinding {
  readonly queue: Queue | null;
  readonly exchange: RoutedExchange | null;
  readonly subscriptionOptions: SubscriptionOptions;
}

/**
 * One walk from an exchange to its queues. It owns the visited set, so that a message passes each exchange once even if
 * bindings form a cycle, and merges the bindings that reach the same queue into one target.
 */
export class Route {
  /** What is matched: a message with several routing keys is matched with one after the other (`matchAt`). */
  message: Message;
  routingKey: string;
  readonly targets: Target[];
  /** Created with the second queue: most routes have one. */
  private byQueue: Map<Queue, Target> | null;
  /** Exchanges in the order in which they are walked. */
  private readonly visited: Set<RoutedExchange>;

  constructor(message: Message) {
    this.message = message;
    this.routingKey = message.routingKey;
    this.targets = [];
    this.byQueue = null;
    this.visited = new Set();
  }

  /**
   * Walks an exchange and all exchanges that it leads to, each once. An exchange without a match passes the message to
   * its alternate. This is a loop and not a recursion, because clients can build chains of any length.
   */
  walk(from: RoutedExchange): void {
    this.visited.add(from);
    for (const exchange of this.visited) if (!exchange.match(this)) this.goOnToAlternate(exchange);
  }

  /** Begins a walk whose steps the caller takes, with `matchAt`: gives the exchanges in order, later ones too. */
  begin(from: RoutedExchange): Iterator<RoutedExchange> {
    this.visited.add(from);
    return this.visited.values();
  }

  /** Matches a message with this routing key at an exchange. True if a binding matched. */
  matchAt(exchange: RoutedExchange, message: Message): boolean {
    this.message = message;
    this.routingKey = message.routingKey;
    return exchange.match(this);
  }

  /** No binding of the exchange has matched. */
  goOnToAlternate(exchange: RoutedExchange): void {
    const alternate = exchange.alternateExchange();
    if (alternate !== null) this.visited.add(alternate);
  }

  /** Follows a binding that matched. */
  follow(binding: RoutedBinding): void {
    if (binding.queue !== null) this.reach(binding.queue, binding.subscriptionOptions);
    else this.visited.add(binding.exchange!);
  }

  /** Adds a queue, or merges the options into its target if the route has it already. */
  reach(queue: Queue, subscriptionOptions: SubscriptionOptions): void {
    const { targets } = this;
    let known: Target | undefined;
    if (this.byQueue !== null) known = this.byQueue.get(queue);
    else if (targets.length === 1 && targets[0]!.queue === queue) known = targets[0];
    if (known !== undefined) {
      known.widen(subscriptionOptions);
      return;
    }
    const target = new Target(queue, subscriptionOptions);
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
