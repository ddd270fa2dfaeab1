// How often the entries of one queue returned unacknowledged, for a queue with a delivery limit. The counts survive a
// restart, so that a message that crashes its consumers is given up even if the broker restarts meanwhile. One record
// for each entry that returned and is not settled, in the same batches as the entries. On a full disk a count may be
// lost.

import { type Message, NEVER } from '../message/message.ts';
import type { PropertyRewriter } from '../message/property-rewriter.ts';
import type { DefinitionStore } from '../ports/definitions.ts';

const KIND = 'return';

export class ReturnCounts {
  private readonly definitions: DefinitionStore;
  private readonly vhost: string;
  private readonly queue: string;
  private readonly bySeq: Map<number, number>;

  constructor(definitions: DefinitionStore, vhost: string, queue: string) {
    this.definitions = definitions;
    this.vhost = vhost;
    this.queue = queue;
    this.bySeq = new Map();
  }

  /** A count from an earlier start. */
  recovered(seq: number, count: number): void {
    this.bySeq.set(seq, count);
  }

  of(seq: number): number {
    return this.bySeq.get(seq) ?? 0;
  }

  /** The entry returned for the `count`th time, and may be delivered again. */
  returned(seq: number, count: number): void {
    this.bySeq.set(seq, count);
    this.definitions.put(KIND, this.name(seq), { count });
  }

  settled(seq: number): void {
    if (this.bySeq.delete(seq)) this.definitions.remove(KIND, this.name(seq));
  }

  /** All entries but these are settled. */
  settledExcept(kept: ReadonlySet<number>): void {
    for (const seq of [...this.bySeq.keys()]) if (!kept.has(seq)) this.settled(seq);
  }

  private name(seq: number): readonly string[] {
    return [this.vhost, this.queue, `${seq}`];
  }
}

/** The counts of an earlier start for all queues of a virtual host, by queue name. */
export function* recoveredReturns(
  definitions: DefinitionStore,
  vhost: string,
): Iterable<{ readonly queue: string; readonly seq: number; readonly count: number }> {
  for (const { name, value } of definitions.all(KIND)) {
    if (name[0] === vhost) yield { queue: name[1]!, seq: Number(name[2]), count: value.count as number };
  }
}

const HEADER = 'x-delivery-count';

/** The message with the header x-delivery-count, which replaces one that it had (as RabbitMQ's quorum queues do). */
export function withDeliveryCount(message: Message, returns: number, rewriter: PropertyRewriter): Message {
  const properties = message.properties();
  const others = properties.headers.filter(({ name }) => name !== HEADER);
  const headers = [...others, { name: HEADER, value: { type: 'l', value: BigInt(returns) } } as const];
  const native = rewriter.rewrite(message, { ...properties, headers });
  return message.copy({ native, codec: rewriter.codec, expirationMs: NEVER });
}
