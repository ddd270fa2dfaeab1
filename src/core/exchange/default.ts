// The default exchange (AMQP 0-9-1 §3.1.2.1): every queue is bound to it under its own name, and clients cannot change
// that. It stores no bindings: a route is one lookup in the registry of queues.

import { EMPTY_TABLE } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import type { Queue } from '../queue/queue.ts';
import { DEFAULT_SUBSCRIPTION_OPTIONS } from '../queue/subscription-options.ts';
import { NO_TARGETS, type Target } from '../queue/target.ts';
import type { Binding } from './exchange.ts';
import { Exchange, type ExchangeGraph } from './exchange.ts';
import type { Route } from './route.ts';

/** It leads to no other exchange. */
const ALONE: ExchangeGraph = { find: () => null, generation: 0 };

export class DefaultExchange extends Exchange {
  readonly kind = 'direct';
  private readonly queues: ReadonlyMap<string, Queue>;

  constructor(queues: ReadonlyMap<string, Queue>) {
    super({ name: '', durable: true, autoDelete: false, internal: false, args: EMPTY_TABLE }, ALONE);
    this.queues = queues;
  }

  override knownRoute(message: Message): readonly Target[] {
    const queue = this.queues.get(message.routingKey);
    return queue === undefined ? NO_TARGETS : queue.selfRoute;
  }

  match(route: Route): boolean {
    const queue = this.queues.get(route.routingKey);
    if (queue === undefined) return false;
    route.reach(queue, DEFAULT_SUBSCRIPTION_OPTIONS);
    return true;
  }

  protected mayMatch(): boolean {
    return true;
  }

  /** Never called: virtual-host.ts refuses bindings on the default exchange. */
  protected file(_binding: Binding): void {
    throw new Error('the default exchange takes no bindings');
  }

  protected unfile(_binding: Binding): void {
    throw new Error('the default exchange has no bindings');
  }
}
