// The consumers of one queue, and which of them gets the next message. Consumers that may have credit are listed by
// priority, highest first; the first group (equal priority) is served round robin. A consumer without credit leaves the
// list until it reports that it is ready again, so that a delivery never searches through blocked consumers.
//
// With a single active consumer (RabbitMQ's x-single-active-consumer) only one is ever listed: the first that
// subscribed. When it ends the next one, by priority and then by age, takes over. A consumer that subscribes later
// waits, whatever its priority.

import type { Consumer } from './consumer.ts';

export class ConsumerSet {
  private readonly members: Set<Consumer>;
  private readonly listed: Consumer[];
  /** Number of consumers at the front of `listed` that share the highest priority. */
  private group: number;
  private cursor: number;
  private readonly single: boolean;
  /** The single active consumer; null if the queue has none. */
  private active: Consumer | null;

  constructor(single = false) {
    this.single = single;
    this.active = null;
    this.members = new Set();
    this.listed = [];
    this.group = 0;
    this.cursor = 0;
  }

  get size(): number {
    return this.members.size;
  }

  [Symbol.iterator](): IterableIterator<Consumer> {
    return this.members.values();
  }

  /** Whether the only consumer is exclusive. */
  get exclusive(): boolean {
    for (const consumer of this.members) return consumer.exclusive;
    return false;
  }

  /** Whether the queue has a single active consumer. */
  get singleActive(): boolean {
    return this.single;
  }

  add(consumer: Consumer): void {
    this.members.add(consumer);
    if (this.single) this.active ??= consumer;
  }

  /** Removes a consumer. Returns the consumer that becomes active because of it, or null. */
  remove(consumer: Consumer): Consumer | null {
    this.members.delete(consumer);
    if (consumer.listed) this.unlist(this.listed.indexOf(consumer));
    if (this.active !== consumer) return null;
    this.active = null;
    for (const member of this.members) {
      if (this.active === null || member.priority > this.active.priority) this.active = member;
    }
    return this.active;
  }

  /** The consumer may have credit. */
  list(consumer: Consumer): void {
    if (consumer.listed || !this.members.has(consumer) || (this.single && consumer !== this.active)) return;
    consumer.listed = true;
    let at = this.listed.length;
    while (at > 0 && this.listed[at - 1]!.priority < consumer.priority) at--;
    this.listed.splice(at, 0, consumer);
    if (at === 0) {
      this.group = 1;
      this.cursor = 0;
    } else if (this.listed[0]!.priority === consumer.priority) {
      this.group++;
    }
  }

  /** The consumer that gets the next entry, or null if none has credit. */
  next(): Consumer | null {
    while (this.listed.length > 0) {
      const at = this.cursor < this.group ? this.cursor : 0;
      const consumer = this.listed[at]!;
      if (consumer.hasCredit()) {
        this.cursor = at + 1;
        return consumer;
      }
      this.cursor = at;
      this.unlist(at);
    }
    return null;
  }

  private unlist(at: number): void {
    this.listed[at]!.listed = false;
    this.listed.splice(at, 1);
    if (at < this.cursor) this.cursor--;
    if (at < this.group && --this.group === 0) this.updateGroup();
  }

  private updateGroup(): void {
    const { listed } = this;
    this.cursor = 0;
    let group = 0;
    while (group < listed.length && listed[group]!.priority === listed[0]!.priority) group++;
    this.group = group;
  }
}
