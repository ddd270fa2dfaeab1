// Protects class basic at the socket: deliveries, acknowledgements, prefetch, requeue order, confirms, returns.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../src/broker.ts';
import { RawAmqp } from '../../support/raw-amqp.ts';
import * as wire from '../../support/wire/amqp.ts';

const { METHOD } = wire;

interface Delivered {
  readonly tag: number;
  readonly redelivered: boolean;
  readonly body: string;
}

describe('class basic', () => {
  let broker: Broker;
  const clients: RawAmqp[] = [];
  let queues = 0;

  before(async () => {
    broker = await createBroker();
  });

  after(async () => {
    for (const client of clients) client.destroy();
    await broker.stop();
  });

  /** A client and the name of its queue. */
  async function withQueue(): Promise<[RawAmqp, string]> {
    const client = await RawAmqp.open(broker.ports.amqp!);
    clients.push(client);
    const queue = `basic-${++queues}`;
    client.send(wire.declareQueue(1, queue));
    await client.expect(METHOD.queueDeclareOk);
    return [client, queue];
  }

  async function delivered(client: RawAmqp): Promise<Delivered> {
    const args = await client.expect(METHOD.basicDeliver);
    const at = 1 + args[0]!;
    const header = (await client.nextFrame())!;
    const size = header.payload.readUInt32BE(8);
    const body = size === 0 ? '' : (await client.nextFrame())!.payload.toString();
    return { tag: Number(args.readBigUInt64BE(at)), redelivered: args[at + 8] === 1, body };
  }

  async function consuming(client: RawAmqp, queue: string, noAck = false, tag = 'c'): Promise<void> {
    client.send(wire.consume(1, queue, tag, noAck));
    await client.expect(METHOD.basicConsumeOk);
  }

  const text = (queue: string, body: string): Buffer => {
    const whole = wire.publish(1, '', queue, Buffer.from(body));
    // An empty body has no body frame.
    return body === '' ? whole.subarray(0, -8) : whole;
  };

  test('a message arrives with its exchange, key, properties and body; tags count from 1', async () => {
    const [client, queue] = await withQueue();
    await consuming(client, queue, true);
    client.send(text(queue, 'one'), text(queue, ''), text(queue, 'three'));
    assert.deepEqual(await delivered(client), { tag: 1, redelivered: false, body: 'one' });
    assert.deepEqual(await delivered(client), { tag: 2, redelivered: false, body: '' });
    assert.deepEqual(await delivered(client), { tag: 3, redelivered: false, body: 'three' });
  });

  test('a delivery has exactly the bytes of the grammar', async () => {
    const [client, queue] = await withQueue();
    await consuming(client, queue, true, 'tag');
    client.send(wire.publish(1, '', queue, Buffer.from('body'), 2));
    assert.deepEqual(
      (await client.nextFrame())!.payload,
      Buffer.concat([
        wire.long(METHOD.basicDeliver),
        wire.shortstr('tag'),
        wire.longlong(1),
        wire.octet(0),
        wire.shortstr(''),
        wire.shortstr(queue),
      ]),
    );
    assert.deepEqual((await client.nextFrame())!.payload, wire.contentHeader(1, 4, 2).subarray(7, -1));
    assert.equal((await client.nextFrame())!.payload.toString(), 'body');
  });

  test('prefetch bounds unacknowledged deliveries; an acknowledgement allows the next one', async () => {
    const [client, queue] = await withQueue();
    client.send(wire.qos(1, 2));
    await client.expect(METHOD.basicQosOk);
    client.send(text(queue, '1'), text(queue, '2'), text(queue, '3'), text(queue, '4'));
    await consuming(client, queue);
    assert.equal((await delivered(client)).body, '1');
    assert.equal((await delivered(client)).body, '2');
    // An unexpected delivery would come before the answer.
    client.send(wire.checkQueue(1, queue));
    await client.expect(METHOD.queueDeclareOk);
    client.send(wire.ack(1, 2, true));
    assert.deepEqual(await delivered(client), { tag: 3, redelivered: false, body: '3' });
    assert.deepEqual(await delivered(client), { tag: 4, redelivered: false, body: '4' });
  });

  test('a prefetch with global bounds the channel over all its consumers', async () => {
    const [client, queue] = await withQueue();
    client.send(wire.method(1, METHOD.basicQos, wire.long(0), wire.short(1), wire.octet(1)));
    await client.expect(METHOD.basicQosOk);
    await consuming(client, queue, false, 'a');
    await consuming(client, queue, false, 'b');
    client.send(text(queue, '1'), text(queue, '2'), wire.checkQueue(1, queue));
    assert.equal((await delivered(client)).tag, 1);
    await client.expect(METHOD.queueDeclareOk);
    client.send(wire.ack(1, 1, false));
    assert.equal((await delivered(client)).body, '2');
  });

  test('requeued messages are redelivered in order, with the redelivered mark', async () => {
    const [client, queue] = await withQueue();
    client.send(wire.qos(1, 3), text(queue, '1'), text(queue, '2'), text(queue, '3'));
    await client.expect(METHOD.basicQosOk);
    await consuming(client, queue);
    for (let tag = 1; tag <= 3; tag++) await delivered(client);
    client.send(wire.method(1, METHOD.basicNack, wire.longlong(3), wire.octet(3)));
    for (const body of ['1', '2', '3']) {
      const delivery = await delivered(client);
      assert.deepEqual([delivery.body, delivery.redelivered], [body, true]);
    }
  });

  test('a channel that closes requeues its unacknowledged messages in order', async () => {
    const [client, queue] = await withQueue();
    client.send(text(queue, '1'), text(queue, '2'));
    await consuming(client, queue);
    await delivered(client);
    await delivered(client);
    client.send(wire.channelClose(1));
    await client.expect(METHOD.channelCloseOk);
    client.send(wire.channelOpen(1));
    await client.expect(METHOD.channelOpenOk);
    await consuming(client, queue);
    assert.deepEqual(await delivered(client), { tag: 1, redelivered: true, body: '1' });
    assert.deepEqual(await delivered(client), { tag: 2, redelivered: true, body: '2' });
  });

  test('tag 0 with multiple acknowledges everything', async () => {
    const [client, queue] = await withQueue();
    client.send(text(queue, '1'), text(queue, '2'));
    await consuming(client, queue);
    await delivered(client);
    await delivered(client);
    client.send(wire.ack(1, 0, true), wire.channelClose(1));
    await client.expect(METHOD.channelCloseOk);
    client.send(wire.channelOpen(1));
    await client.expect(METHOD.channelOpenOk);
    client.send(wire.checkQueue(1, queue));
    assert.equal((await client.expect(METHOD.queueDeclareOk)).readUInt32BE(1 + queue.length), 0);
  });

  for (const [what, settle] of [
    ['ack', wire.ack(1, 2, false)],
    ['ack of several', wire.ack(1, 2, true)],
    ['reject', wire.method(1, METHOD.basicReject, wire.longlong(2), wire.octet(0))],
    ['nack', wire.method(1, METHOD.basicNack, wire.longlong(2), wire.octet(0))],
  ] as const) {
    test(`${what} with an unknown delivery tag is 406`, async () => {
      const [client, queue] = await withQueue();
      client.send(text(queue, '1'));
      await consuming(client, queue);
      await delivered(client);
      client.send(settle);
      const closed = await client.expectChannelClose();
      assert.deepEqual([closed.code, closed.text], [406, 'PRECONDITION_FAILED - unknown delivery tag 2']);
    });
  }

  test('the delivery of a consumer without acknowledgement cannot be acknowledged', async () => {
    const [client, queue] = await withQueue();
    await consuming(client, queue, true);
    client.send(text(queue, '1'));
    await delivered(client);
    client.send(wire.ack(1, 1, false));
    assert.equal((await client.expectChannelClose()).code, 406);
  });

  test('recover redelivers all unacknowledged messages; with requeue=false it is 540', async () => {
    const [client, queue] = await withQueue();
    client.send(text(queue, '1'));
    await consuming(client, queue);
    await delivered(client);
    client.send(wire.method(1, METHOD.basicRecover, wire.octet(1)));
    await client.expect(0x003c006f);
    assert.deepEqual(await delivered(client), { tag: 2, redelivered: true, body: '1' });
    client.send(wire.method(1, METHOD.basicRecover, wire.octet(0)));
    assert.equal((await client.expectConnectionClose()).code, 540);
  });

  test('confirms come in order and cover all publishes, transient and persistent', async () => {
    const [client, queue] = await withQueue();
    client.send(wire.confirmSelect(1));
    await client.expect(METHOD.confirmSelectOk);
    const messages: Buffer[] = [];
    for (let i = 0; i < 100; i++) messages.push(wire.publish(1, '', queue, Buffer.from('x'), i % 2 === 0 ? 2 : 0));
    client.send(...messages);
    let confirmed = 0;
    while (confirmed < 100) {
      const args = await client.expect(METHOD.basicAck);
      const tag = Number(args.readBigUInt64BE(0));
      assert.ok(tag > confirmed);
      assert.equal(args[8], tag > confirmed + 1 ? 1 : 0);
      confirmed = tag;
    }
    assert.equal(confirmed, 100);
  });

  test('a full queue that rejects answers with a nack, in order with the acks', async () => {
    const [client] = await withQueue();
    const args = wire.table({ 'x-max-length': 2, 'x-overflow': 'reject-publish' });
    client.send(wire.declareQueue(1, 'bounded', { exclusive: true }, args), wire.confirmSelect(1));
    await client.expect(METHOD.queueDeclareOk);
    await client.expect(METHOD.confirmSelectOk);
    for (let i = 0; i < 4; i++) client.send(text('bounded', String(i)));
    const seen: [number, number][] = [];
    for (let tag = 0; tag < 4; ) {
      const { method, payload } = (await client.nextFrame())!;
      tag = Number(payload.readBigUInt64BE(4));
      seen.push([method, tag]);
    }
    assert.deepEqual(new Set(seen.filter(([, tag]) => tag <= 2).map(([method]) => method)), new Set([METHOD.basicAck]));
    assert.deepEqual(new Set(seen.filter(([, tag]) => tag > 2).map(([method]) => method)), new Set([METHOD.basicNack]));
  });

  test('a mandatory message without a queue is returned whole, before its confirm', async () => {
    const [client] = await withQueue();
    client.send(wire.confirmSelect(1));
    await client.expect(METHOD.confirmSelectOk);
    client.send(
      wire.method(1, METHOD.basicPublish, wire.short(0), wire.shortstr(''), wire.shortstr('nobody'), wire.octet(1)),
      wire.contentHeader(1, 4, 2),
      wire.frame(3, 1, Buffer.from('body')),
    );
    assert.deepEqual(
      await client.expect(METHOD.basicReturn),
      Buffer.concat([wire.short(312), wire.shortstr('NO_ROUTE'), wire.shortstr(''), wire.shortstr('nobody')]),
    );
    assert.deepEqual((await client.nextFrame())!.payload, wire.contentHeader(1, 4, 2).subarray(7, -1));
    assert.equal((await client.nextFrame())!.payload.toString(), 'body');
    await client.expect(METHOD.basicAck);
  });

  test('an empty consumer tag is generated; one in use is 530', async () => {
    const [client, queue] = await withQueue();
    client.send(wire.consume(1, queue, '', true));
    const tag = (await client.expect(METHOD.basicConsumeOk)).subarray(1).toString();
    assert.match(tag, /^amq\.ctag-[\w-]{22}$/);
    client.send(wire.consume(1, queue, tag, true));
    const closed = await client.expectConnectionClose();
    assert.deepEqual([closed.code, closed.text], [530, `NOT_ALLOWED - attempt to reuse consumer tag '${tag}'`]);
  });

  test('an empty queue name is the one declared last, and is 404 before there is one', async () => {
    const [client, queue] = await withQueue();
    client.send(text(queue, 'x'), wire.get(1, '', true));
    await client.expect(METHOD.basicGetOk);
    await client.nextFrame();
    await client.nextFrame();
    client.send(wire.channelOpen(2));
    await client.expect(METHOD.channelOpenOk);
    client.send(wire.get(2, '', true));
    const closed = await client.expectChannelClose();
    assert.deepEqual([closed.code, closed.text], [404, 'NOT_FOUND - no previously declared queue']);
  });

  test('an invalid expiration and a foreign user id are 406', async () => {
    const [client, queue] = await withQueue();
    const publish = (flags: number, value: string): Buffer =>
      Buffer.concat([
        wire.method(1, METHOD.basicPublish, wire.short(0), wire.shortstr(''), wire.shortstr(queue), wire.octet(0)),
        wire.frame(
          2,
          1,
          Buffer.concat([wire.long(60 << 16), wire.longlong(0), wire.short(flags), wire.shortstr(value)]),
        ),
      ]);
    client.send(publish(0x0100, 'soon'));
    assert.match((await client.expectChannelClose()).text, /^PRECONDITION_FAILED - invalid expiration 'soon'/);
    client.send(wire.method(1, METHOD.channelCloseOk), wire.channelOpen(1));
    await client.expect(METHOD.channelOpenOk);
    client.send(publish(0x0010, 'guest'), publish(0x0010, 'root'), publish(0x0010, 'guest'));
    assert.equal(
      (await client.expectChannelClose()).text,
      "PRECONDITION_FAILED - user_id property set to 'root' but authenticated user was 'guest'",
    );
  });

  test('consumers of one queue take turns', async () => {
    const [client, queue] = await withQueue();
    await consuming(client, queue, true, 'a');
    await consuming(client, queue, true, 'b');
    const tags: string[] = [];
    client.send(...['1', '2', '3', '4'].map((body) => text(queue, body)));
    for (let i = 0; i < 4; i++) {
      const args = await client.expect(METHOD.basicDeliver);
      tags.push(args.toString('latin1', 1, 1 + args[0]!));
      await client.nextFrame();
      await client.nextFrame();
    }
    assert.deepEqual(tags.toSorted(), ['a', 'a', 'b', 'b']);
    assert.notEqual(tags[0], tags[1]);
  });
});
