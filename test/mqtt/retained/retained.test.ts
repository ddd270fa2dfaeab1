// Retained messages that a session has not received or not acknowledged are part of its state (MQTT 3.1.1 §4.1, §4.4)
// and survive reconnects, takeovers, restarts and full disks. Sessions without expiry store nothing for them.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { queueNameOf } from '../../../protocols/mqtt/session/session-queue.ts';
import { p, publish5, subscribe5 } from '../../../support/wire/mqtt5.ts';
import { ack, packet, publish, subscribe, unsubscribe } from '../bytes.ts';
import { type Client, Harness } from '../harness.ts';

const hex = (...packets: Buffer[]): string[] => packets.map((bytes) => bytes.toString('hex'));
const suback = (id: number, ...codes: number[]): string =>
  packet(0x90, Buffer.from([id >> 8, id & 255, ...codes])).toString('hex');
/** A retained message as first sent to a new subscription, and as resent. */
const kept = (topic: string, body: string, qos: number, id: number): string =>
  publish(topic, body, qos, id, 1).toString('hex');
const again = (topic: string, body: string, qos: number, id: number): string =>
  publish(topic, body, qos, id, 9).toString('hex');

/** Retains `a/100`, `a/101`, …, with their numbers as bodies. */
async function retain(broker: Harness, count: number, qos = 2, prefix = 'a'): Promise<Client> {
  const publisher = await broker.connect('pub');
  for (let i = 0; i < count; i++) {
    const id = 1 + (i % 60_000);
    publisher.send(publish(`${prefix}/${100 + i}`, `${100 + i}`, qos, id, 1));
    if (qos === 2) publisher.send(ack(0x62, id));
  }
  await broker.settle();
  publisher.take();
  return publisher;
}

/** A connection of the persistent session of client `c`. */
const connect = (broker: Harness): Promise<Client> => broker.connect('c', {}, false);
const queueOf = (broker: Harness) => broker.hosts.get('/')!.queues.get(queueNameOf('c'))!;
const selections = (broker: Harness) =>
  [...broker.store.definitions.all('retained-selection')].map(({ name, value }) => [name.at(-1), value.after]);

/** Receives and acknowledges until no more packets come; returns the messages given to the application, in order. */
class Application {
  readonly taken: string[] = [];
  /** Messages received more than once at QoS 1. */
  private readonly held: Set<number> = new Set();

  /** Sends at most `most` acknowledgements. */
  async answer(broker: Harness, client: Client, most = Number.POSITIVE_INFINITY): Promise<void> {
    for (let left = most, quiet = 0; quiet < 2; ) {
      const packets = client.take();
      quiet = packets.length === 0 ? quiet + 1 : 0;
      for (const text of packets) {
        if (left-- <= 0) return;
        this.packet(client, Buffer.from(text, 'hex'));
      }
      await broker.settle();
    }
  }

  private packet(client: Client, bytes: Buffer): void {
    const type = bytes[0]! >> 4;
    if (type === 6) {
      const id = bytes.readUInt16BE(2);
      this.held.delete(id);
      client.send(ack(0x70, id));
    }
    if (type !== 3) return;
    const qos = (bytes[0]! >> 1) & 3;
    const topicEnd = 4 + bytes.readUInt16BE(2);
    const id = qos === 0 ? 0 : bytes.readUInt16BE(topicEnd);
    if (!this.held.has(id)) this.taken.push(bytes.toString('utf8', topicEnd + (qos === 0 ? 0 : 2)));
    if (qos === 1) client.send(ack(0x40, id));
    if (qos !== 2) return;
    this.held.add(id);
    client.send(ack(0x50, id));
  }
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => `${100 + i}`);

describe('retained messages of a persistent session', () => {
  it('are sent again at QoS 1 under their ids when the client comes back, and then the rest', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 3 } });
    await retain(broker, 5);
    const first = await connect(broker);
    first.send(subscribe(1, ['a/#', 1]));
    await broker.settle();
    assert.deepEqual(first.take(), [
      suback(1, 1),
      kept('a/100', '100', 1, 1),
      kept('a/101', '101', 1, 2),
      kept('a/102', '102', 1, 3),
    ]);
    first.send(ack(0x40, 2));
    await broker.settle();
    assert.deepEqual(first.take(), [kept('a/103', '103', 1, 4)]);
    first.drop();
    await broker.settle();
    const second = await connect(broker);
    assert.ok(second.present);
    assert.deepEqual(second.take(), [
      again('a/100', '100', 1, 1),
      again('a/102', '102', 1, 3),
      again('a/103', '103', 1, 4),
    ]);
    second.send(ack(0x40, 1), ack(0x40, 3), ack(0x40, 4));
    await broker.settle();
    assert.deepEqual(second.take(), [kept('a/104', '104', 1, 5)]);
    assert.deepEqual(selections(broker), []);
  });

  it('continue at QoS 2 where they were, after a reconnect, a takeover and a restart', async () => {
    for (const how of ['reconnect', 'takeover', 'restart']) {
      const broker = new Harness();
      await retain(broker, 3);
      const first = await connect(broker);
      first.send(subscribe(1, ['a/#', 2]));
      await broker.settle();
      const sent = numbers(3).map((number, i) => kept(`a/${number}`, number, 2, i + 1));
      assert.deepEqual(first.take(), [suback(1, 2), ...sent]);
      first.send(ack(0x50, 1));
      await broker.settle();
      assert.deepEqual(first.take(), hex(ack(0x62, 1)));
      if (how !== 'takeover') first.drop();
      if (how === 'restart') {
        await broker.settle();
        broker.restartFrontEnd();
      }
      const second = await connect(broker);
      assert.ok(second.present, how);
      assert.deepEqual(
        second.take(),
        [...hex(ack(0x62, 1)), again('a/101', '101', 2, 2), again('a/102', '102', 2, 3)],
        how,
      );
      second.send(ack(0x70, 1), ack(0x50, 2), ack(0x50, 3));
      await broker.settle();
      assert.deepEqual(second.take(), hex(ack(0x62, 2), ack(0x62, 3)), how);
      second.send(ack(0x70, 2), ack(0x70, 3));
      await broker.settle();
      assert.deepEqual([...broker.store.packets.all()], []);
      assert.equal(queueOf(broker).unackedCount, 0);
    }
  });

  it('are queued only a few at a time, however many there are, and come once at QoS 2', async () => {
    for (const how of ['reconnect', 'restart']) {
      const broker = new Harness({ limits: { receiveMaximum: 7 } });
      await retain(broker, 500);
      let client = await connect(broker);
      client.send(subscribe(1, ['a/#', 2]));
      await broker.settle();
      const application = new Application();
      for (let round = 0; round < 20; round++) {
        await application.answer(broker, client, 40 + round);
        assert.ok(queueOf(broker).readyCount + queueOf(broker).unackedCount <= 64 + 7);
        assert.equal(selections(broker).length, application.taken.length < 420 ? 1 : selections(broker).length);
        client.drop();
        await broker.settle();
        if (how === 'restart') broker.restartFrontEnd();
        client = await connect(broker);
      }
      await application.answer(broker, client);
      assert.deepEqual(application.taken, numbers(500), how);
      assert.deepEqual(selections(broker), []);
    }
  });

  it('are guaranteed by the SUBACK, which waits until their selection is on disk', async () => {
    const broker = new Harness();
    await retain(broker, 100);
    const first = await connect(broker);
    broker.store.hold();
    first.send(subscribe(1, ['a/#', 1]));
    await broker.settle();
    assert.deepEqual(first.take(), []);
    assert.deepEqual(selections(broker), [['a/#', null]]);
    broker.store.release();
    await broker.settle();
    assert.equal(first.take()[0], suback(1, 1));
    // The same holds for an existing subscription.
    broker.store.hold();
    first.send(subscribe(2, ['a/#', 1]));
    await broker.settle();
    assert.deepEqual(first.take(), []);
    broker.store.release();
    await broker.settle();
    assert.equal(first.take()[0], suback(2, 1));
  });

  it('are resent as first sent, whatever happened to the topic', async () => {
    const broker = new Harness();
    const publisher = await retain(broker, 3);
    publisher.send(publish5('unused', ''));
    const expiring = await broker.connect5('pub5');
    const properties = [p.messageExpiry(5)];
    expiring.send(publish5('a/103', '103', { qos: 2, id: 1, retain: true, properties }));
    await broker.settle();
    const first = await connect(broker);
    first.send(subscribe(1, ['a/#', 2]));
    await broker.settle();
    assert.equal(first.take().length, 5);
    first.drop();
    const changing = await broker.connect('changing');
    changing.send(publish('a/100', 'new', 1, 1, 1), publish('a/101', '', 1, 2, 1));
    await broker.settle();
    broker.clock += 10_000;
    const second = await connect(broker);
    assert.deepEqual(second.take(), [
      ...numbers(4).map((number, i) => again(`a/${number}`, number, 2, i + 1)),
      ...hex(publish('a/100', 'new', 1, 5), publish('a/101', '', 1, 6)),
    ]);
  });

  it('that were replaced before they were sent come once, live, or as the last state if that was at QoS 0', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 1 } });
    await retain(broker, 200, 1);
    const first = await connect(broker);
    first.send(subscribe(1, ['a/#', 1]));
    await broker.settle();
    first.drop();
    const changing = await broker.connect('changing');
    changing.send(publish('a/250', 'live', 1, 1, 1), publish('a/251', '', 1, 2, 1), publish('a/252', 'state', 0, 0, 1));
    await broker.settle();
    const second = await connect(broker);
    const application = new Application();
    await application.answer(broker, second);
    const expected = numbers(200).filter((number) => !['250', '251', '252'].includes(number));
    assert.deepEqual(application.taken.toSorted(), [...expected, 'live', '', 'state'].toSorted());
  });

  it('keep QoS and identifier of the subscription that selected them', async () => {
    const broker = new Harness();
    await retain(broker, 2);
    const options = { clean: false, properties: [p.sessionExpiry(1000), p.receiveMaximum(1)] };
    const first = await broker.connect5('c', options);
    first.send(subscribe5(1, [p.subscriptionId(7)], ['a/100', 1]), subscribe5(2, [p.subscriptionId(8)], ['a/#', 2]));
    await broker.settle();
    first.drop();
    await broker.settle();
    broker.restartFrontEnd();
    const second = await broker.connect5('c', options);
    const seen: string[] = [];
    for (let i = 0; i < 3; i++) {
      const [text] = second.take();
      seen.push(text!);
      const id = Buffer.from(text!, 'hex').readUInt16BE(9);
      second.send(ack(i === 0 ? 0x40 : 0x50, id));
      await broker.settle();
      if (i > 0) {
        assert.deepEqual(second.take(), hex(ack(0x62, id)));
        second.send(ack(0x70, id));
        await broker.settle();
      }
    }
    const of = (body: string, qos: number, id: number, identifier: number, dup: boolean): Buffer =>
      publish5(`a/${body}`, body, { qos, id, retain: true, dup, properties: [p.subscriptionId(identifier)] });
    assert.deepEqual(seen, hex(of('100', 1, 1, 7, true), of('100', 2, 2, 8, false), of('101', 2, 3, 8, false)));
  });

  it('are dropped with their subscription, and with the session', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 1 } });
    await retain(broker, 200);
    const first = await connect(broker);
    first.send(subscribe(1, ['a/#', 1], ['+/150', 1]));
    await broker.settle();
    assert.equal(selections(broker).length, 2);
    first.send(unsubscribe(2, 'a/#'));
    await broker.settle();
    first.take();
    assert.deepEqual(
      selections(broker).map(([filter]) => filter),
      ['+/150'],
    );
    first.drop();
    await broker.settle();
    const clean = await broker.connect('c');
    await broker.settle();
    assert.deepEqual(clean.take(), []);
    assert.deepEqual(selections(broker), []);
    // The same if the session was deleted with messages left.
    broker.store.definitions.put('retained-selection', ['/', 'nobody', 'a/#'], {});
    // The same if the subscription was deleted.
    await connect(broker);
    broker.store.definitions.put('retained-selection', ['/', 'c', 'a/#'], {});
    broker.restartFrontEnd();
    assert.deepEqual(selections(broker), []);
  });

  it('are selected again when the subscription is repeated, and do not accumulate', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 1, subscriptionsPerSession: 3 } });
    await retain(broker, 200, 1);
    const client = await connect(broker);
    const often = subscribe(1, ...Array.from({ length: 10 }, (): [string, number] => ['a/#', 1]));
    for (let i = 0; i < 4; i++) {
      client.send(often);
      await broker.settle();
      assert.equal(selections(broker).length, 1);
      assert.ok(queueOf(broker).readyCount <= 64);
    }
    assert.ok(!client.closed);
    const application = new Application();
    await application.answer(broker, client);
    assert.deepEqual(new Set(application.taken), new Set(numbers(200)));
    assert.ok(application.taken.length <= 200 + 65);
  });

  it('join behind queued messages, a few at a time, and no message is dropped for them', async () => {
    for (const sessionMessages of [300, 1_000_000]) {
      const broker = new Harness({ limits: { receiveMaximum: 10, sessionMessages } });
      await retain(broker, 200, 1);
      const first = await connect(broker);
      first.send(subscribe(1, ['live', 1]));
      await broker.settle();
      first.drop();
      const publisher = await broker.connect('pub2');
      for (let i = 0; i < 300; i++) publisher.send(publish('live', `live ${i}`, 1, 1 + i));
      await broker.settle();
      const second = await connect(broker);
      second.send(subscribe(2, ['a/#', 1]));
      await broker.settle();
      assert.ok(queueOf(broker).readyCount <= Math.min(sessionMessages, 290 + 64));
      const application = new Application();
      await application.answer(broker, second);
      const live = Array.from({ length: 300 }, (_, i) => `live ${i}`);
      assert.deepEqual(application.taken, [...live, ...numbers(200)]);
      assert.equal(broker.meters.overflowed, 0);
    }
  });

  it('that a full disk refuses come when it takes writes again, at QoS 2 once', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 20 } });
    await retain(broker, 100);
    const client = await connect(broker);
    client.send(subscribe(1, ['live', 2]));
    await broker.settle();
    client.take();
    broker.store.hold();
    client.send(subscribe(2, ['a/#', 2]));
    await broker.settle();
    broker.store.commit();
    await broker.settle();
    // The subscription exists, the messages do not.
    assert.deepEqual(client.take(), [suback(2, 2)]);
    broker.connections.hold({ reason: 'test', alarm: true, disk: true });
    broker.store.fail();
    await broker.settle();
    assert.deepEqual(client.take(), []);
    assert.deepEqual(selections(broker), [['a/#', null]], 'where a start would go on');
    broker.store.release();
    broker.connections.hold(null);
    await broker.settle();
    const application = new Application();
    await application.answer(broker, client);
    // Some had joined behind them for a later commit.
    assert.deepEqual(application.taken.toSorted(), numbers(100));
    assert.deepEqual(selections(broker), []);
  });

  it('that a full disk refused while the client was away are found again', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 20 } });
    await retain(broker, 100);
    const first = await connect(broker);
    broker.store.hold();
    first.send(subscribe(2, ['a/#', 2]));
    await broker.settle();
    broker.store.commit();
    await broker.settle();
    first.drop();
    await broker.settle();
    broker.store.fail();
    broker.store.release();
    await broker.settle();
    const application = new Application();
    await application.answer(broker, await connect(broker));
    assert.deepEqual(application.taken.toSorted(), numbers(100));
    assert.deepEqual(selections(broker), []);
  });
});

describe('retained messages of a session that ends with its connection', () => {
  it('are acknowledged and released, and nothing is written for them', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 10 } });
    await retain(broker, 300);
    broker.store.hold();
    const client = await broker.connect('c');
    client.send(subscribe(1, ['a/#', 2]));
    await broker.settle();
    assert.equal(client.take()[0], suback(1, 2));
    client.drop();
    const other = await broker.connect('other');
    other.send(subscribe(1, ['a/#', 1]), subscribe(2, ['a/100', 2]));
    const application = new Application();
    await application.answer(broker, other);
    assert.deepEqual(application.taken.toSorted(), ['100', ...numbers(300)]);
    assert.deepEqual(selections(broker), []);
    assert.deepEqual([...broker.store.packets.all()], []);
    assert.equal(broker.store.pending.length, 0);
    assert.equal(broker.store.inFlight.length, 0);
  });

  it('do not accumulate if a client subscribes repeatedly without reading', async () => {
    const broker = new Harness({ limits: { receiveMaximum: 1 } });
    await retain(broker, 200, 1);
    const client = await connectClean(broker);
    const often = subscribe(1, ...Array.from({ length: 512 }, (): [string, number] => ['a/#', 1]));
    for (let i = 0; i < 4; i++) client.send(often);
    await broker.settle();
    assert.ok(queueOf(broker).readyCount <= 64);
    const application = new Application();
    await application.answer(broker, client);
    assert.deepEqual(new Set(application.taken), new Set(numbers(200)));
    assert.ok(application.taken.length <= 200 + 65);
  });
});

const connectClean = (broker: Harness): Promise<Client> => broker.connect('c');
