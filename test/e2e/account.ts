// The rules that the ledgers of publishers and consumers must obey when a broker was killed in between. A client cannot
// know what a killed broker did with its last packets, so the ledgers record what may have happened.

import assert from 'node:assert/strict';

/** A message as its publisher recorded it. */
export interface Sent {
  readonly body: string;
  /** How many times it was sent: a queue has at most this many copies. */
  sendings: number;
  /** When the broker confirmed it, by the test's watch; 0 if it has not. */
  confirmedAt: number;
}

/** A message as a consumer recorded it. */
export interface Delivery {
  readonly routingKey: string;
  readonly body: string;
  readonly redelivered: boolean;
  /** Number of the consumer's connection that delivered it, from 1. */
  readonly connection: number;
  /** `durable`: acknowledged, and the broker later confirmed a publish on the same connection. */
  state: 'out' | 'acked' | 'durable';
}

/**
 * A queue has at most one copy for each time that the message was sent. Each copy is delivered once. It is delivered
 * again, with the redelivered mark, if it was unacknowledged when its connection ended, or acknowledged but possibly
 * not on disk. `connections`: how many the consumer had; the last one is still open.
 */
export function assertAccounted(sent: Sent, deliveries: readonly Delivery[], connections: number): void {
  const history = () => {
    const each = deliveries.map(
      ({ redelivered, connection, state }) => `${state} on ${connection}${redelivered ? ' (redelivered)' : ''}`,
    );
    return `${sent.body.slice(0, 80)}, sent ${sent.sendings} times: ${each.join(', ')}`;
  };
  if (sent.confirmedAt > 0 && deliveries.length === 0) assert.fail(`confirmed and lost: ${history()}`);
  const interrupted = deliveries.filter(({ state, connection }) => state !== 'durable' && connection < connections);
  if (deliveries.length > sent.sendings + interrupted.length) assert.fail(`delivered too often: ${history()}`);
  const unmarked = deliveries.filter(({ redelivered }) => !redelivered);
  if (unmarked.length > sent.sendings) assert.fail(`delivered again without the mark: ${history()}`);
  const settled = deliveries.filter(({ state }) => state === 'durable');
  if (settled.length > sent.sendings) assert.fail(`delivered after its ack was on disk: ${history()}`);
}

/** First occurrences are in publishing order. */
export function assertFirstInOrder(published: readonly string[], seen: readonly string[], where: string): void {
  const first = new Set(seen);
  const wanted = published.filter((body) => first.has(body));
  let at = 0;
  for (const body of first) {
    if (body !== wanted[at]) {
      assert.fail(`${where}: ${body.slice(0, 80)} came where ${wanted[at]?.slice(0, 80)} should have`);
    }
    at++;
  }
}

/** On each connection, messages with a single copy are in publishing order. */
export function assertOrderKept(published: readonly Sent[], deliveries: readonly Delivery[], where: string): void {
  const position = new Map(published.map((sent, index) => [sent.body, sent.sendings === 1 ? index : -1]));
  for (const [connection, own] of Map.groupBy(deliveries, (delivery) => delivery.connection)) {
    let last = -1;
    for (const { body } of own) {
      const index = position.get(body) ?? -1;
      if (index === -1) continue;
      if (index <= last) {
        assert.fail(`${where}, connection ${connection}: ${body.slice(0, 80)} came after a later one`);
      }
      last = index;
    }
  }
}
