// The rules that the ledgers of publishers and consumers are held against when a broker was killed in between. Nobody is
// told what a broker that dies has done with the last that it was sent, so the ledgers say what may have happened.

import assert from 'node:assert/strict';

/** A message as its publisher knows it. */
export interface Sent {
  readonly body: string;
  /** How many times it was sent: at most so many copies are in a queue. */
  sendings: number;
  /** When the broker confirmed it, by the test's watch; 0: not yet. */
  confirmedAt: number;
}

/** A message as a consumer knows it. */
export interface Delivery {
  readonly routingKey: string;
  readonly body: string;
  readonly redelivered: boolean;
  /** Which of the consumer's connections it came over, from 1. */
  readonly connection: number;
  /** `durable`: acknowledged, and the broker confirmed something that was published on that connection afterwards. */
  state: 'out' | 'acked' | 'durable';
}

/**
 * A queue holds a copy for each time that the message was sent, at most. Each is delivered once, and once more where it
 * was out, or acknowledged but not for certain on disk, when its connection ended; and then it bears the mark.
 * `connections`: how many the consumer had; the last has not ended.
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

/** The first occurrences are in the order in which they were published. */
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

/** On each connection messages that are in the queue once come in the order in which they were published. */
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
