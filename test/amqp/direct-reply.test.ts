// Protects direct reply-to (amq.rabbitmq.reply-to) and sender-selected distribution (CC, BCC). Rules and error texts
// are RabbitMQ's.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import amqplib from 'amqplib';
import { type Broker, createBroker } from '../../src/broker.ts';
import { RawAmqp } from '../../support/raw-amqp.ts';
import * as wire from '../../support/wire/amqp.ts';

const { METHOD } = wire;

const REPLY_QUEUE = 'amq.rabbitmq.reply-to';
const FLAG = { headers: 0x2000, correlationId: 0x0400, replyTo: 0x0200 } as const;

let broker: Broker;
const clients: RawAmqp[] = [];

before(async () => {
  broker = await createBroker();
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

/** basic.publish with any property list. */
function publish(key: string, body: string, flags: number, properties: Buffer, mandatory = false): Buffer {
  const header = Buffer.concat([wire.long(60 << 16), wire.longlong(body.length), wire.short(flags), properties]);
  return Buffer.concat([
    wire.method(
      1,
      METHOD.basicPublish,
      wire.short(0),
      wire.shortstr(''),
      wire.shortstr(key),
      wire.octet(mandatory ? 1 : 0),
    ),
    wire.frame(2, 1, header),
    wire.frame(3, 1, Buffer.from(body)),
  ]);
}

/** The properties (flags and list) and the body of the next content. */
async function content(client: RawAmqp): Promise<[string, string]> {
  const header = (await client.nextFrame())!;
  const body = (await client.nextFrame())!;
  return [header.payload.toString('latin1', 12), body.payload.toString()];
}

/** A requester with its reply consumer. */
async function requester(): Promise<RawAmqp> {
  const client = await open();
  client.send(wire.consume(1, REPLY_QUEUE, 'replies', true));
  await client.expect(METHOD.basicConsumeOk);
  return client;
}

/** The request that a service gets: the reply address and the message. */
async function asked(service: RawAmqp, queue: string): Promise<string> {
  service.send(wire.get(1, queue, true));
  await service.expect(METHOD.basicGetOk);
  const [properties] = await content(service);
  return properties.slice(3, 3 + properties.charCodeAt(2));
}

describe('direct reply-to', () => {
  test('a reply comes straight to the requester, from the default exchange with its address as key', async () => {
    const client = await requester();
    client.send(wire.declareQueue(1, 'service', { exclusive: false }));
    await client.expect(METHOD.queueDeclareOk);
    client.send(publish('service', 'question', FLAG.replyTo, wire.shortstr(REPLY_QUEUE)));
    const service = await open();
    service.send(wire.checkQueue(1, 'service'));
    while ((await service.expect(METHOD.queueDeclareOk)).readUInt32BE(8) === 0)
      service.send(wire.checkQueue(1, 'service'));
    const address = await asked(service, 'service');
    assert.match(address, /^amq\.rabbitmq\.reply-to\.[\w-]{22}$/);
    service.send(wire.checkQueue(1, address));
    const declared = await service.expect(METHOD.queueDeclareOk);
    assert.deepEqual(declared.subarray(1 + address.length), Buffer.concat([wire.long(0), wire.long(1)]));
    service.send(publish(address, 'answer', FLAG.correlationId, wire.shortstr('42')));
    assert.deepEqual(
      await client.expect(METHOD.basicDeliver),
      Buffer.concat([
        wire.shortstr('replies'),
        wire.longlong(1),
        wire.octet(0),
        wire.shortstr(''),
        wire.shortstr(address),
      ]),
    );
    assert.deepEqual(await content(client), ['\x04\x00\x0242', 'answer']);
    // A reply address does not count as a queue for `mandatory`, as in RabbitMQ.
    service.send(publish(address, 'again', 0, Buffer.alloc(0), true));
    await service.expect(METHOD.basicReturn);
    await client.expect(METHOD.basicDeliver);
  });

  test('the other properties arrive as they were sent', async () => {
    const client = await requester();
    client.send(wire.declareQueue(1, 'exact', { exclusive: true }));
    await client.expect(METHOD.queueDeclareOk);
    const properties = [wire.table({ a: 1 }), wire.octet(2), wire.shortstr('id')];
    const rest = [wire.shortstr('message'), wire.shortstr('app')];
    const flags = 0x2000 | 0x1000 | FLAG.correlationId | FLAG.replyTo | 0x80 | 0x08;
    client.send(publish('exact', 'x', flags, Buffer.concat([...properties, wire.shortstr(REPLY_QUEUE), ...rest])));
    client.send(wire.get(1, 'exact', true));
    await client.expect(METHOD.basicGetOk);
    const [native] = await content(client);
    const before = Buffer.concat([wire.short(flags), ...properties]).toString('latin1');
    const behind = Buffer.concat(rest).toString('latin1');
    assert.ok(native.startsWith(before) && native.endsWith(behind));
    const address = native.slice(before.length + 1, -behind.length);
    assert.equal(native.charCodeAt(before.length), address.length);
    assert.match(address, /^amq\.rabbitmq\.reply-to\.[\w-]{22}$/);
  });

  test('replies to a disconnected requester are dropped, or returned if mandatory', async () => {
    const client = await requester();
    client.send(wire.declareQueue(1, 'gone', { exclusive: true }));
    await client.expect(METHOD.queueDeclareOk);
    client.send(publish('gone', 'x', FLAG.replyTo, wire.shortstr(REPLY_QUEUE)));
    const address = await asked(client, 'gone');
    client.send(wire.method(1, METHOD.basicCancel, wire.shortstr('replies'), wire.octet(0)));
    await client.expect(METHOD.basicCancelOk);
    client.send(publish(address, 'x', 0, Buffer.alloc(0)), publish(address, 'y', 0, Buffer.alloc(0), true));
    await client.expect(METHOD.basicReturn);
    assert.equal((await content(client))[1], 'y');
    client.send(wire.checkQueue(1, address));
    const closed = await client.expectChannelClose();
    assert.deepEqual([closed.code, closed.text], [404, `NOT_FOUND - no queue '${address}' in vhost '/'`]);
  });

  for (const [what, bytes, text] of [
    ['with acknowledgements', wire.consume(1, REPLY_QUEUE, 'c', false), 'reply consumer cannot acknowledge'],
    [
      'twice',
      Buffer.concat([wire.consume(1, REPLY_QUEUE, 'c', true), wire.consume(1, REPLY_QUEUE, 'd', true)]),
      'reply consumer already set',
    ],
    ['after asking', publish('x', 'x', FLAG.replyTo, wire.shortstr(REPLY_QUEUE)), 'fast reply consumer does not exist'],
  ] as const) {
    test(`consuming replies ${what} is 406`, async () => {
      const client = await open();
      client.send(bytes);
      let frame = (await client.nextFrame())!;
      if (frame.method === METHOD.basicConsumeOk) frame = (await client.nextFrame())!;
      assert.equal(frame.method, METHOD.channelClose);
      assert.ok(frame.payload.includes(`PRECONDITION_FAILED - ${text}`), frame.payload.toString('latin1'));
    });
  }

  test('a channel consumes replies again after it has cancelled', async () => {
    const client = await requester();
    client.send(
      wire.method(1, METHOD.basicCancel, wire.shortstr('replies'), wire.octet(0)),
      wire.consume(1, REPLY_QUEUE, 'again', true),
    );
    await client.expect(METHOD.basicCancelOk);
    await client.expect(METHOD.basicConsumeOk);
  });

  test('a service that speaks STOMP answers like any other', async (t) => {
    const client = await requester();
    const service = connect(broker.ports.stomp!, '127.0.0.1');
    t.after(() => service.destroy());
    service.write('CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0');
    service.write('SUBSCRIBE\nid:1\ndestination:/queue/stomp-service\nreceipt:ready\n\n\0');
    let heard = '';
    const hear = async (what: string): Promise<void> => {
      while (!heard.includes(what)) heard += (await once(service, 'data'))[0].toString();
    };
    await hear('receipt-id:ready');
    client.send(publish('stomp-service', 'question', FLAG.replyTo, wire.shortstr(REPLY_QUEUE)));
    await hear('question\0');
    const replyTo = /^reply-to:(.*)$/m.exec(heard)![1]!;
    service.write(`SEND\ndestination:${replyTo}\ncorrelation-id:7\n\nanswer\0`);
    await client.expect(METHOD.basicDeliver);
    assert.equal((await content(client))[1], 'answer');
  });

  test('amqplib makes a thousand calls to a service', async () => {
    const connection = await amqplib.connect(`amqp://127.0.0.1:${broker.ports.amqp}`);
    const channel = await connection.createChannel();
    await channel.assertQueue('double', { exclusive: true });
    await channel.consume('double', (request) => {
      const { replyTo, correlationId } = request!.properties;
      channel.sendToQueue(replyTo, Buffer.from(String(2 * Number(request!.content))), { correlationId });
      channel.ack(request!);
    });
    const answers = new Map<string, number>();
    const { promise, resolve } = Promise.withResolvers<void>();
    await channel.consume(
      REPLY_QUEUE,
      (reply) => {
        answers.set(reply!.properties.correlationId, Number(reply!.content));
        if (answers.size === 1000) resolve();
      },
      { noAck: true },
    );
    for (let i = 0; i < 1000; i++) {
      channel.sendToQueue('double', Buffer.from(String(i)), { replyTo: REPLY_QUEUE, correlationId: `c${i}` });
    }
    await promise;
    for (let i = 0; i < 1000; i++) assert.equal(answers.get(`c${i}`), 2 * i);
    await connection.close();
  });
});

describe('further routing keys', () => {
  const list = (name: string, keys: readonly string[]): Buffer => {
    const items = keys.map((key) => Buffer.concat([Buffer.from('S'), wire.longstr(key)]));
    return Buffer.concat([wire.shortstr(name), Buffer.from('A'), wire.longstr(Buffer.concat(items))]);
  };
  const headers = (...fields: Buffer[]): Buffer => wire.longstr(Buffer.concat(fields));

  test('CC and BCC route to their queues, each once; BCC is removed before delivery', async () => {
    const client = await open();
    for (const name of ['to', 'cc', 'bcc']) client.send(wire.declareQueue(1, name, { exclusive: true }));
    for (let i = 0; i < 3; i++) await client.expect(METHOD.queueDeclareOk);
    const other = Buffer.concat([wire.shortstr('n'), Buffer.from('I'), wire.long(7)]);
    client.send(
      publish('to', 'x', FLAG.headers, headers(list('CC', ['cc', 'to', 'nobody']), other, list('BCC', ['bcc', 'cc']))),
    );
    const seen = Buffer.concat([wire.short(FLAG.headers), headers(list('CC', ['cc', 'to', 'nobody']), other)]);
    for (const name of ['to', 'cc', 'bcc']) {
      client.send(wire.get(1, name, true), wire.get(1, name, true));
      const got = await client.expect(METHOD.basicGetOk);
      assert.equal(got.toString('latin1', 9, got.length - 4), '\x00\x02to');
      assert.deepEqual(await content(client), [seen.toString('latin1'), 'x']);
      await client.expect(METHOD.basicGetEmpty);
    }
  });

  test('a mandatory message is returned if none of its keys reaches a queue', async () => {
    const client = await open();
    client.send(wire.declareQueue(1, 'one', { exclusive: true }));
    await client.expect(METHOD.queueDeclareOk);
    client.send(publish('nobody', 'a', FLAG.headers, headers(list('CC', ['one'])), true));
    client.send(publish('nobody', 'b', FLAG.headers, headers(list('CC', ['none'])), true));
    await client.expect(METHOD.basicReturn);
    assert.equal((await content(client))[1], 'b');
  });

  test('the bytes of a CC header inside a header value are ignored', async () => {
    const client = await open();
    client.send(wire.declareQueue(1, 'plain', { exclusive: true }));
    await client.expect(METHOD.queueDeclareOk);
    const table = headers(Buffer.concat([wire.shortstr('a'), Buffer.from('S'), wire.longstr('\x02CCA')]));
    client.send(publish('plain', 'x', FLAG.headers, table), wire.get(1, 'plain', true));
    await client.expect(METHOD.basicGetOk);
    assert.deepEqual((await content(client))[1], 'x');
  });

  for (const name of ['CC', 'BCC']) {
    test(`${name} that is no array is 406`, async () => {
      const client = await open();
      const text = Buffer.concat([wire.shortstr(name), Buffer.from('S'), wire.longstr('x')]);
      client.send(publish('x', 'x', FLAG.headers, headers(text)));
      const why = `invalid message: {unacceptable_type_in_header,"${name}",longstr}`;
      assert.equal((await client.expectChannelClose()).text, `PRECONDITION_FAILED - ${why}`);
    });
  }
});
