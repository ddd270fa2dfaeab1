// The complete QoS 2 handshake: what is committed before which packet is sent, which packets are resent after a
// reconnect or restart, and that an id keeps standing for its message.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connect5, p, publish5, reason5, subscribe5 } from '../../../support/wire/mqtt5.ts';
import { ack, connect, publish, subscribe } from '../bytes.ts';
import { type Client, Harness, reasonOf } from '../harness.ts';

function hex(...packets: Buffer[]): string[] {
  return packets.map((bytes) => bytes.toString('hex'));
}

const KEPT = { clean: false, properties: [p.sessionExpiry(0xffff_ffff)] };

/** A client with a persistent session subscribed to `a/#` at QoS 2. */
async function persistent(broker: Harness, clientId = 'c'): Promise<Client> {
  const client = await broker.connect5(clientId, KEPT);
  client.send(subscribe5(1, [], ['a/#', 2]));
  await broker.settle();
  client.take();
  return client;
}

const records = (broker: Harness): string[] =>
  [...broker.store.packets.all()].map(({ packetId, state }) => `${packetId} ${state}`);

describe('a QoS 2 publish into a persistent session', () => {
  it('is answered when id and message are committed, and completed when the id is gone from disk', async () => {
    const broker = new Harness();
    const client = await persistent(broker, 'sub');
    client.drop();
    const publisher = await broker.connect5('pub', KEPT);
    broker.store.hold();
    publisher.send(publish5('a/1', 'x', { qos: 2, id: 5 }));
    await broker.settle();
    assert.deepEqual(publisher.take(), []);
    broker.store.release();
    await broker.settle();
    assert.deepEqual(publisher.take(), hex(ack(0x50, 5)));
    assert.deepEqual(records(broker), ['5 received']);
    broker.store.hold();
    publisher.send(ack(0x62, 5));
    await broker.settle();
    assert.deepEqual(publisher.take(), []);
    broker.store.release();
    await broker.settle();
    assert.deepEqual(publisher.take(), hex(ack(0x70, 5)));
    assert.deepEqual(records(broker), []);
  });

  it('with an id of an earlier connection and without DUP is a new message: the client forgot its ids', async () => {
    const broker = new Harness();
    const subscriber = await persistent(broker, 'sub');
    const forgetful = await broker.connect5('pub', KEPT);
    forgetful.send(publish5('a/1', 'first', { qos: 2, id: 5 }));
    await broker.settle();
    forgetful.drop();
    const again = await broker.connect5('pub', KEPT);
    again.send(publish5('a/1', 'first', { qos: 2, id: 5, dup: true }));
    await broker.settle();
    assert.deepEqual(again.take(), hex(ack(0x50, 5)), 'a repetition');
    again.drop();
    const last = await broker.connect5('pub', KEPT);
    last.send(publish5('a/1', 'second', { qos: 2, id: 5 }));
    await broker.settle();
    last.send(ack(0x62, 5));
    await broker.settle();
    assert.deepEqual(last.take(), hex(ack(0x50, 5), ack(0x70, 5)));
    const bodies = subscriber.take().map((packet) => /first|second/.exec(Buffer.from(packet, 'hex').toString())?.[0]);
    assert.deepEqual(bodies, ['first', 'second']);
  });

  it('with an id of the same connection and without DUP is refused: 0x91', async () => {
    const broker = new Harness();
    const publisher = await broker.connect5('pub', KEPT);
    publisher.send(publish5('a/1', 'x', { qos: 2, id: 5 }));
    await broker.settle();
    publisher.take();
    publisher.send(publish5('a/1', 'y', { qos: 2, id: 5 }));
    await broker.settle();
    assert.deepEqual(publisher.take(), hex(reason5(0x50, 5, 0x91)));
  });

  it('above the receive maximum is not stored, so that it may be sent again', async () => {
    const broker = new Harness({ limits: { publishMaximum: 2 } });
    const publisher = await broker.connect5('pub', KEPT);
    broker.store.hold();
    for (const id of [1, 2, 3]) publisher.send(publish5('a/1', `${id}`, { qos: 2, id }));
    await broker.settle();
    broker.store.release();
    await broker.settle();
    assert.equal(reasonOf(publisher.take().at(-1)), 'disconnect 93');
    const back = await broker.connect5('pub', KEPT);
    back.send(publish5('a/1', '3', { qos: 2, id: 3, dup: true }));
    await broker.settle();
    assert.deepEqual(back.take(), hex(reason5(0x50, 3, 0x10)));
  });

  it('that was received before is answered again even at the limit', async () => {
    const broker = new Harness({ limits: { unreleased: 2, publishMaximum: 2 } });
    const publisher = await broker.connect5('pub', KEPT);
    const publishes = (dup: boolean) => [1, 2].map((id) => publish5('a/1', `${id}`, { qos: 2, id, dup }));
    publisher.send(...publishes(false));
    await broker.settle();
    publisher.drop();
    const back = await broker.connect5('pub', KEPT);
    back.send(...publishes(true));
    await broker.settle();
    assert.deepEqual(back.take(), hex(ack(0x50, 1), ack(0x50, 2)));
    back.send(publish5('a/1', '3', { qos: 2, id: 3 }));
    await broker.settle();
    assert.equal(reasonOf(back.take()[0]), 'disconnect 93');
  });

  it('that was sent again over a new connection and is refused closes one that cannot be told', async () => {
    const broker = new Harness();
    (await persistent(broker, 'sub')).drop();
    const first = await broker.connect('pub', {}, false);
    broker.store.hold();
    first.send(publish('a/1', 'x', 2, 5));
    await broker.settle();
    const second = broker.open();
    second.send(connect({ clientId: 'pub', user: 'guest', password: 'guest' }, false));
    await broker.settle();
    assert.deepEqual(second.take(), ['20020100']);
    second.send(publish('a/1', 'x', 2, 5, 8));
    await broker.settle();
    broker.store.fail();
    await broker.settle();
    assert.deepEqual(second.take(), [], 'a PUBREC would say that it is safe');
    assert.ok(second.closed);
  });

  it('is completed no earlier if PUBREL is repeated, over the same connection or another one', async () => {
    const broker = new Harness();
    const publisher = await broker.connect5('pub', KEPT);
    publisher.send(publish5('a/1', 'x', { qos: 2, id: 5 }));
    await broker.settle();
    publisher.take();
    broker.store.hold();
    publisher.send(ack(0x62, 5), ack(0x62, 5));
    await broker.settle();
    assert.deepEqual(publisher.take(), []);
    publisher.drop();
    const again = broker.open();
    again.send(connect5({ clientId: 'pub', ...KEPT }), ack(0x62, 5));
    await broker.settle();
    const early = again.take().filter((packet) => packet.startsWith('70'));
    assert.deepEqual(early, [], 'a crash would bring the id back, and its next publish would be taken for this one');
    broker.store.release();
    await broker.settle();
    assert.deepEqual(again.take().at(-1), reason5(0x70, 5, 0x92).toString('hex'));
    assert.deepEqual(records(broker), []);
  });

  it('is known after a restart: it is answered, and not routed again', async () => {
    const broker = new Harness();
    const publisher = await broker.connect5('pub', KEPT);
    publisher.send(publish5('a/1', 'x', { qos: 2, id: 5 }));
    await broker.settle();
    publisher.drop();
    await broker.settle();
    broker.restartFrontEnd();
    const watcher = await broker.connect5('watcher');
    watcher.send(subscribe5(1, [], ['a/#', 2]));
    await broker.settle();
    watcher.take();
    const again = await broker.connect5('pub', KEPT);
    assert.ok(again.present);
    again.send(publish5('a/1', 'x', { qos: 2, id: 5, dup: true }));
    await broker.settle();
    assert.deepEqual(again.take(), hex(ack(0x50, 5)));
    again.send(ack(0x62, 5));
    await broker.settle();
    assert.deepEqual(again.take(), hex(ack(0x70, 5)));
    again.send(publish5('a/1', 'new', { qos: 2, id: 5 }));
    await broker.settle();
    assert.deepEqual(watcher.take(), hex(publish5('a/1', 'new', { qos: 2, id: 1 })));
  });

  it('is answered each time if its client reuses one id before a commit', async () => {
    const broker = new Harness();
    const publisher = await broker.connect('pub', {}, false);
    broker.store.hold();
    const times = 50_000;
    for (let i = 0; i < times; i++) publisher.send(publish('a/1', 'x', 2, 5), ack(0x62, 5));
    await broker.settle();
    broker.store.release();
    await broker.settle();
    const answers = publisher.take();
    const count = (type: string): number => answers.filter((packet) => packet.startsWith(type)).length;
    assert.equal(count('7002'), times);
    assert.deepEqual(records(broker), []);
  });

  it('is refused with 0x97 on a full disk and forgotten, so that it may be sent again', async () => {
    const broker = new Harness();
    const publisher = await broker.connect5('pub', KEPT);
    broker.store.hold();
    publisher.send(publish5('a/1', 'x', { qos: 2, id: 5 }));
    await broker.settle();
    broker.store.fail();
    await broker.settle();
    assert.deepEqual(publisher.take(), hex(reason5(0x50, 5, 0x97)));
    broker.store.release();
    publisher.send(publish5('a/1', 'x', { qos: 2, id: 5 }));
    await broker.settle();
    assert.deepEqual(publisher.take(), hex(reason5(0x50, 5, 0x10)));
  });

  it('that the disk refused reaches no subscriber, so that it may be sent again', async () => {
    const broker = new Harness();
    const subscriber = await persistent(broker, 'sub');
    const publisher = await broker.connect5('pub', KEPT);
    broker.store.hold();
    publisher.send(publish5('a/1', 'x', { qos: 2, id: 5 }));
    await broker.settle();
    broker.store.fail();
    broker.store.release();
    await broker.settle();
    assert.deepEqual(publisher.take(), hex(reason5(0x50, 5, 0x97)));
    assert.deepEqual(subscriber.take(), []);
    publisher.send(publish5('a/1', 'x', { qos: 2, id: 6 }));
    await broker.settle();
    assert.equal(subscriber.take().length, 1);
  });

  it('that the disk refused reaches no subscriber, even if its delivery was due in the next commit', async () => {
    for (const drops of [false, true]) {
      const broker = new Harness();
      const subscriber = await persistent(broker, 'sub');
      const publisher = await broker.connect5('pub', KEPT);
      // One message is in flight, so that the next one is sent when its own commit has already begun.
      const properties = [p.sessionExpiry(0xffff_ffff), p.receiveMaximum(1)];
      subscriber.drop();
      const young = await broker.connect5('sub', { clean: false, properties });
      publisher.send(publish5('a/1', 'w', { qos: 1, id: 1 }));
      await broker.settle();
      young.take();
      broker.store.hold();
      publisher.send(publish5('a/1', 'x', { qos: 2, id: 5 }));
      await broker.settle();
      young.send(ack(0x40, 1));
      await broker.settle();
      broker.store.fail();
      if (drops) young.drop();
      broker.store.release();
      await broker.settle();
      const back = drops ? await broker.connect5('sub', KEPT) : young;
      await broker.settle();
      assert.deepEqual(publisher.take(), hex(ack(0x40, 1), reason5(0x50, 5, 0x97)));
      assert.deepEqual(back.take(), [], drops ? 'after a reconnect' : 'over the connection');
      assert.deepEqual(records(broker), []);
    }
  });

  it('that a full session refuses frees its id on disk', async () => {
    const broker = new Harness({ limits: { sessionOverflow: 'refuse', sessionMessages: 1 } });
    const subscriber = await persistent(broker, 'sub');
    subscriber.drop();
    const publisher = await broker.connect5('pub', KEPT);
    publisher.send(publish5('a/1', '1', { qos: 2, id: 1 }), publish5('a/1', '2', { qos: 2, id: 2 }));
    await broker.settle();
    assert.deepEqual(publisher.take(), hex(ack(0x50, 1), reason5(0x50, 2, 0x97)));
    publisher.send(ack(0x62, 1));
    await broker.settle();
    publisher.drop();
    await broker.settle();
    assert.deepEqual(records(broker), []);
    broker.restartFrontEnd();
    const back = await broker.connect5('sub', KEPT);
    const again = await broker.connect5('pub', KEPT);
    again.send(publish5('a/1', '3', { qos: 2, id: 2 }));
    await broker.settle();
    assert.deepEqual(again.take(), hex(ack(0x50, 2)));
    const expected = [publish5('a/1', '1', { qos: 2, id: 1 }), publish5('a/1', '3', { qos: 2, id: 2 })];
    assert.deepEqual(back.take(), hex(...expected));
  });

  it('writes nothing if the session ends with its connection', async () => {
    const broker = new Harness();
    const publisher = await broker.connect5('pub');
    broker.store.hold();
    publisher.send(publish5('a/1', 'x', { qos: 2, id: 5 }));
    await broker.settle();
    assert.deepEqual(publisher.take(), hex(reason5(0x50, 5, 0x10)));
    assert.deepEqual(records(broker), []);
  });
});

describe('a QoS 2 delivery of a persistent session', () => {
  it('is sent when its id is committed, and PUBREL when PUBREC is committed', async () => {
    const broker = new Harness();
    const client = await persistent(broker);
    const publisher = await broker.connect('pub');
    broker.store.hold();
    publisher.send(publish('a/1', 'x', 2, 1));
    await broker.settle();
    assert.deepEqual(client.take(), []);
    broker.store.release();
    await broker.settle();
    assert.deepEqual(client.take(), hex(publish5('a/1', 'x', { qos: 2, id: 1 })));
    assert.deepEqual(records(broker), ['1 sent']);
    broker.store.hold();
    client.send(ack(0x50, 1));
    await broker.settle();
    assert.deepEqual(client.take(), []);
    broker.store.release();
    await broker.settle();
    assert.deepEqual(client.take(), hex(ack(0x62, 1)));
    assert.deepEqual(records(broker), ['1 released']);
    client.send(ack(0x70, 1));
    await broker.settle();
    assert.deepEqual(records(broker), []);
  });

  it('is resent under its id after a reconnect, in order, before new messages', async () => {
    const broker = new Harness();
    const client = await persistent(broker);
    const publisher = await broker.connect('pub');
    for (let i = 1; i <= 4; i++) publisher.send(publish('a/1', `${i}`, 2, i));
    await broker.settle();
    assert.equal(client.take().length, 4);
    client.send(ack(0x50, 2), ack(0x50, 1));
    await broker.settle();
    assert.deepEqual(client.take(), hex(ack(0x62, 2), ack(0x62, 1)));
    client.send(ack(0x70, 2));
    await broker.settle();
    client.drop();
    publisher.send(publish('a/1', '5', 2, 5));
    await broker.settle();
    const back = await broker.connect5('c', KEPT);
    assert.deepEqual(
      back.take(),
      hex(
        ack(0x62, 1),
        publish5('a/1', '3', { qos: 2, id: 3, dup: true }),
        publish5('a/1', '4', { qos: 2, id: 4, dup: true }),
        publish5('a/1', '5', { qos: 2, id: 5 }),
      ),
    );
  });

  it('is resent under its id after a restart of the broker', async () => {
    const broker = new Harness();
    const client = await persistent(broker);
    const publisher = await broker.connect('pub');
    for (let i = 1; i <= 3; i++) publisher.send(publish('a/1', `${i}`, 2, i));
    await broker.settle();
    client.send(ack(0x50, 1));
    await broker.settle();
    client.drop();
    await broker.settle();
    assert.deepEqual(records(broker), ['1 released', '2 sent', '3 sent']);
    broker.restartFrontEnd();
    const back = await broker.connect5('c', KEPT);
    assert.deepEqual(
      back.take(),
      hex(
        ack(0x62, 1),
        publish5('a/1', '2', { qos: 2, id: 2, dup: true }),
        publish5('a/1', '3', { qos: 2, id: 3, dup: true }),
      ),
    );
    back.send(ack(0x70, 1), ack(0x50, 2), ack(0x50, 3));
    await broker.settle();
    back.send(ack(0x70, 2), ack(0x70, 3));
    await broker.settle();
    assert.deepEqual(records(broker), []);
  });

  it('that was committed for a closed connection is not sent', async () => {
    const broker = new Harness();
    const client = await persistent(broker);
    const publisher = await broker.connect('pub');
    broker.store.hold();
    publisher.send(publish('a/1', 'x', 2, 1));
    await broker.settle();
    client.drop();
    const back = await broker.connect5('c', KEPT);
    await broker.settle();
    assert.deepEqual(back.take(), []);
    broker.store.release();
    await broker.settle();
    assert.deepEqual(back.take(), hex(publish5('a/1', 'x', { qos: 2, id: 1 })), 'once, and no duplicate');
    assert.deepEqual(client.take(), []);
  });

  it('is retried after the disk was full', async () => {
    const broker = new Harness();
    const client = await persistent(broker);
    client.drop();
    const publisher = await broker.connect('pub');
    publisher.send(publish('a/1', 'x', 2, 1));
    await broker.settle();
    const back = await broker.connect5('c', { ...KEPT, properties: [p.sessionExpiry(1000), p.receiveMaximum(1)] });
    assert.equal(back.take().length, 1);
    publisher.send(publish('a/1', 'y', 2, 2));
    back.send(ack(0x50, 1));
    await broker.settle();
    broker.store.hold();
    back.send(ack(0x70, 1));
    await broker.settle();
    broker.store.fail();
    broker.store.release();
    await broker.settle();
    assert.deepEqual(back.take().at(-1), publish5('a/1', 'y', { qos: 2, id: 3 }).toString('hex'));
  });

  it('ends with its session: a clean start finds no ids', async () => {
    const broker = new Harness();
    const client = await persistent(broker);
    client.send(publish5('a/1', 'x', { qos: 2, id: 9 }));
    await broker.settle();
    assert.deepEqual(records(broker).sort(), ['1 sent', '9 received']);
    const clean = await broker.connect5('c');
    assert.ok(!clean.present);
    await broker.settle();
    assert.deepEqual(records(broker), []);
  });
});

describe('QoS 2 of 3.1.1', () => {
  it('completes without a persistent session, and writes nothing', async () => {
    const broker = new Harness();
    const client = await broker.connect('c');
    client.send(subscribe(1, ['a', 2]));
    await broker.settle();
    client.take();
    broker.store.hold();
    client.send(publish('a', 'x', 2, 1));
    await broker.settle();
    assert.deepEqual(client.take().sort(), hex(publish('a', 'x', 2, 1), ack(0x50, 1)).sort());
    client.send(ack(0x50, 1), ack(0x62, 1));
    await broker.settle();
    assert.deepEqual(client.take().sort(), hex(ack(0x62, 1), ack(0x70, 1)).sort());
    client.send(ack(0x50, 1));
    await broker.settle();
    assert.deepEqual(client.take(), hex(ack(0x62, 1)), 'a repeated PUBREC is answered');
  });

  it('delivers retained messages exactly once', async () => {
    const broker = new Harness();
    const publisher = await broker.connect('pub');
    publisher.send(publish('r', 'kept', 2, 1, 1));
    const client = await broker.connect('c');
    client.send(subscribe(1, ['r', 2]));
    await broker.settle();
    assert.deepEqual(client.take().at(-1), publish('r', 'kept', 2, 1, 1).toString('hex'));
    client.send(ack(0x50, 1));
    await broker.settle();
    assert.deepEqual(client.take(), hex(ack(0x62, 1)));
    client.send(ack(0x70, 1));
  });
});
