// What the clients of a run have asked a broker for so far, as far as mutations depend on it: a rule may be about the
// second declare, about an exchange that nobody declared, or about the queue that a channel declared last.

import type { Method } from './packets.ts';

export class Talk {
  /** The channel that declared it. */
  readonly exchanges: Map<string, number>;
  readonly queues: Map<string, number>;
  readonly bindings: Set<string>;
  readonly consumers: { channel: number; queue: string; tag: string; exclusive: boolean }[];
  /** Somebody has selected transactions. */
  transacted: boolean;
  private readonly counts: Map<string, number>;

  constructor() {
    this.exchanges = new Map();
    this.queues = new Map();
    this.bindings = new Set();
    this.consumers = [];
    this.transacted = false;
    this.counts = new Map();
  }

  /** How often this was asked before, by what the caller calls it. */
  times(what: string): number {
    const count = this.counts.get(what) ?? 0;
    this.counts.set(what, count + 1);
    return count;
  }

  /** Whether somebody declared it, or it is there from the start. */
  hasExchange(name: string): boolean {
    return name === '' || name.startsWith('amq.') || this.exchanges.has(name);
  }

  heard(channel: number, { name, args }: Method): void {
    switch (name) {
      case 'exchange.declare':
        if (!args.passive) this.exchanges.set(args.exchange, channel);
        return;
      case 'queue.declare':
        if (!args.passive) this.queues.set(args.queue, channel);
        return;
      case 'queue.bind':
        this.bindings.add(bindingOf(args.queue, args.exchange, args.routingKey));
        return;
      case 'exchange.bind':
        this.bindings.add(bindingOf(args.destination, args.source, args.routingKey));
        return;
      case 'basic.consume':
        this.consumers.push({ channel, queue: args.queue, tag: args.consumerTag, exclusive: args.exclusive });
        return;
      case 'tx.select':
        this.transacted = true;
        return;
    }
  }
}

/** A binding as a text that compares. */
export function bindingOf(destination: string, source: string, routingKey: string): string {
  return JSON.stringify([destination, source, routingKey]);
}

export function keyOf(binding: string): string {
  return (JSON.parse(binding) as [string, string, string])[2];
}
