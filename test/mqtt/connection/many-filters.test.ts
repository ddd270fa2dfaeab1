// One SUBSCRIBE or UNSUBSCRIBE with thousands of filters is handled in slices: other clients are answered in between, and
// the client's own next packet waits.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { turns } from '../../core/core.ts';
import { publish, subscribe, unsubscribe } from '../bytes.ts';
import { type Client, Harness } from '../harness.ts';

const FILTERS = 3000;
/** Bindings that the first slice, which runs at once, and the next one make. */
const MOST_IN_A_PASS = 128;
const PINGREQ = Buffer.from([0xc0, 0]);
const PINGRESP = 'd000';

const filters = Array.from({ length: FILTERS }, (_, i): [string, number] => [`a/${i}/+`, 0]);

/** Runs passes until the client is answered; in each of them the canary is, and `measure` changes by a slice at most. */
async function untilAnswered(client: Client, canary: Client, measure: () => number): Promise<string[]> {
  let passes = 0;
  for (;;) {
    const before = measure();
    canary.send(PINGREQ);
    await turns(1);
    assert.deepEqual(canary.take(), [PINGRESP]);
    const moved = Math.abs(measure() - before);
    assert.ok(moved <= MOST_IN_A_PASS, `${moved} in one pass`);
    const answers = client.take();
    if (answers.length > 0) {
      assert.ok(passes >= FILTERS / MOST_IN_A_PASS - 1);
      return answers;
    }
    assert.ok(++passes < 1000);
  }
}

describe('thousands of filters in one packet', () => {
  it('are subscribed and unsubscribed in slices, and no later packet overtakes them', async () => {
    const broker = new Harness();
    const [client, canary] = [await broker.connect('c'), await broker.connect('canary')];
    const exchange = broker.hosts.get('/')!.exchange('amq.topic');
    const bindings = (): number => exchange.bindingCount;
    client.send(subscribe(1, ...filters), PINGREQ);
    const subscribed = await untilAnswered(client, canary, bindings);
    assert.ok(subscribed[0]!.startsWith('90'));
    assert.equal(subscribed[1], PINGRESP);
    assert.equal(bindings(), FILTERS);
    client.send(unsubscribe(2, ...filters.map(([filter]) => filter)), PINGREQ);
    assert.deepEqual(await untilAnswered(client, canary, bindings), ['b0020002', PINGRESP]);
    assert.equal(bindings(), 0);
  });

  it('that are all the same are handled in slices, too', async () => {
    const broker = new Harness();
    const client = await broker.connect('c');
    client.send(subscribe(1, ...filters.map((): [string, number] => ['a', 0])));
    let passes = 0;
    while (client.take().length === 0) {
      await turns(1);
      passes++;
    }
    assert.ok(passes >= FILTERS / MOST_IN_A_PASS - 1);
  });

  it('end where the connection ends', async () => {
    const broker = new Harness();
    const client = await broker.connect('c');
    const exchange = broker.hosts.get('/')!.exchange('amq.topic');
    client.send(subscribe(1, ...filters));
    await turns(3);
    client.drop();
    for (let i = 0; i < 5; i++) await broker.settle();
    assert.equal(exchange.bindingCount, 0);
    assert.equal([...broker.hosts.get('/')!.queues.keys()].length, 0);
  });

  it('of the same session over a later connection come after those of the earlier one', async () => {
    const broker = new Harness();
    const first = await broker.connect('c', {}, false);
    first.send(subscribe(1, ...filters.map(([filter]): [string, number] => [filter, 1])));
    await turns(3);
    const second = await broker.connect('c', {}, false);
    for (let i = 0; i < 5; i++) await broker.settle();
    assert.ok(first.closed);
    assert.equal(second.present, true);
    second.send(publish('b', 'x'), subscribe(2, ['b', 0]));
    await broker.settle();
    assert.deepEqual(second.take(), ['9003000200']);
  });

  it('below $SYS have the values computed once for all, in slices', async () => {
    const broker = new Harness({ options: { sysIntervalSeconds: 10 } }).restartFrontEnd();
    const [client, canary] = [await broker.connect('c'), await broker.connect('canary')];
    const host = broker.hosts.get('/')!;
    for (let i = 0; i < 2000; i++)
      host.declareQueue({ name: `q${i}`, durable: false, autoDelete: false, args: [], owner: null });
    let visits = 0;
    const { bindingsOf } = host;
    host.bindingsOf = (queue) => {
      visits++;
      return bindingsOf.call(host, queue);
    };
    client.send(subscribe(1, ...filters.map((): [string, number] => ['$SYS/broker/uptime', 0])));
    const most = 600;
    for (let passes = 0; client.take().length === 0; passes++) {
      assert.ok(passes < 1000);
      const before = visits;
      canary.send(PINGREQ);
      await turns(1);
      assert.deepEqual(canary.take(), [PINGRESP]);
      assert.ok(visits - before <= most, `${visits - before} queues in one pass`);
    }
    await broker.settle();
    assert.ok(visits >= 2000 && visits < 3000, `${visits} visits`);
  });
});
