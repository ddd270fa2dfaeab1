// Wills and session ends: what is published when, and what a restart finds.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Connect5, disconnect5, p, publish5, subscribe5 } from '../../../support/wire/mqtt5.ts';
import { publish, subscribe } from '../bytes.ts';
import { type Client, Harness } from '../harness.ts';

async function watching(broker: Harness): Promise<Client> {
  const watcher = await broker.connect5('watcher');
  watcher.send(subscribe5(1, [], ['w/#', 2]));
  await broker.settle();
  watcher.take();
  return watcher;
}

function withWill(delay: number, expiry: number, more: Connect5 = {}): Connect5 {
  const properties = [p.user('k', 'v'), p.willDelay(delay), p.contentType('text/plain'), p.messageExpiry(60)];
  const will = { topic: 'w/c', payload: 'gone', qos: 1, properties };
  return { clean: false, properties: [p.sessionExpiry(expiry)], will, ...more };
}

/** The will as a subscriber gets it. */
const WILL = publish5('w/c', 'gone', {
  qos: 1,
  id: 1,
  properties: [p.messageExpiry(60), p.user('k', 'v'), p.contentType('text/plain')],
}).toString('hex');

/** Half-second ticks. */
async function seconds(broker: Harness, count: number): Promise<void> {
  await broker.settle();
  broker.tick(count * 2);
  await broker.settle();
}

describe('a will', () => {
  it('is published when its client goes without DISCONNECT, with its properties', async () => {
    const broker = new Harness();
    const watcher = await watching(broker);
    const client = await broker.connect5('c', withWill(0, 0));
    client.drop();
    await broker.settle();
    assert.deepEqual(watcher.take(), [WILL]);
  });

  it('is published after DISCONNECT with 0x04, and not after any other', async () => {
    const broker = new Harness();
    const watcher = await watching(broker);
    for (const [reason, expected] of [
      [0, []],
      [4, [WILL]],
    ] as const) {
      const client = await broker.connect5('c', withWill(0, 0));
      client.send(disconnect5(reason));
      await broker.settle();
      assert.deepEqual(watcher.take(), expected);
    }
  });

  it('waits for its delay, and is not published where the client is back before', async () => {
    const broker = new Harness();
    const watcher = await watching(broker);
    const client = await broker.connect5('c', withWill(5, 100));
    client.drop();
    await seconds(broker, 4);
    assert.deepEqual(watcher.take(), []);
    const back = await broker.connect5('c', withWill(5, 100));
    assert.ok(back.present);
    await seconds(broker, 10);
    assert.deepEqual(watcher.take(), []);
    back.drop();
    await seconds(broker, 6);
    assert.deepEqual(watcher.take(), [WILL]);
    await seconds(broker, 200);
    assert.deepEqual(watcher.take(), [], 'once');
  });

  it('is published when its session ends before its delay does', async () => {
    const broker = new Harness();
    const watcher = await watching(broker);
    const shortLived = await broker.connect5('c', withWill(1000, 0));
    shortLived.drop();
    await broker.settle();
    assert.equal(watcher.take().length, 1, 'a session without expiry');
    const expiring = await broker.connect5('c', withWill(1000, 5));
    expiring.drop();
    await seconds(broker, 6);
    assert.equal(watcher.take().length, 1, 'a session that expires');
    const cleaned = await broker.connect5('c', withWill(1000, 100));
    cleaned.drop();
    await broker.settle();
    assert.equal(watcher.take().length, 0);
    await broker.connect5('c');
    await broker.settle();
    assert.equal(watcher.take().length, 1, 'a clean start');
  });

  it('is published without its delay when those of clients that are away take too much memory', async () => {
    const broker = new Harness({ limits: { waitingWillBytes: 1000 } });
    const watcher = await watching(broker);
    const payload = 'g'.repeat(200);
    const will = (clientId: string) => ({
      ...withWill(5, 100),
      clientId,
      will: { topic: `w/${clientId}`, payload, qos: 0, properties: [p.willDelay(5)] },
    });
    const first = await broker.connect5('a', will('a'));
    const second = await broker.connect5('b', will('b'));
    first.drop();
    await broker.settle();
    assert.equal(watcher.take().length, 0, 'there is room for one');
    second.drop();
    await broker.settle();
    assert.match(Buffer.from(watcher.take()[0]!, 'hex').toString('latin1'), /w\/bg?/);
    assert.equal(broker.meters.limitHits['mqtt.waitingWillBytes' as never], 1);
    // Published in its time, the first makes room again.
    await seconds(broker, 6);
    assert.equal(watcher.take().length, 1);
    const third = await broker.connect5('b', will('b'));
    third.drop();
    await broker.settle();
    assert.equal(watcher.take().length, 0);
    await seconds(broker, 6);
    assert.equal(watcher.take().length, 1);
  });

  it('at a takeover is published, unless it has a delay and the session goes on', async () => {
    const broker = new Harness();
    const watcher = await watching(broker);
    await broker.connect5('c', withWill(0, 100));
    await broker.connect5('c', withWill(10, 100));
    assert.equal(watcher.take().length, 1, 'without a delay');
    await broker.connect5('c', { clean: false, properties: [p.sessionExpiry(100)] });
    await seconds(broker, 50);
    assert.equal(watcher.take().length, 0, 'with a delay');
  });

  it('of a client that was connected when the broker ended is published after the restart', async () => {
    const broker = new Harness();
    await broker.connect5('c', withWill(3, 100));
    const watcher = await watching(broker.restartFrontEnd());
    await seconds(broker, 2);
    assert.deepEqual(watcher.take(), []);
    await seconds(broker, 2);
    assert.deepEqual(watcher.take(), [WILL]);
    broker.restartFrontEnd();
    const later = await watching(broker);
    await seconds(broker, 100);
    assert.deepEqual(later.take(), [], 'once');
  });

  it('is published to nobody where its client may not any more, now or after its delay', async () => {
    for (const delay of [0, 2]) {
      for (const answer of [() => false, () => Promise.reject(new Error('the directory is down'))]) {
        let mayWrite: () => boolean | Promise<boolean> = () => true;
        const broker = new Harness({
          allows: (permission, resource) => (permission === 'write' && resource === 'amq.topic' ? mayWrite() : true),
        });
        const watcher = await watching(broker);
        const client = await broker.connect5('c', withWill(delay, 10));
        mayWrite = answer;
        broker.generation++;
        client.drop();
        await seconds(broker, 5);
        assert.deepEqual(watcher.take(), []);
        assert.ok((await broker.connect5('c', { clean: false })).present);
      }
    }
  });

  it('with the retain flag is retained', async () => {
    const broker = new Harness();
    const client = await broker.connect('c', { will: { topic: 'w/r', payload: 'kept' }, flags: 0xe6 });
    client.drop();
    await broker.settle();
    const late = await broker.connect('late');
    late.send(subscribe(1, ['w/#', 0]));
    await broker.settle();
    assert.equal(late.take().at(-1), publish('w/r', 'kept', 0, 0, 1).toString('hex'));
  });
});

describe('a session', () => {
  it('ends when its expiry has passed, with all that it held', async () => {
    const broker = new Harness();
    const client = await broker.connect5('c', { clean: false, properties: [p.sessionExpiry(5)] });
    client.send(subscribe5(1, [], ['a', 1]));
    await broker.settle();
    client.drop();
    await seconds(broker, 4);
    assert.equal(broker.hosts.get('/')!.queues.size, 1);
    await seconds(broker, 2);
    assert.equal(broker.hosts.get('/')!.queues.size, 0);
    assert.deepEqual([...broker.store.definitions.all('session')], []);
    assert.ok(!(await broker.connect5('c', { clean: false })).present);
  });

  it('is gone from disk when it ends, also where nothing else happens', async () => {
    const broker = new Harness();
    const client = await broker.connect5('c', { clean: false, properties: [p.sessionExpiry(1)] });
    client.send(publish5('a', 'x', { qos: 2, id: 1 }));
    await broker.settle();
    client.drop();
    await broker.settle();
    assert.equal([...broker.store.packets.all()].length, 1);
    broker.tick(4);
    await broker.settle();
    assert.ok(!broker.store.packets.hasPending());
    assert.deepEqual([...broker.store.packets.all()], []);
  });

  it('does not end while its client is connected, and begins anew to expire when it goes', async () => {
    const broker = new Harness();
    const fields = { clean: false, properties: [p.sessionExpiry(5)] };
    const client = await broker.connect5('c', fields);
    await seconds(broker, 20);
    client.drop();
    await seconds(broker, 4);
    const back = await broker.connect5('c', fields);
    assert.ok(back.present);
    await seconds(broker, 20);
    assert.ok(!back.closed);
  });

  it('that expired while the broker was down is gone after the restart', async () => {
    const broker = new Harness();
    const fields = { clean: false, properties: [p.sessionExpiry(5)] };
    (await broker.connect5('c', fields)).drop();
    await broker.connect5('connected', fields);
    await broker.settle();
    broker.clock += 60_000;
    broker.turn.begin();
    await broker.settle();
    broker.restartFrontEnd();
    await seconds(broker, 1);
    assert.ok(!(await broker.connect5('c', fields)).present);
    assert.ok((await broker.connect5('connected', fields)).present, 'it was connected until the end');
  });

  it('with an expiry that DISCONNECT made longer lives longer', async () => {
    const broker = new Harness();
    const client = await broker.connect5('c', { clean: false, properties: [p.sessionExpiry(5)] });
    client.send(disconnect5(0, [p.sessionExpiry(50)]));
    await seconds(broker, 20);
    assert.ok((await broker.connect5('c', { clean: false })).present);
  });
});
