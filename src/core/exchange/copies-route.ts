// The route of a message with further routing keys (sender-selected distribution: the headers CC and BCC), key by key: a
// client may name hundreds, and each may match thousands of bindings.

import type { Message } from '../message/message.ts';
import type { Queue } from '../queue/queue.ts';
import { NO_TARGETS, type Target } from '../queue/target.ts';
import type { Exchange } from './exchange.ts';

export class CopiesRoute {
  readonly message: Message;
  private readonly exchange: Exchange;
  private readonly routingKeys: readonly string[];
  /** The next of `routingKeys`; -1: the message's own. */
  private at: number;
  private found: readonly Target[];
  /** Made with the first further key. */
  private byQueue: Map<Queue, Target> | null;

  constructor(exchange: Exchange, message: Message, routingKeys: readonly string[]) {
    this.message = message;
    this.exchange = exchange;
    this.routingKeys = routingKeys;
    this.at = -1;
    this.found = NO_TARGETS;
    this.byQueue = null;
  }

  /** Whether all keys were followed. */
  get done(): boolean {
    return this.at === this.routingKeys.length;
  }

  /** The key that `next` follows; not called when `done`. */
  get nextKey(): string {
    return this.at === -1 ? this.message.routingKey : this.routingKeys[this.at]!;
  }

  /** Follows one more key. */
  next(): void {
    const { exchange, message } = this;
    if (this.at === -1) this.found = exchange.route(message);
    else this.add(exchange.route(message.copy({ routingKey: this.nextKey })));
    this.at++;
  }

  /** The queues that were reached, each once. */
  get targets(): readonly Target[] {
    return this.byQueue === null ? this.found : [...this.byQueue.values()];
  }

  private add(targets: readonly Target[]): void {
    this.byQueue ??= new Map(this.found.map((target) => [target.queue, target]));
    for (const target of targets) {
      const known = this.byQueue.get(target.queue);
      if (known === undefined || known.qos < target.qos) this.byQueue.set(target.queue, target);
    }
  }
}
