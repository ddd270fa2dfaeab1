// Shared subscriptions: one member gets each message, unacknowledged messages of a member that leaves go to others, and
// the group exists as long as one member does.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { p, publish5, suback5, subscribe5, unsuback5, unsubscribe5 } from '../../../support/wire/mqtt5.ts';
import { ack, publish, subscribe, unsubscribe } from '../bytes.ts';
import { type Client, Harness, reasonOf } from '../harness.ts';

const SHARED = '$share/g/jobs/+';
const KEPT = { clean: false, properties: [p.sessionExpiry(0xffff_ffff)] };

async function member(broker: Harness, clientId: string, qos = 1, fields = {}): Promise<Client> {
  const client = await broker.connect5(clientId, fields);
  client.send(subscribe5(1, [], [SHARED, qos]));
  await broker.settle();
  client.take();
  return client;
}

function bodies(client: Client): string[] {
  return client.take().map((hex) => Buffer.from(hex.slice(-2), 'hex').toString());
}

/** A member with a persistent session and `count` unacknowledged QoS 2 messages, and their publisher. */
async function begun(broker: Harness, count: number): Promise<{ one: Client; publisher: Client }> {
  const one = await member(broker, 'one', 2, KEPT);
  const publisher = await broker.connect('pub');
  const numbers = Array.from({ length: count }, (_, i) => `${i + 1}`);
  for (const each of numbers) publisher.send(publish('jobs/1', each, 2, Number(each)));
  await broker.settle();
  assert.deepEqual(bodies(one), numbers);
  return { one, publisher };
}

const groupQueues = (broker: Harness): string[] =>
  [...broker.hosts.get('/')!.queues.keys()].filter((name) => name.endsWith('shared'));

describe('a shared subscription', () => {
  it('shares the receive maximum of its client with the other subscriptions in turn', async () => {
    const broker = new Harness();
    const client = await broker.connect5('c', { properties: [p.receiveMaximum(1)] });
    client.send(subscribe5(1, [], ['$share/g/a', 1], ['$share/g/b', 1], ['own', 1]));
    await broker.settle();
    client.take();
    const publisher = await broker.connect('pub');
    for (let i = 0; i < 8; i++) {
      for (const topic of ['a', 'b', 'own']) publisher.send(publish(topic, 'm', 1, 100 + i));
    }
    await broker.settle();
    const topics: string[] = [];
    for (let i = 0; i < 24; i++) {
      const [packet, ...more] = client.take();
      assert.deepEqual(more, [], 'one at a time');
      const bytes = Buffer.from(packet!, 'hex');
      const length = bytes.readUInt16BE(2);
      topics.push(bytes.toString('utf8', 4, 4 + length));
      client.send(ack(0x40, bytes.readUInt16BE(4 + length)));
      await broker.settle();
    }
    for (const topic of ['a', 'b', 'own']) {
      assert.equal(topics.filter((each) => each === topic).length, 8, topic);
      const first = topics.indexOf(topic);
      assert.ok(first < 6, `${topic} is not behind all others: ${topics}`);
    }
  });

  for (const qos of [0, 1, 2]) {
    it(`gives each message to one member, at QoS ${qos}, and to every other subscriber`, async () => {
      const broker = new Harness();
      const [one, two] = [await member(broker, 'one', 2), await member(broker, 'two', 2)];
      const old = await broker.connect('old');
      old.send(subscribe(1, [SHARED, 2]));
      const alone = await broker.connect('alone');
      alone.send(subscribe(1, ['jobs/#', 0]));
      const otherGroup = await broker.connect('other');
      otherGroup.send(subscribe(1, ['$share/h/jobs/+', 0]));
      await broker.settle();
      for (const client of [old, alone, otherGroup]) client.take();
      const publisher = await broker.connect('pub');
      for (let i = 0; i < 9; i++) publisher.send(publish('jobs/1', `${i}`, qos, i + 1));
      await broker.settle();
      const shares = [one, two, old].map(bodies);
      assert.deepEqual(shares.flat().sort(), [...'012345678']);
      assert.ok(shares.every((share) => share.length === 3));
      assert.equal(alone.take().length, 9);
      assert.equal(otherGroup.take().length, 9);
    });
  }

  it('redelivers what a member that leaves has not acknowledged', async () => {
    const broker = new Harness();
    const one = await member(broker, 'one');
    const publisher = await broker.connect('pub');
    for (let i = 1; i <= 3; i++) publisher.send(publish('jobs/1', `${i}`, 1, i));
    await broker.settle();
    assert.deepEqual(bodies(one), ['1', '2', '3']);
    one.send(ack(0x40, 2));
    const two = await member(broker, 'two');
    assert.deepEqual(bodies(two), []);
    one.drop();
    await broker.settle();
    assert.deepEqual(bodies(two), ['1', '3']);
  });

  it('keeps messages for a persistent member that is away, and gives them to whoever comes first', async () => {
    const broker = new Harness();
    const one = await member(broker, 'one', 1, KEPT);
    one.drop();
    const publisher = await broker.connect('pub');
    publisher.send(publish('jobs/1', '1', 1, 1), publish('jobs/1', '0'));
    await broker.settle();
    assert.equal(broker.meters.droppedDirect, 1);
    broker.restartFrontEnd();
    const two = await broker.connect5('two');
    two.send(subscribe5(1, [], [SHARED, 1]));
    await broker.settle();
    assert.deepEqual(two.take().slice(1), [publish5('jobs/1', '1', { qos: 1, id: 1 }).toString('hex')]);
    const back = await broker.connect5('one', KEPT);
    publisher.drop();
    const other = await broker.connect('pub2');
    for (let i = 1; i <= 4; i++) other.send(publish('jobs/1', `${i}`, 1, i));
    await broker.settle();
    assert.equal(back.take().length, 2);
    assert.equal(two.take().length, 2);
  });

  it('completes QoS 2 with the member that it began with, and with nobody else [MQTT-4.8.2-4] [MQTT-4.8.2-5]', async () => {
    const broker = new Harness();
    const one = await member(broker, 'one', 2, KEPT);
    const publisher = await broker.connect('pub');
    publisher.send(publish('jobs/1', '1', 2, 1));
    await broker.settle();
    assert.deepEqual(bodies(one), ['1']);
    const two = await member(broker, 'two', 2);
    one.drop();
    await broker.settle();
    assert.deepEqual(two.take(), []);
    const back = await broker.connect5('one', KEPT);
    await broker.settle();
    assert.deepEqual(back.take(), [publish5('jobs/1', '1', { qos: 2, id: 1, dup: true }).toString('hex')]);
    two.drop();
    back.drop();
    await broker.settle();
    broker.restartFrontEnd();
    const three = await member(broker, 'three', 2);
    assert.deepEqual(three.take(), []);
    const again = await broker.connect5('one', KEPT);
    await broker.settle();
    assert.deepEqual(again.take(), [publish5('jobs/1', '1', { qos: 2, id: 1, dup: true }).toString('hex')]);
    again.send(ack(0x50, 1));
    await broker.settle();
    assert.deepEqual(again.take(), [ack(0x62, 1).toString('hex')]);
    // The session ends with a message in flight: no other member gets it.
    publisher.drop();
    const other = await broker.connect('pub2');
    for (let i = 1; i <= 2; i++) other.send(publish('jobs/1', `${i}`, 2, i));
    await broker.settle();
    const under = again.take().length;
    assert.equal(under, 1);
    assert.equal(three.take().length, 1);
    again.drop();
    const ended = await broker.connect5('one');
    assert.ok(!ended.present);
    await broker.settle();
    assert.deepEqual(three.take(), []);
  });

  it('has no message wait for a member whose session ended [MQTT-4.8.2-5]', async () => {
    const broker = new Harness();
    const one = await member(broker, 'one', 2, KEPT);
    const two = await member(broker, 'two', 2, KEPT);
    two.drop();
    const publisher = await broker.connect('pub');
    publisher.send(publish('jobs/1', '1', 2, 1));
    await broker.settle();
    assert.deepEqual(bodies(one), ['1']);
    one.drop();
    await broker.connect5('one');
    const back = await broker.connect5('two', KEPT);
    publisher.send(publish('jobs/1', '2', 2, 2));
    await broker.settle();
    assert.deepEqual(bodies(back), ['2']);
    const queue = broker.hosts.get('/')!.queues.get(groupQueues(broker)[0]!)!;
    assert.equal(queue.unackedCount, 1);
  });

  it('that ended leaves nothing of what its last member had not acknowledged but the end of the exchange', async () => {
    const broker = new Harness();
    const one = await member(broker, 'one', 2, KEPT);
    const publisher = await broker.connect('pub');
    publisher.send(publish('jobs/1', '1', 2, 1), publish('jobs/1', '2', 1, 2));
    await broker.settle();
    assert.deepEqual(bodies(one).sort(), ['1', '2']);
    one.send(unsubscribe5(2, SHARED));
    await broker.settle();
    one.drop();
    await broker.settle();
    assert.deepEqual(groupQueues(broker), []);
    for (const restarts of [true, false]) {
      if (restarts) broker.restartFrontEnd();
      const back = await broker.connect5('one', KEPT);
      await broker.settle();
      assert.deepEqual(back.take(), [ack(0x62, 1).toString('hex')]);
      if (!restarts) back.send(ack(0x70, 1));
      back.drop();
      await broker.settle();
    }
    assert.deepEqual([...broker.store.packets.all()], []);
  });

  it('gives a member that comes back no more than its receive maximum', async () => {
    const broker = new Harness();
    const { one } = await begun(broker, 3);
    const two = await member(broker, 'two', 2);
    one.drop();
    await broker.settle();
    assert.deepEqual(two.take(), []);
    const back = await broker.connect5('one', {
      ...KEPT,
      properties: [p.sessionExpiry(0xffff_ffff), p.receiveMaximum(1)],
    });
    await broker.settle();
    for (const id of [1, 2, 3]) {
      assert.deepEqual(back.take(), [publish5('jobs/1', `${id}`, { qos: 2, id, dup: true }).toString('hex')]);
      back.send(ack(0x50, id));
      await broker.settle();
      assert.deepEqual(back.take(), [ack(0x62, id).toString('hex')]);
      back.send(ack(0x70, id));
      await broker.settle();
    }
  });

  it('gives a member that comes and goes its messages in their order, each once, while another one hands them on', async () => {
    const broker = new Harness();
    const { one } = await begun(broker, 4);
    const two = await member(broker, 'two', 2);
    one.drop();
    for (const receiveMaximum of [2, 3, 10]) {
      await broker.settle();
      const properties = [p.sessionExpiry(0xffff_ffff), p.receiveMaximum(receiveMaximum)];
      const back = await broker.connect5('one', { clean: false, properties });
      await broker.settle();
      const again = [1, 2, 3, 4].slice(0, receiveMaximum);
      const expected = again.map((id) => publish5('jobs/1', `${id}`, { qos: 2, id, dup: true }).toString('hex'));
      assert.deepEqual(back.take(), expected);
      back.drop();
    }
    assert.deepEqual(two.take(), []);
  });

  it('releases the ids of a member whose unfinished messages were purged, once somebody gets a later one', async () => {
    const broker = new Harness();
    const { one, publisher } = await begun(broker, 3);
    one.drop();
    await broker.settle();
    broker.hosts.get('/')!.queues.get(groupQueues(broker)[0]!)!.purge();
    const two = await member(broker, 'two', 2);
    publisher.send(publish('jobs/1', '4', 2, 4));
    await broker.settle();
    assert.deepEqual(bodies(two), ['4']);
    const back = await broker.connect5('one', KEPT);
    await broker.settle();
    const released = [1, 2, 3].map((id) => ack(0x62, id).toString('hex'));
    assert.deepEqual(back.take(), released);
    for (const id of [1, 2, 3]) back.send(ack(0x70, id));
    await broker.settle();
    assert.deepEqual([...broker.store.packets.all()], []);
  });

  it('sends no retained messages, and carries identifiers and QoS of the member', async () => {
    const broker = new Harness();
    const publisher = await broker.connect('pub');
    publisher.send(publish('jobs/1', 'k', 1, 1, 1));
    const client = await broker.connect5('c');
    client.send(subscribe5(1, [p.subscriptionId(4)], [SHARED, 1]));
    await broker.settle();
    assert.equal(client.take().length, 1);
    publisher.send(publish('jobs/1', 'x', 2, 2));
    await broker.settle();
    const expected = publish5('jobs/1', 'x', { qos: 1, id: 1, properties: [p.subscriptionId(4)] });
    assert.deepEqual(client.take(), [expected.toString('hex')]);
  });

  it('ends with its last member, connected or not', async () => {
    const broker = new Harness();
    const one = await member(broker, 'one');
    const two = await member(broker, 'two', 1, KEPT);
    assert.equal(groupQueues(broker).length, 1);
    one.send(unsubscribe5(2, SHARED));
    await broker.settle();
    two.drop();
    await broker.settle();
    assert.equal(groupQueues(broker).length, 1);
    const back = await broker.connect5('two', KEPT);
    back.send(unsubscribe5(2, SHARED));
    await broker.settle();
    assert.equal(groupQueues(broker).length, 0);
    const old = await broker.connect('old');
    old.send(subscribe(1, [SHARED, 1]));
    await broker.settle();
    assert.equal(groupQueues(broker).length, 1);
    old.send(unsubscribe(2, SHARED));
    await broker.settle();
    assert.equal(groupQueues(broker).length, 0);
    const clean = await member(broker, 'clean');
    clean.drop();
    await broker.settle();
    assert.equal(groupQueues(broker).length, 0);
  });

  it('that is refused leaves nothing behind', async () => {
    const broker = new Harness({ topics: (permission, key) => permission === 'write' || key !== 'secret' });
    const client = await broker.connect5('c');
    client.send(subscribe5(1, [], ['$share/g/secret', 1], ['$share/g/open', 1]));
    await broker.settle();
    assert.deepEqual(client.take(), [suback5(1, 0x87, 1).toString('hex')]);
    assert.deepEqual(groupQueues(broker), ['mqtt-subscription-g/openshared']);
  });

  for (const [lasting, fields] of [
    ['without expiry', {}],
    ['that lasts', KEPT],
  ] as const) {
    it(`of a session ${lasting} whose client goes before it is made leaves nothing behind, and the others`, async () => {
      const broker = new Harness();
      const other = '$share/g/other';
      const staying = await broker.connect5('staying');
      const going = await broker.connect5('going', fields);
      staying.send(subscribe5(1, [], [other, 1]));
      await broker.settle();
      broker.store.hold();
      going.send(subscribe5(1, [], [SHARED, 1], [other, 1]));
      await broker.settle();
      going.drop();
      await broker.settle();
      broker.store.release();
      await broker.settle();
      assert.deepEqual(groupQueues(broker), ['mqtt-subscription-g/othershared']);
      const back = await broker.connect5('going', fields);
      staying.take();
      const publisher = await broker.connect('pub');
      for (let i = 0; i < 4; i++) publisher.send(publish('other', `${i}`, 1, i + 1));
      await broker.settle();
      assert.deepEqual(bodies(staying), ['0', '1', '2', '3']);
      assert.deepEqual(bodies(back), []);
      back.send(subscribe5(1, [], [other, 1]));
      await broker.settle();
      staying.drop();
      await broker.settle();
      assert.deepEqual(groupQueues(broker), ['mqtt-subscription-g/othershared']);
      back.send(unsubscribe5(2, other));
      await broker.settle();
      assert.deepEqual(groupQueues(broker), []);
    });
  }

  it('leaves no queue where its first member goes while it is joining, however far that had come', async () => {
    for (const fields of [{}, KEPT]) {
      for (let commits = 0; commits < 6; commits++) {
        const broker = new Harness();
        const client = await broker.connect5('c', fields);
        broker.store.hold();
        client.send(subscribe5(1, [], [SHARED, 1]));
        await broker.settle();
        for (let i = 0; i < commits; i++) {
          broker.store.commit();
          await broker.settle();
        }
        client.drop();
        await broker.settle();
        broker.store.release();
        await broker.settle();
        // A persistent session stays a member after its client disconnects.
        await broker.connect5('c');
        await broker.settle();
        assert.deepEqual(groupQueues(broker), [], `gone after ${commits} commits`);
      }
    }
  });

  it('goes on where its last member leaves while another one joins', async () => {
    for (const asked of ['write', 'read']) {
      // The answer that the second one waits for when the first leaves.
      let answer: (allowed: boolean) => void = () => {};
      const waits = (permission: string, resource: string): boolean =>
        permission === asked && resource.endsWith('shared') && groupQueues(broker).length > 0;
      const broker: Harness = new Harness({
        allows: (permission, resource) =>
          waits(permission, resource) ? new Promise((resolve) => (answer = resolve)) : true,
      });
      const one = await broker.connect5('one');
      one.send(subscribe5(1, [], [SHARED, 1]));
      await broker.settle();
      answer(true);
      await broker.settle();
      const two = await broker.connect5('two');
      two.send(subscribe5(1, [], [SHARED, 1]));
      await broker.settle();
      assert.deepEqual(two.take(), []);
      one.drop();
      await broker.settle();
      answer(true);
      await broker.settle();
      const publisher = await broker.connect('pub');
      publisher.send(publish('jobs/1', 'x', 1, 1));
      await broker.settle();
      const expected = [suback5(1, 1), publish5('jobs/1', 'x', { qos: 1, id: 1 })];
      assert.deepEqual(
        two.take(),
        expected.map((packet) => packet.toString('hex')),
        `while it asks whether it may ${asked}`,
      );
    }
  });

  it('ends for a member that may not subscribe any more when it comes back, at QoS 0 too', async () => {
    let allowed = true;
    const broker = new Harness({ topics: () => allowed });
    (await member(broker, 'one', 0, KEPT)).drop();
    await broker.settle();
    allowed = false;
    const back = await broker.connect5('one', KEPT);
    assert.ok(back.present);
    allowed = true;
    assert.deepEqual(groupQueues(broker), []);
    const other = await member(broker, 'two', 0);
    const publisher = await broker.connect('pub');
    publisher.send(publish('jobs/1', '1'), publish('jobs/1', '2'));
    await broker.settle();
    assert.deepEqual(bodies(other), ['1', '2']);
    assert.deepEqual(back.take(), []);
    back.drop();
    broker.restartFrontEnd();
    await broker.connect5('one', KEPT);
    assert.deepEqual(groupQueues(broker), [], 'nor after a restart');
  });

  it('whose queue was deleted by hand closes its members, who are back in it when they are back', async () => {
    const broker = new Harness();
    const one = await member(broker, 'one', 1, KEPT);
    const host = broker.hosts.get('/')!;
    host.deleteQueue(host.queues.get(groupQueues(broker)[0]!)!);
    await broker.settle();
    assert.match(reasonOf(one.take()[0]), /^disconnect 98/);
    const back = await broker.connect5('one', KEPT);
    const publisher = await broker.connect('pub');
    publisher.send(publish('jobs/1', 'x', 1, 1));
    await broker.settle();
    assert.deepEqual(bodies(back), ['x']);
  });

  it('that ends releases the ids of messages that its last member was still to be sent again', async () => {
    const broker = new Harness();
    const { one } = await begun(broker, 3);
    one.drop();
    await broker.settle();
    const properties = [p.sessionExpiry(0xffff_ffff), p.receiveMaximum(1)];
    const back = await broker.connect5('one', { clean: false, properties });
    await broker.settle();
    assert.deepEqual(bodies(back), ['1']);
    back.send(unsubscribe5(2, SHARED));
    await broker.settle();
    const released = [2, 3].map((id) => ack(0x62, id).toString('hex'));
    assert.deepEqual(back.take().sort(), [...released, unsuback5(2, 0).toString('hex')]);
    for (const id of [2, 3]) back.send(ack(0x70, id));
    back.send(ack(0x50, 1));
    await broker.settle();
    assert.deepEqual(back.take(), [ack(0x62, 1).toString('hex')]);
    back.send(ack(0x70, 1));
    await broker.settle();
    assert.deepEqual([...broker.store.packets.all()], []);
  });

  it('whose members were all gone with the broker is gone after a restart', async () => {
    const broker = new Harness();
    await member(broker, 'one');
    assert.equal(groupQueues(broker).length, 1);
    broker.restartFrontEnd();
    assert.equal(groupQueues(broker).length, 0);
  });
});
