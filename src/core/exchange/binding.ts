// A binding: source exchange, destination (a queue or an exchange), routing key, arguments and the dialect in which the
// key is read. Two bindings are the same where all of these are the same (AMQP 0-9-1 §1.7.2.3, arguments included, as
// RabbitMQ).

import { type FieldTable, sameTable } from '../message/field-table.ts';
import type { Queue } from '../queue/queue.ts';
import { readTerms, type Terms } from '../queue/subscription-options.ts';
import type { Exchange } from './exchange.ts';

/**
 * How a topic binding's key is read. `amqp`: words between dots, `*` one word, `#` zero or more. `mqtt`: an MQTT topic
 * filter with `/` and `.` swapped, `+` one word, `#` (last) zero or more, `*` literal, and a leading wildcard does not
 * match a topic that starts with `$` [MQTT-4.7.2-1].
 */
export const DIALECTS = ['amqp', 'mqtt'] as const;
export type Dialect = (typeof DIALECTS)[number];

export type Destination = { readonly queue: Queue } | { readonly exchange: Exchange };

export class Binding {
  readonly source: Exchange;
  /** Exactly one of the two is set. */
  readonly queue: Queue | null;
  readonly exchange: Exchange | null;
  readonly routingKey: string;
  readonly args: FieldTable;
  readonly dialect: Dialect;
  /** What it says of the messages that it selects (arguments `x-mqtt-…`). */
  readonly terms: Terms;
  /** The next binding with the same destination and key but other arguments or dialect; the source's list. */
  sibling: Binding | null;
  /** Where it stands in the list of bindings with the same pattern; the topic trie's. */
  place: number;

  constructor(source: Exchange, destination: Destination, routingKey: string, args: FieldTable, dialect: Dialect) {
    this.source = source;
    this.queue = 'queue' in destination ? destination.queue : null;
    this.exchange = 'exchange' in destination ? destination.exchange : null;
    this.routingKey = routingKey;
    this.args = args;
    this.dialect = dialect;
    this.terms = readTerms(args);
    this.sibling = null;
    this.place = 0;
  }

  get durable(): boolean {
    return this.source.durable && (this.queue?.persisted ?? this.exchange!.durable);
  }

  /** Destination and key in one string: what a source's bindings are found by. Both may hold any character. */
  get identity(): string {
    const { name } = this.queue ?? this.exchange!;
    return `${this.queue !== null ? 'q' : 'e'}${name.length} ${name}${this.routingKey}`;
  }

  same(args: FieldTable, dialect: Dialect): boolean {
    return this.dialect === dialect && sameTable(this.args, args);
  }
}
