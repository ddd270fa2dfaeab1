// The route of a message with further routing keys (sender-selected distribution: the headers CC and BCC). As in RabbitMQ
// every key goes on to every exchange on the way: a binding is followed if any of the keys matches it. It is found key by
// key and exchange by exchange, because a client may name hundreds of keys, and each may match thousands of bindings.

import type { Message } from '../message/message.ts';
import type { Target } from '../queue/target.ts';
import type { Exchange } from './exchange.ts';
import { Route, type RoutedExchange } from './route.ts';

export class CopiesRoute {
  readonly message: Message;
  private readonly exchange: Exchange;
  private readonly routingKeys: readonly string[];
  /** The message with each of its keys, its own first; made with the first further key. */
  private readonly messages: Message[];
  private found: readonly Target[];
  /** The walk, if there are further keys. */
  private readonly route: Route | null;
  private readonly exchanges: Iterator<RoutedExchange>;
  /** The exchange at which keys are matched; null: all were walked. */
  private at: RoutedExchange | null;
  /** The next key there, of `messages`. */
  private key: number;
  /** Whether a key has matched there. */
  private matched: boolean;

  constructor(exchange: Exchange, message: Message, routingKeys: readonly string[]) {
    this.message = message;
    this.exchange = exchange;
    this.routingKeys = routingKeys;
    this.messages = [message];
    this.found = [];
    this.route = routingKeys.length === 0 ? null : new Route(message);
    this.exchanges = this.route === null ? [].values() : this.route.begin(exchange);
    this.at = exchange;
    this.key = 0;
    this.matched = false;
    if (this.route !== null) this.exchanges.next();
  }

  /** Whether all keys were followed. */
  get done(): boolean {
    return this.at === null;
  }

  /** The key that `next` brings to the first exchange; null: it goes on from there. Not called when `done`. */
  get nextKey(): string | null {
    if (this.at !== this.exchange) return null;
    return this.key === 0 ? this.message.routingKey : this.routingKeys[this.key - 1]!;
  }

  /** Matches one more key at one exchange. */
  next(): void {
    const { route, exchange } = this;
    if (route === null) {
      this.found = exchange.route(this.message);
      this.at = null;
      return;
    }
    if (route.matchAt(this.at!, this.messageOf(this.key))) this.matched = true;
    this.key++;
    if (this.key <= this.routingKeys.length) return;
    if (!this.matched) route.goOnToAlternate(this.at!);
    const next = this.exchanges.next();
    this.at = next.done === true ? null : next.value;
    this.key = 0;
    this.matched = false;
  }

  /** The queues that were reached, each once. */
  get targets(): readonly Target[] {
    return this.route === null ? this.found : this.route.targets;
  }

  private messageOf(key: number): Message {
    const { messages } = this;
    if (key === messages.length) messages.push(this.message.copy({ routingKey: this.routingKeys[key - 1]! }));
    return messages[key]!;
  }
}
