// Protects classes exchange and queue at the socket for requests that client libraries do not send: alternate
// exchanges, internal exchanges, binding arguments, and prefetch changes with unacknowledged messages.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../src/broker.ts';
import { RawAmqp } from '../../support/raw-amqp.ts';
import * as wire from '../../support/wire/amqp.ts';

const { METHOD } = wire;

describe('exchanges and queues', () => {
  let broker: Broker;
  let client: RawAmqp;

  before(async () => {
    broker = await createBroker();
  });

  after(async () => {
    await broker.stop();
  });

  async function open(): Promise<void> {
    client = await RawAmqp.open(broker.ports.amqp!);
  }

  function declareExchange(name: string, kind: string, bits: number, args: Buffer): Buffer {
    return wire.method(
      1,
      METHOD.exchangeDeclare,
      wire.short(0),
      wire.shortstr(name),
      wire.shortstr(kind),
      wire.octet(bits),
      args,
    );
  }

  function bind(queue: string, exchange: string, key: string, args: Buffer): Buffer {
    const names = [wire.shortstr(queue), wire.shortstr(exchange), wire.shortstr(key)];
    return wire.method(1, METHOD.queueBind, wire.short(0), ...names, wire.octet(0), args);
  }

  function unbind(queue: string, exchange: string, key: string, args: Buffer): Buffer {
    const names = [wire.shortstr(queue), wire.shortstr(exchange), wire.shortstr(key)];
    return wire.method(1, METHOD.queueUnbind, wire.short(0), ...names, args);
  }

  async function ready(queue: string): Promise<number> {
    client.send(wire.checkQueue(1, queue));
    return (await client.expect(METHOD.queueDeclareOk)).readUInt32BE(1 + queue.length);
  }

  async function expectAll(...methods: number[]): Promise<void> {
    for (const method of methods) await client.expect(method);
  }

  const AUTO_DELETE = 4;
  const INTERNAL = 8;
  const none = wire.table({});

  test('an unroutable message passes through any number of alternate exchanges, including cycles', async (t) => {
    await open();
    t.after(() => client.destroy());
    client.send(
      declareExchange('first', 'direct', AUTO_DELETE, wire.table({ 'alternate-exchange': 'second' })),
      declareExchange('second', 'direct', AUTO_DELETE, wire.table({ 'alternate-exchange': 'third' })),
      declareExchange('third', 'fanout', AUTO_DELETE, wire.table({ 'alternate-exchange': 'first' })),
      wire.declareQueue(1, 'stray', { exclusive: true }),
    );
    await expectAll(
      METHOD.exchangeDeclareOk,
      METHOD.exchangeDeclareOk,
      METHOD.exchangeDeclareOk,
      METHOD.queueDeclareOk,
    );
    // Mandatory, and unroutable in every exchange.
    client.send(
      wire.method(1, METHOD.basicPublish, wire.short(0), wire.shortstr('first'), wire.shortstr('k'), wire.octet(1)),
      wire.contentHeader(1, 0),
    );
    await client.expect(METHOD.basicReturn);
    await client.nextFrame();
    client.send(bind('stray', 'third', '', none), wire.publish(1, 'first', 'k', Buffer.from('x')));
    await client.expect(METHOD.queueBindOk);
    assert.equal(await ready('stray'), 1);
    client.send(bind('stray', 'first', 'k', none), wire.publish(1, 'first', 'k', Buffer.from('x')));
    await client.expect(METHOD.queueBindOk);
    assert.equal(await ready('stray'), 2);
  });

  test('exchanges that are bound in a circle deliver once', async (t) => {
    await open();
    t.after(() => client.destroy());
    const names = ['ring-a', 'ring-b', 'ring-c'];
    for (const name of names) client.send(declareExchange(name, 'fanout', 0, none));
    for (const [i, name] of names.entries()) {
      const next = names[(i + 1) % names.length]!;
      const ends = [wire.shortstr(next), wire.shortstr(name), wire.shortstr('')];
      client.send(wire.method(1, METHOD.exchangeBind, wire.short(0), ...ends, wire.octet(0), none));
    }
    client.send(wire.declareQueue(1, 'once', { exclusive: true }));
    for (const name of names) client.send(bind('once', name, '', none));
    await expectAll(METHOD.exchangeDeclareOk, METHOD.exchangeDeclareOk, METHOD.exchangeDeclareOk);
    await expectAll(METHOD.exchangeBindOk, METHOD.exchangeBindOk, METHOD.exchangeBindOk, METHOD.queueDeclareOk);
    await expectAll(METHOD.queueBindOk, METHOD.queueBindOk, METHOD.queueBindOk);
    client.send(wire.publish(1, 'ring-b', '', Buffer.from('x')));
    assert.equal(await ready('once'), 1);
  });

  test('an internal exchange accepts messages only from exchanges', async (t) => {
    await open();
    t.after(() => client.destroy());
    client.send(declareExchange('inner', 'fanout', AUTO_DELETE | INTERNAL, none));
    client.send(wire.publish(1, 'inner', '', Buffer.from('x')));
    await client.expect(METHOD.exchangeDeclareOk);
    const closed = await client.expectChannelClose();
    assert.deepEqual(
      [closed.code, closed.text],
      [403, "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'"],
    );
  });

  test('bindings that differ in their arguments are distinct; unbind removes the matching one', async (t) => {
    await open();
    t.after(() => client.destroy());
    const one = wire.table({ 'x-match': 'all', a: 1 });
    const two = wire.table({ 'x-match': 'all', a: 2 });
    client.send(
      wire.declareQueue(1, 'matched', { exclusive: true }),
      bind('matched', 'amq.headers', '', one),
      bind('matched', 'amq.headers', '', two),
      unbind('matched', 'amq.headers', '', one),
      unbind('matched', 'amq.headers', '', wire.table({ 'x-match': 'all', a: 3 })),
    );
    await expectAll(METHOD.queueDeclareOk, METHOD.queueBindOk, METHOD.queueBindOk);
    await expectAll(METHOD.queueUnbindOk, METHOD.queueUnbindOk);
    for (const a of [1, 2]) {
      client.send(
        wire.method(
          1,
          METHOD.basicPublish,
          wire.short(0),
          wire.shortstr('amq.headers'),
          wire.shortstr(''),
          wire.octet(0),
        ),
        wire.frame(2, 1, Buffer.concat([wire.long(60 << 16), wire.longlong(0), wire.short(0x2000), wire.table({ a })])),
      );
    }
    assert.equal(await ready('matched'), 1);
  });

  const qosGlobal = (prefetch: number): Buffer =>
    wire.method(1, METHOD.basicQos, wire.long(0), wire.short(prefetch), wire.octet(1));

  test("a channel's prefetch may change with unacknowledged messages: a larger one applies at once, a smaller one as they are settled", async (t) => {
    await open();
    t.after(() => client.destroy());
    client.send(wire.declareQueue(1, 'flow', { exclusive: true }));
    for (let i = 0; i < 6; i++) client.send(wire.publish(1, '', 'flow', Buffer.from(String(i))));
    client.send(qosGlobal(1), wire.consume(1, 'flow', 'c', false));
    await expectAll(METHOD.queueDeclareOk, METHOD.basicQosOk, METHOD.basicConsumeOk);
    const delivered = async (): Promise<number> => {
      const args = await client.expect(METHOD.basicDeliver);
      await client.nextFrame();
      await client.nextFrame();
      return Number(args.readBigUInt64BE(2));
    };
    assert.equal(await delivered(), 1);
    client.send(qosGlobal(3));
    await client.expect(METHOD.basicQosOk);
    assert.deepEqual([await delivered(), await delivered()], [2, 3]);
    client.send(qosGlobal(1), wire.ack(1, 1, false), wire.ack(1, 2, false));
    await client.expect(METHOD.basicQosOk);
    assert.equal(await ready('flow'), 3);
    client.send(wire.ack(1, 3, false));
    assert.equal(await delivered(), 4);
    // 0 means no limit.
    client.send(qosGlobal(0));
    await client.expect(METHOD.basicQosOk);
    assert.deepEqual([await delivered(), await delivered()], [5, 6]);
  });

  test('a client with the capability consumer_cancel_notify is told of consumers that end with their queue; others are not', async (t) => {
    await open();
    t.after(() => client.destroy());
    client.send(wire.declareQueue(1, 'ending', {}), wire.consume(1, 'ending', 'c', true));
    await expectAll(METHOD.queueDeclareOk, METHOD.basicConsumeOk);
    client.send(wire.deleteQueue(1, 'ending'));
    // This client has declared no capabilities, so no notification comes between.
    await client.expect(METHOD.queueDeleteOk);
    client.send(wire.method(1, METHOD.basicCancel, wire.shortstr('c'), wire.octet(0)));
    await client.expect(METHOD.basicCancelOk);
  });
});
