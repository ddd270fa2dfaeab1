// The requests of a run's clients so far, as far as mutations depend on them: a rule may concern the second declare, an
// undeclared exchange, or the queue that a channel declared last.

import type { Method } from './packets.ts';

export class Talk {
  /** The channel that declared it. */
  readonly exchanges: Map<string, number>;
  readonly queues: Map<string, number>;
  readonly bindings: Set<string>;
  readonly consumers: { channel: number; queue: string; tag: string; exclusive: boolean }[];
  /** Whether a client has sent tx.select. */
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

  /** How often this key was counted before. */
  times(what: string): number {
    const count = this.counts.get(what) ?? 0;
    this.counts.set(what, count + 1);
    return count;
  }

  /** Whether a client has declared it, or it is predeclared. */
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

/** A binding as a comparable text. */
export function bindingOf(destination: string, source: string, routingKey: string): string {
  return JSON.stringify([destination, source, routingKey]);
}

export function keyOf(binding: string): string {
  return (JSON.parse(binding) as [string, string, string])[2];
}
