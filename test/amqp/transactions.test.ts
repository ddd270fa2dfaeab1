// Protects class tx: nothing is visible before the commit, everything after it, and commit-ok is sent once it is
// durable. Error texts are RabbitMQ's.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Broker, createBroker } from '../../src/broker.ts';
import { MemoryKv } from '../../src/store/kv/memory.ts';
import { RawAmqp } from '../../support/raw-amqp.ts';
import * as wire from '../../support/wire/amqp.ts';
import { FaultyKv } from '../support/faulty-kv.ts';

const { METHOD } = wire;

const select = (): Buffer => wire.method(1, METHOD.txSelect);
const commit = (): Buffer => wire.method(1, METHOD.txCommit);
const rollback = (): Buffer => wire.method(1, METHOD.txRollback);
const nack = (tag: number, multiple: boolean, requeue: boolean): Buffer =>
  wire.method(1, METHOD.basicNack, wire.longlong(tag), wire.octet((multiple ? 1 : 0) | (requeue ? 2 : 0)));

describe('class tx', () => {
  let broker: Broker;
  const clients: RawAmqp[] = [];
  let queues = 0;

  before(async () => {
    broker = await createBroker({ amqp: { transactionOperations: 50, transactionBytes: 64 * 1024 } });
  });

  after(async () => {
    for (const client of clients) client.destroy();
    await broker.stop();
  });

  async function open(): Promise<RawAmqp> {
    const client = await RawAmqp.open(broker.ports.amqp!);
    clients.push(client);
    return client;
  }

  /** A client in a transaction, and the name of its durable queue. */
  async function selected(): Promise<[RawAmqp, string]> {
    const client = await open();
    const queue = `tx-${++queues}`;
    client.send(wire.declareQueue(1, queue, { durable: true }), select());
    await client.expect(METHOD.queueDeclareOk);
    await client.expect(METHOD.txSelectOk);
    return [client, queue];
  }

  async function ready(client: RawAmqp, queue: string): Promise<number> {
    client.send(wire.checkQueue(1, queue));
    const args = await client.expect(METHOD.queueDeclareOk);
    return args.readUInt32BE(1 + queue.length);
  }

  async function got(client: RawAmqp, queue: string, noAck = false): Promise<string> {
    client.send(wire.get(1, queue, noAck));
    await client.expect(METHOD.basicGetOk);
    await client.nextFrame();
    return (await client.nextFrame())!.payload.toString();
  }

  test('published messages are visible after the commit, in order, and not before', async () => {
    const [client, queue] = await selected();
    for (const [body, mode] of [
      ['1', 2],
      ['2', 0],
      ['3', 2],
    ] as const) {
      client.send(wire.publish(1, '', queue, Buffer.from(body), mode));
    }
    assert.equal(await ready(client, queue), 0);
    client.send(commit());
    await client.expect(METHOD.txCommitOk);
    assert.deepEqual([await got(client, queue), await got(client, queue), await got(client, queue)], ['1', '2', '3']);
  });

  test('a waiting consumer gets it with the commit', async () => {
    const [client, queue] = await selected();
    client.send(wire.consume(1, queue, 'c', true));
    await client.expect(METHOD.basicConsumeOk);
    client.send(wire.publish(1, '', queue, Buffer.from('x'), 2), commit());
    const methods = new Set<number>();
    for (let i = 0; i < 4; i++) methods.add((await client.nextFrame())!.method);
    assert.ok(methods.has(METHOD.txCommitOk) && methods.has(METHOD.basicDeliver));
  });

  test('a rollback discards publishes and acknowledgements; the next commit covers only later ones', async () => {
    const [client, queue] = await selected();
    client.send(wire.publish(1, '', queue, Buffer.from('kept')), commit());
    await client.expect(METHOD.txCommitOk);
    assert.equal(await got(client, queue), 'kept');
    client.send(wire.publish(1, '', queue, Buffer.from('lost')), wire.ack(1, 1, false), rollback());
    await client.expect(METHOD.txRollbackOk);
    client.send(commit());
    await client.expect(METHOD.txCommitOk);
    assert.equal(await ready(client, queue), 0);
    // The delivery is still unacknowledged: it can be settled again, and now it is requeued.
    client.send(nack(1, false, true), commit());
    await client.expect(METHOD.txCommitOk);
    assert.equal(await got(client, queue), 'kept');
  });

  test('acknowledgements take effect at the commit', async () => {
    const [client, queue] = await selected();
    for (const body of ['1', '2', '3']) client.send(wire.publish(1, '', queue, Buffer.from(body), 2));
    client.send(commit());
    await client.expect(METHOD.txCommitOk);
    for (let i = 0; i < 3; i++) await got(client, queue);
    client.send(wire.ack(1, 2, true), commit());
    await client.expect(METHOD.txCommitOk);
    client.send(wire.ack(1, 3, false), wire.channelClose(1));
    await client.expect(METHOD.channelCloseOk);
    client.send(wire.channelOpen(1));
    await client.expect(METHOD.channelOpenOk);
    assert.equal(await ready(client, queue), 1);
    assert.equal(await got(client, queue, true), '3');
  });

  test('prefetch counts acknowledged messages until the commit', async () => {
    const [client, queue] = await selected();
    client.send(wire.publish(1, '', queue, Buffer.from('1')), wire.publish(1, '', queue, Buffer.from('2')), commit());
    await client.expect(METHOD.txCommitOk);
    client.send(wire.qos(1, 1), wire.consume(1, queue, 'c', false));
    await client.expect(METHOD.basicQosOk);
    await client.expect(METHOD.basicConsumeOk);
    await client.expect(METHOD.basicDeliver);
    await client.nextFrame();
    await client.nextFrame();
    client.send(wire.ack(1, 1, false));
    assert.equal(await ready(client, queue), 1);
    client.send(commit());
    const methods: number[] = [];
    for (let i = 0; i < 4; i++) methods.push((await client.nextFrame())!.method);
    assert.ok(methods.includes(METHOD.txCommitOk) && methods.includes(METHOD.basicDeliver));
  });

  test('a delivery is settled once', async () => {
    for (const [first, second] of [
      [wire.ack(1, 1, false), wire.ack(1, 1, false)],
      [wire.ack(1, 0, true), nack(1, false, true)],
      [nack(1, false, true), wire.ack(1, 1, true)],
    ] as const) {
      const [client, queue] = await selected();
      client.send(wire.publish(1, '', queue, Buffer.from('1')), commit());
      await client.expect(METHOD.txCommitOk);
      await got(client, queue);
      client.send(first, second);
      assert.equal((await client.expectChannelClose()).text, 'PRECONDITION_FAILED - unknown delivery tag 1');
    }
  });

  test('a publish to a missing exchange fails at once, and nothing of the transaction is applied', async () => {
    const [client, queue] = await selected();
    client.send(
      wire.publish(1, '', queue, Buffer.from('1')),
      wire.publish(1, 'nowhere', '', Buffer.from('2')),
      commit(),
    );
    const closed = await client.expectChannelClose();
    assert.deepEqual([closed.code, closed.methodId], [404, 40]);
    client.send(wire.method(1, METHOD.channelCloseOk), wire.channelOpen(1));
    await client.expect(METHOD.channelOpenOk);
    assert.equal(await ready(client, queue), 0);
  });

  test('a mandatory message without a queue is returned at the commit, before commit-ok', async () => {
    const [client, queue] = await selected();
    client.send(
      wire.method(1, METHOD.basicPublish, wire.short(0), wire.shortstr(''), wire.shortstr('nobody'), wire.octet(1)),
      wire.contentHeader(1, 1),
      wire.frame(3, 1, Buffer.from('x')),
    );
    assert.equal(await ready(client, queue), 0);
    client.send(commit());
    await client.expect(METHOD.basicReturn);
    await client.nextFrame();
    await client.nextFrame();
    await client.expect(METHOD.txCommitOk);
  });

  for (const [what, bytes, text] of [
    ['a commit without select', commit(), 'channel is not transactional'],
    ['a rollback without select', rollback(), 'channel is not transactional'],
    [
      'select in confirm mode',
      Buffer.concat([wire.confirmSelect(1), select()]),
      'cannot switch from confirm to tx mode',
    ],
    [
      'confirm mode after select',
      Buffer.concat([select(), wire.confirmSelect(1)]),
      'cannot switch from tx to confirm mode',
    ],
  ] as const) {
    test(`${what} is 406`, async () => {
      const client = await open();
      client.send(bytes);
      let frame = (await client.nextFrame())!;
      if (frame.method !== METHOD.channelClose) frame = (await client.nextFrame())!;
      assert.equal(frame.method, METHOD.channelClose);
      assert.ok(frame.payload.includes(`PRECONDITION_FAILED - ${text}`), frame.payload.toString('latin1'));
    });
  }

  test('the transactions of one connection share a bound in bytes, and closing a channel frees its share', async () => {
    const [client, queue] = await selected();
    const publish = (channel: number): Buffer => wire.publish(channel, '', queue, Buffer.alloc(40_000, 1));
    const begin = async (channel: number): Promise<void> => {
      client.send(wire.channelOpen(channel), wire.method(channel, METHOD.txSelect));
      await client.expect(METHOD.channelOpenOk);
      await client.expect(METHOD.txSelectOk);
    };
    await begin(2);
    client.send(publish(2), wire.channelClose(2));
    await client.expect(METHOD.channelCloseOk);
    await begin(3);
    client.send(publish(3), publish(1));
    const { text } = await client.expectChannelClose();
    assert.equal(text, 'PRECONDITION_FAILED - transaction holds more than 65536 bytes');
    client.send(wire.method(1, METHOD.channelCloseOk), wire.method(3, METHOD.txCommit));
    await client.expect(METHOD.txCommitOk);
    client.send(publish(3), wire.method(3, METHOD.txCommit));
    await client.expect(METHOD.txCommitOk);
  });

  test('a transaction is bounded in operations and in bytes', async () => {
    for (const [bytes, count, text] of [
      [1, 51, 'transaction holds more than 50 operations'],
      [40_000, 2, 'transaction holds more than 65536 bytes'],
    ] as const) {
      const [client, queue] = await selected();
      for (let i = 0; i < count; i++) client.send(wire.publish(1, '', queue, Buffer.alloc(bytes, 1)));
      assert.equal((await client.expectChannelClose()).text, `PRECONDITION_FAILED - ${text}`);
    }
  });

  test('a queue that refuses one publish fails the whole transaction, including its acknowledgements', async () => {
    const [client, queue] = await selected();
    const args = wire.table({ 'x-max-length': 2, 'x-overflow': 'reject-publish' });
    client.send(wire.declareQueue(1, 'full', {}, args), wire.publish(1, '', queue, Buffer.from('kept'), 2), commit());
    await client.expect(METHOD.queueDeclareOk);
    await client.expect(METHOD.txCommitOk);
    await got(client, queue);
    for (let i = 0; i < 3; i++) client.send(wire.publish(1, '', 'full', Buffer.from('x'), 2));
    client.send(wire.ack(1, 1, false), commit());
    assert.match((await client.expectChannelClose()).text, /^PRECONDITION_FAILED - partial tx completion/);
    client.send(wire.method(1, METHOD.channelCloseOk), wire.channelOpen(1));
    await client.expect(METHOD.channelOpenOk);
    assert.deepEqual([await ready(client, 'full'), await ready(client, queue)], [0, 1]);
  });

  test('commit-ok waits for the disk, and no consumer gets the message before', async (t) => {
    const kv = new FaultyKv(new MemoryKv());
    const held = await createBroker({}, { kv });
    t.after(() => held.stop());
    const client = await RawAmqp.open(held.ports.amqp!);
    clients.push(client);
    client.send(wire.declareQueue(1, 'q', { durable: true }), wire.consume(1, 'q', 'c', true), select());
    for (const method of [METHOD.queueDeclareOk, METHOD.basicConsumeOk, METHOD.txSelectOk]) await client.expect(method);
    const other = await RawAmqp.open(held.ports.amqp!);
    clients.push(other);
    kv.hold = true;
    client.send(wire.publish(1, '', 'q', Buffer.from('x'), 2), commit());
    while (!kv.waiting) await nextTurn();
    // Any earlier frame of the broker would come before this answer.
    other.send(wire.checkQueue(1, 'q'));
    assert.equal((await other.expect(METHOD.queueDeclareOk)).readUInt32BE(2), 0);
    assert.equal(client.received, 0);
    kv.hold = false;
    kv.release();
    const methods: number[] = [];
    for (let i = 0; i < 4; i++) methods.push((await client.nextFrame())!.method);
    assert.ok(methods.includes(METHOD.txCommitOk) && methods.includes(METHOD.basicDeliver));
  });

  test('on a full disk nothing of a transaction is applied, and the channel is closed', async (t) => {
    const kv = new FaultyKv(new MemoryKv());
    const full = await createBroker({}, { kv });
    t.after(() => {
      kv.full = false;
      return full.stop();
    });
    const client = await RawAmqp.open(full.ports.amqp!);
    clients.push(client);
    client.send(wire.declareQueue(1, 'q', { durable: true }), select());
    await client.expect(METHOD.queueDeclareOk);
    await client.expect(METHOD.txSelectOk);
    kv.full = true;
    client.send(wire.publish(1, '', 'q', Buffer.from('1'), 2), wire.publish(1, '', 'q', Buffer.from('2')), commit());
    const closed = await client.expectChannelClose();
    assert.deepEqual([closed.code, closed.methodId], [406, 20]);
    const other = await RawAmqp.open(full.ports.amqp!);
    clients.push(other);
    assert.equal(await ready(other, 'q'), 0);
  });
});
