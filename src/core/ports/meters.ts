// Plain counters of what the broker did. The core and the store count, metrics read them when scraped.

import { type LimitHits, newLimitHits } from './limit-hits.ts';

/** Plain counters that metrics read when scraped. One object for the process; fields only grow. */
export interface Meters {
  published: number;
  publishedBytes: number;
  delivered: number;
  deliveredBytes: number;
  acknowledged: number;
  /** Rejected without requeue: they became dead letters, or were dropped. */
  rejected: number;
  redelivered: number;
  unroutable: number;
  returned: number;
  /** QoS 0 messages dropped because the receiver did not keep up. */
  droppedDirect: number;
  /** Messages that a full queue dropped or refused. */
  overflowed: number;
  /** Messages that expired in a queue. */
  expired: number;
  /** Messages that exceeded the delivery limit of their queue. */
  overDeliveryLimit: number;
  /** Of all these, those that a dead letter exchange got. */
  deadLetteredRejected: number;
  deadLetteredExpired: number;
  deadLetteredMaxlen: number;
  deadLetteredDeliveryLimit: number;
  /** Dead letters that reached no queue: no such exchange or binding, or an automatic cycle. */
  deadLettersLost: number;
  /** Messages whose routing key makes no legal topic, or that are too large for a receiver. */
  undeliverable: number;
  pagedOut: number;
  pagedIn: number;
  commits: number;
  committedEntries: number;
  publishersBlocked: number;
  /** Messages that were not retained because of a limit. */
  retainedRefused: number;
  /** How often each limit was reached that drops, refuses or closes something. */
  readonly limitHits: LimitHits;
}

export function newMeters(): Meters {
  return {
    published: 0,
    publishedBytes: 0,
    delivered: 0,
    deliveredBytes: 0,
    acknowledged: 0,
    rejected: 0,
    redelivered: 0,
    unroutable: 0,
    returned: 0,
    droppedDirect: 0,
    overflowed: 0,
    expired: 0,
    overDeliveryLimit: 0,
    deadLetteredRejected: 0,
    deadLetteredExpired: 0,
    deadLetteredMaxlen: 0,
    deadLetteredDeliveryLimit: 0,
    deadLettersLost: 0,
    undeliverable: 0,
    pagedOut: 0,
    pagedIn: 0,
    commits: 0,
    committedEntries: 0,
    publishersBlocked: 0,
    retainedRefused: 0,
    limitHits: newLimitHits(),
  };
}
