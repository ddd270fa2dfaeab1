// Deliveries to subscribers: destinations, headers, acknowledgements, prefetch, transactions, and types of WebSocket
// messages.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EMPTY_TABLE } from '../../src/core/message/field-table.ts';
import { Message, NEVER } from '../../src/core/message/message.ts';
import { NO_CODEC, NO_PROPERTIES, type Properties } from '../../src/core/message/properties.ts';
import { MESSAGE_KIND } from '../../src/net/message-kind.ts';
import { frame, type ReadFrame } from './frames.ts';
import { Harness } from './harness.ts';

const bodies = (frames: readonly ReadFrame[]): string[] => frames.map(({ body }) => body.toString());

function subscribe(id: string, destination: string, ...lines: string[]): Buffer {
  return frame('SUBSCRIBE', [`id:${id}`, `destination:${destination}`, ...lines]);
}

function send(destination: string, body: string | Buffer, ...lines: string[]): Buffer {
  return frame('SEND', [`destination:${destination}`, `content-length:${Buffer.byteLength(body)}`, ...lines], body);
}

/** A message as published over another protocol. */
function foreign(exchange: string, routingKey: string, body: Buffer, properties: Partial<Properties> = {}): Message {
  const codec = { id: 1, retainHeader: true, decode: () => ({ ...NO_PROPERTIES, ...properties }) };
  return new Message(exchange, routingKey, body, 0, body.length, body, 0, 0, codec, false, 0, NEVER, 0);
}

describe('STOMP destinations', () => {
  /** subscribed to, sent to, destination of the MESSAGE (null: not delivered) */
  const table: readonly (readonly [string, string, string | null])[] = [
    ['/queue/a', '/queue/a', '/queue/a'],
    ['/queue/a%2Fb', '/queue/a%2Fb', '/queue/a%2Fb'],
    ['/queue/a', '/queue/b', null],
    ['/topic/a.*', '/topic/a.b', '/topic/a.b'],
    ['/topic/a.#', '/topic/a.b.c', '/topic/a.b.c'],
    ['/topic/a.*', '/topic/a.b.c', null],
    ['/exchange/amq.topic/a.#', '/topic/a', '/topic/a'],
    ['/topic/k', '/exchange/amq.topic/k', '/topic/k'],
    ['/exchange/amq.direct/k', '/exchange/amq.direct/k', '/exchange/amq.direct/k'],
    ['/exchange/amq.fanout', '/exchange/amq.fanout', '/exchange/amq.fanout'],
    ['/exchange/amq.fanout', '/exchange/amq.fanout/any', '/exchange/amq.fanout/any'],
    ['/queue/a', '/amq/queue/a', '/queue/a'],
  ];
  for (const [subscribed, sent, destination] of table) {
    it(`${subscribed} ${destination === null ? 'does not get' : 'gets'} what is sent to ${sent}`, async () => {
      const harness = new Harness();
      const client = await harness.connect();
      const frames = await client.exchange(subscribe('s', subscribed), send(sent, 'x'));
      assert.deepEqual(
        frames.map(({ command, headers }) => [command, headers.destination]),
        destination === null ? [] : [['MESSAGE', destination]],
      );
    });
  }

  it('/queue declares a durable queue on first use, by SEND or SUBSCRIBE', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(send('/queue/sent', '1'), send('/queue/sent', '2'), subscribe('1', '/queue/subscribed'));
    const session = await harness.session();
    assert.equal((await session.checkQueue('sent')).messageCount, 2);
    await session.declareQueue({
      name: 'subscribed',
      durable: true,
      exclusive: false,
      autoDelete: false,
      args: EMPTY_TABLE,
    });
  });

  it('/queue takes a queue as it is, and declares it again where it was deleted', async () => {
    const harness = new Harness();
    const session = await harness.session();
    await session.declareQueue({ name: 'q', durable: false, exclusive: false, autoDelete: false, args: EMPTY_TABLE });
    const client = await harness.connect();
    await client.exchange(send('/queue/q', '1'));
    assert.equal((await session.checkQueue('q')).messageCount, 1);
    await session.deleteQueue('q', { ifUnused: false, ifEmpty: false });
    const [receipt] = await client.exchange(send('/queue/q', '2', 'receipt:r'));
    assert.equal(receipt!.command, 'RECEIPT');
    assert.equal((await session.checkQueue('q')).messageCount, 1);
  });

  it('/amq/queue and /reply-queue never declare', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const [receipt] = await client.exchange(send('/amq/queue/q', 'x'), send('/reply-queue/q', 'x', 'receipt:1'));
    assert.equal(receipt!.command, 'RECEIPT');
    await assert.rejects((await harness.session()).checkQueue('q'), { kind: 'not-found' });
  });

  it('/topic subscriptions are independent, and gone with their connection', async () => {
    const harness = new Harness();
    const one = await harness.connect();
    const two = await harness.connect();
    await one.exchange(subscribe('a', '/topic/t'), subscribe('b', '/topic/t'));
    await two.exchange(subscribe('a', '/topic/t'));
    await two.exchange(send('/topic/t', 'x'));
    assert.deepEqual(
      one
        .take()
        .map(({ headers }) => headers.subscription)
        .sort(),
      ['a', 'b'],
    );
    one.drop();
    two.drop();
    await harness.settle();
    assert.equal(harness.hosts.get('/')!.queues.size, 0);
  });

  it('subscribers of several connections share a queue that they name', async () => {
    const harness = new Harness();
    const clients = [await harness.connect(), await harness.connect()];
    for (const client of clients) await client.exchange(subscribe('s', '/topic/t', 'x-queue-name:workers'));
    clients[0]!.send(send('/topic/t', '1'), send('/topic/t', '2'));
    await harness.settle();
    assert.deepEqual(clients.flatMap((client) => bodies(client.take())).sort(), ['1', '2']);
    for (const client of clients) client.drop();
    await harness.settle();
    assert.equal(harness.hosts.get('/')!.queues.size, 0);
  });

  it('durable subscriptions gather while their client is away, and end with UNSUBSCRIBE durable:true', async () => {
    const harness = new Harness();
    const durable = ['durable:true', 'auto-delete:false', 'ack:client'];
    const publisher = await harness.connect();
    let client = await harness.connect();
    await client.exchange(subscribe('d', '/topic/t', ...durable));
    client.drop();
    await harness.settle();
    await publisher.exchange(send('/topic/t', '1'), send('/topic/t', '2'));
    client = await harness.connect();
    assert.deepEqual(bodies(await client.exchange(subscribe('d', '/topic/t', ...durable))), ['1', '2']);
    await client.exchange(frame('UNSUBSCRIBE', ['id:d', 'durable:true', 'receipt:1']));
    assert.equal(harness.hosts.get('/')!.queues.size, 0);
  });

  it('temporary queues answer requests, also of services that know AMQP only', async () => {
    const harness = new Harness();
    const service = await harness.connect();
    const client = await harness.connect();
    await service.exchange(subscribe('s', '/queue/requests'));
    await client.exchange(send('/queue/requests', 'q1', 'reply-to:/temp-queue/answers', 'correlation-id:1'));
    await client.exchange(send('/queue/requests', 'q2', 'reply-to:/temp-queue/answers', 'correlation-id:2'));
    const requests = service.take();
    assert.deepEqual(bodies(requests), ['q1', 'q2']);
    const replyTo = requests[0]!.headers['reply-to']!;
    assert.match(replyTo, /^\/reply-queue\/amq\.gen-/);
    assert.equal(requests[1]!.headers['reply-to'], replyTo);
    await service.exchange(send(replyTo, 'a1', 'correlation-id:1'));
    // An AMQP service replies to the plain queue name through the default exchange.
    const session = await harness.session();
    session.publish(
      foreign('', replyTo.slice('/reply-queue/'.length), Buffer.from('a2'), { correlationId: '2' }),
      null,
      0,
    );
    await harness.settle();
    const answers = client.take();
    assert.deepEqual(
      answers.map(({ headers, body }) => [headers.subscription, headers['correlation-id'], body.toString()]),
      [
        ['/temp-queue/answers', '1', 'a1'],
        ['/temp-queue/answers', '2', 'a2'],
      ],
    );
  });

  it('queue arguments come typed from SUBSCRIBE', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const lines = [
      'durable:false',
      'auto-delete:true',
      'x-own-number:42',
      'x-own-flag:true',
      'x-own-text:a',
      'x-priority:5',
    ];
    await client.exchange(subscribe('s', '/queue/q', ...lines));
    const queue = harness.hosts.get('/')!.queues.get('q')!;
    assert.deepEqual(
      [queue.durable, queue.autoDelete, queue.args],
      [
        false,
        true,
        [
          { name: 'x-own-number', value: { type: 'l', value: 42n } },
          { name: 'x-own-flag', value: { type: 't', value: true } },
          { name: 'x-own-text', value: { type: 'S', value: 'a' } },
        ],
      ],
    );
  });
});

describe('STOMP queue arguments', () => {
  it('x-max-length drops the oldest, and x-overflow refuses the newest with an ERROR', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(
      ...['1', '2', '3'].map((body) => send('/queue/drop', body, 'x-max-length:2')),
      ...['1', '2'].map((body) => send('/queue/refuse', body, 'x-max-length:2', 'x-overflow:reject-publish')),
    );
    assert.deepEqual(bodies(await client.exchange(subscribe('s', '/amq/queue/drop'))), ['2', '3']);
    const [error] = await client.exchange(send('/queue/refuse', '3', 'receipt:r'));
    assert.deepEqual([error!.command, error!.headers['receipt-id']], ['ERROR', 'r']);
    assert.equal((await (await harness.session()).checkQueue('refuse')).messageCount, 2);
  });

  it('x-dead-letter-exchange gets what is refused, with its headers', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(subscribe('dead', '/queue/dead'));
    const [message] = await client.exchange(
      send('/queue/work', 'x', 'own:1', 'x-dead-letter-exchange:', 'x-dead-letter-routing-key:dead'),
      subscribe('work', '/amq/queue/work', 'ack:client-individual'),
    );
    const [dead] = await client.exchange(frame('NACK', [`id:${message!.headers.ack}`, 'requeue:false']));
    assert.deepEqual([dead!.headers.subscription, String(dead!.body), dead!.headers.own], ['dead', 'x', '1']);
    assert.match(dead!.headers['x-death']!, /"reason":"rejected"/);
  });

  it('x-max-priority lets the more urgent pass', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(
      send('/queue/p', 'low', 'x-max-priority:9', 'priority:1'),
      send('/queue/p', 'high', 'priority:8'),
      send('/queue/p', 'middle', 'priority:5'),
    );
    assert.deepEqual(bodies(await client.exchange(subscribe('s', '/amq/queue/p'))), ['high', 'middle', 'low']);
  });

  it("x-priority of a SUBSCRIBE is the consumer's, and the higher is served first", async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(subscribe('low', '/queue/c', 'x-priority:-1'), subscribe('high', '/queue/c', 'x-priority:7'));
    const frames = await client.exchange(send('/queue/c', '1'), send('/queue/c', '2'));
    assert.deepEqual(
      frames.map(({ headers }) => headers.subscription),
      ['high', 'high'],
    );
  });

  it('x-single-active-consumer serves one subscription, and then the next', async () => {
    const harness = new Harness();
    const clients = [await harness.connect(), await harness.connect()] as const;
    for (const client of clients) await client.exchange(subscribe('s', '/queue/sac', 'x-single-active-consumer:true'));
    clients[0].send(send('/queue/sac', '1'), send('/queue/sac', '2'));
    await harness.settle();
    assert.deepEqual(
      clients.map((client) => bodies(client.take())),
      [['1', '2'], []],
    );
    clients[0].drop();
    await harness.settle();
    assert.deepEqual(bodies(await clients[1].exchange(send('/queue/sac', '3'))), ['3']);
  });

  it('that are not understood are refused with their name', async () => {
    const harness = new Harness();
    for (const line of ['x-max-length:many', 'x-message-ttl:-1', 'x-queue-type:odd']) {
      const client = await harness.connect();
      const [error] = await client.exchange(subscribe('s', '/queue/odd', line));
      assert.equal(error!.headers.message, 'precondition_failed', line);
      assert.ok(String(error!.body).includes(line.slice(0, line.indexOf(':'))), String(error!.body));
    }
  });
});

describe('STOMP MESSAGE frames', () => {
  it('carry the headers of the SEND, and their own', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const own = ['x-own:\\c\\n\\\\é', 'content-type:text/plain', 'persistent:true', 'own:first', 'own:second'];
    const [message] = await client
      .exchange(
        frame('SUBSCRIBE', ['id:s\\c1', 'destination:/queue/q', 'ack:client']),
        send('/queue/q', 'hellö', ...own, 'message-id:mine', 'subscription:mine', 'receipt:1'),
      )
      .then((frames) => frames.filter(({ command }) => command === 'MESSAGE'));
    const { 'message-id': id, ack, ...headers } = message!.headers;
    assert.deepEqual(headers, {
      subscription: 's:1',
      destination: '/queue/q',
      'x-own': ':\n\\é',
      'content-type': 'text/plain',
      persistent: 'true',
      own: 'first',
      redelivered: 'false',
      'content-length': '6',
    });
    assert.equal(ack, id);
    assert.match(id!, /-1-1$/);
  });

  it('have ids that differ', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(subscribe('a', '/topic/t'), subscribe('b', '/topic/t'));
    const sends = Array.from({ length: 12 }, (_, i) => send(`/topic/t`, 'x'.repeat(i)));
    const frames = await client.exchange(...sends);
    assert.equal(frames.length, 24);
    assert.equal(new Set(frames.map(({ headers }) => headers['message-id'])).size, 24);
    assert.ok(frames.every(({ headers }) => headers.ack === undefined));
    for (const id of ['a', 'b']) {
      const lengths = frames.filter(({ headers }) => headers.subscription === id).map(({ body }) => body.length);
      assert.deepEqual(lengths, [...Array(12).keys()]);
    }
  });

  it('carry bodies of any octets and any size', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const sizes = [0, 1, 8191, 8192, 65_535, 65_536, 300_000];
    const sent = sizes.map((size) => Buffer.alloc(size, Buffer.from([0, 255, 10, 1])));
    const frames = await client.exchange(subscribe('a', '/topic/t'), ...sent.map((body) => send('/topic/t', body)));
    assert.deepEqual(
      frames.map(({ body }) => body.length),
      sizes,
    );
    for (let i = 0; i < sent.length; i++) assert.ok(frames[i]!.body.equals(sent[i]!));
  });

  it('carry headers of any size', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const long = 'v'.repeat(60_000);
    const frames = await client.exchange(subscribe('a', '/topic/t'), send('/topic/t', 'x', `long:${long}`));
    assert.equal(frames[0]!.headers.long, long);
    assert.equal(frames[0]!.body.toString(), 'x');
  });

  it('say what other protocols say in properties', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(subscribe('a', '/topic/t'), subscribe('b', '/topic/t'));
    const session = await harness.session();
    const properties: Partial<Properties> = {
      contentType: 'text/plain',
      replyTo: 'answers',
      headers: [{ name: 'n', value: { type: 'I', value: 5 } }],
    };
    session.publish(foreign('amq.topic', 't', Buffer.from('x'), properties), null, 0);
    await harness.settle();
    for (const { headers } of client.take()) {
      assert.deepEqual(
        [headers['content-type'], headers['reply-to'], headers.n],
        ['text/plain', '/reply-queue/answers', '5'],
      );
    }
    const plain = new Message(
      'amq.topic',
      't',
      Buffer.from('y'),
      0,
      1,
      Buffer.alloc(0),
      0,
      0,
      NO_CODEC,
      false,
      0,
      NEVER,
      0,
    );
    session.publish(plain, null, 0);
    await harness.settle();
    assert.deepEqual(bodies(client.take()), ['y', 'y']);
  });

  it('escape headers for the version of the receiver', async () => {
    const harness = new Harness();
    const publisher = await harness.connect();
    const raw: string[] = [];
    for (const version of ['1.0', '1.1', '1.2']) {
      const client = harness.open();
      await client.exchange(frame('CONNECT', ['login:guest', 'passcode:guest', `accept-version:${version}`]));
      await client.exchange(subscribe('s', '/topic/t'));
      await publisher.exchange(send('/topic/t', 'x', 'h:a\\cb\\n\\r\\\\'));
      raw.push(
        client
          .takeRaw()
          .map(({ bytes }) => bytes.toString())
          .join('')
          .match(/\nh:([^\n]*)\n/)![1]!,
      );
      client.drop();
    }
    assert.deepEqual(raw, ['a:b \r\\', 'a\\cb\\n\r\\\\', 'a\\cb\\n\\r\\\\']);
  });
});

describe('STOMP acknowledgements', () => {
  async function deliver(mode: string, count: number, ...lines: string[]) {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(...Array.from({ length: count }, (_, i) => send('/queue/q', String(i + 1))));
    const frames = await client.exchange(subscribe('s', '/queue/q', `ack:${mode}`, ...lines));
    const session = await harness.session();
    /** The messages that another client gets after this one has gone, with their redelivered mark. */
    const left = async (): Promise<[string, string][]> => {
      client.drop();
      await harness.settle();
      const other = await harness.connect();
      const rest = await other.exchange(subscribe('s', '/queue/q'));
      return rest.map(({ headers, body }) => [body.toString(), headers.redelivered!]);
    };
    return { harness, client, frames, session, left, ids: frames.map(({ headers }) => headers.ack!) };
  }

  it('auto: what was delivered is gone', async () => {
    const { frames, left } = await deliver('auto', 3);
    assert.deepEqual(bodies(frames), ['1', '2', '3']);
    assert.deepEqual(await left(), []);
  });

  it('client: cumulative within the subscription; the rest comes back in order, marked', async () => {
    const { client, ids, left } = await deliver('client', 5);
    assert.deepEqual(await client.exchange(frame('ACK', [`id:${ids[2]}`])), []);
    assert.deepEqual(await left(), [
      ['4', 'true'],
      ['5', 'true'],
    ]);
  });

  it('client-individual: that message alone', async () => {
    const { client, ids, left } = await deliver('client-individual', 4);
    await client.exchange(frame('ACK', [`id:${ids[2]}`]), frame('ACK', [`id:${ids[0]}`]));
    assert.deepEqual(await left(), [
      ['2', 'true'],
      ['4', 'true'],
    ]);
  });

  it('cumulative acknowledgement leaves other subscriptions alone', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const frames = await client.exchange(
      subscribe('a', '/queue/a', 'ack:client'),
      subscribe('b', '/queue/b', 'ack:client'),
      send('/queue/a', 'a'),
      send('/queue/b', 'b'),
    );
    const b = frames.find(({ body }) => body.toString() === 'b')!;
    await client.exchange(frame('ACK', [`id:${b.headers.ack}`]));
    client.drop();
    await harness.settle();
    const session = await harness.session();
    assert.deepEqual(
      [(await session.checkQueue('a')).messageCount, (await session.checkQueue('b')).messageCount],
      [1, 0],
    );
  });

  it('NACK requeues in order with the redelivered mark, or drops', async () => {
    const { client, ids } = await deliver('client', 3);
    const again = await client.exchange(frame('NACK', [`id:${ids[1]}`, 'receipt:n']));
    const messages = again.filter(({ command }) => command === 'MESSAGE');
    assert.deepEqual(
      messages.map(({ headers, body }) => [body.toString(), headers.redelivered]),
      [
        ['1', 'true'],
        ['2', 'true'],
      ],
    );
    const { client: other, ids: others, left } = await deliver('client-individual', 2);
    await other.exchange(frame('NACK', [`id:${others[0]}`, 'requeue:false']));
    assert.deepEqual(await left(), [['2', 'true']]);
  });

  it('prefetch-count bounds what is out', async () => {
    const { client, frames, ids } = await deliver('client-individual', 5, 'prefetch-count:2');
    assert.deepEqual(bodies(frames), ['1', '2']);
    assert.deepEqual(bodies(await client.exchange(frame('ACK', [`id:${ids[1]}`]))), ['3']);
  });

  it('behind a full outbox every subscription has its turn', async () => {
    const limits = { highWatermarkBytes: 64 * 1024, lowWatermarkBytes: 1024, flushBytes: 64 * 1024 };
    const harness = new Harness({ outbox: limits });
    const client = await harness.connect();
    const names = ['a', 'b', 'c'];
    for (const name of names) client.send(frame('SUBSCRIBE', [`id:${name}`, `destination:/queue/${name}`]));
    await harness.settle();
    client.transport.stuck = true;
    const publisher = await harness.connect();
    const body = 'x'.repeat(4000);
    for (let i = 0; i < 200; i++) {
      for (const name of names) publisher.send(frame('SEND', [`destination:/queue/${name}`], body));
    }
    await harness.settle();
    const order: string[] = [];
    for (let i = 0; i < 100 && order.length < 600; i++) {
      for (const { headers } of client.take()) order.push(headers.subscription!);
      client.transport.unstick();
      client.transport.stuck = true;
      await harness.settle();
    }
    assert.equal(order.length, 600);
    for (const name of names) {
      assert.ok(order.slice(0, 300).filter((each) => each === name).length >= 30, `${name} waited for the others`);
    }
  });

  it('without prefetch the bound of the connection holds deliveries back', async () => {
    const harness = new Harness({ unackedPerChannel: 2 });
    const client = await harness.connect();
    const sends = Array.from({ length: 5 }, (_, i) => send('/queue/q', String(i + 1)));
    const frames = await client.exchange(subscribe('s', '/queue/q', 'ack:client'), ...sends);
    assert.deepEqual(bodies(frames), ['1', '2']);
    assert.deepEqual(bodies(await client.exchange(frame('ACK', [`id:${frames[1]!.headers.ack}`]))), ['3', '4']);
  });

  it('UNSUBSCRIBE gives back what is out, in order', async () => {
    const { client, left, ids } = await deliver('client', 3);
    const [receipt] = await client.exchange(frame('UNSUBSCRIBE', ['id:s', 'receipt:1']));
    assert.equal(receipt!.command, 'RECEIPT');
    // An ACK that was in flight meanwhile is not an error.
    assert.deepEqual(await client.exchange(frame('ACK', [`id:${ids[0]}`])), []);
    assert.deepEqual(await left(), [
      ['1', 'true'],
      ['2', 'true'],
      ['3', 'true'],
    ]);
  });

  it('of a message that was never delivered, or by another session, is an error', async () => {
    for (const change of [(id: string) => id.replace(/-1$/, '-9'), (id: string) => `x${id}`]) {
      const { client, ids } = await deliver('client', 1);
      const [error] = await client.exchange(frame('ACK', [`id:${change(ids[0]!)}`]));
      assert.equal(error!.command, 'ERROR');
    }
  });

  it('1.1 acknowledges by message-id, 1.0 without a subscription', async () => {
    for (const version of ['1.0', '1.1']) {
      const harness = new Harness();
      const client = harness.open();
      await client.exchange(frame('CONNECT', ['login:guest', 'passcode:guest', `accept-version:${version}`]));
      const id = version === '1.0' ? [] : ['id:s'];
      const frames = await client.exchange(
        frame('SUBSCRIBE', [...id, 'destination:/queue/q', 'ack:client']),
        send('/queue/q', '1'),
        send('/queue/q', '2'),
      );
      assert.deepEqual(
        frames.map(({ headers }) => [headers.subscription, headers.ack]),
        frames.map(() => [version === '1.0' ? undefined : 's', undefined]),
      );
      await client.exchange(frame('ACK', ['subscription:s', `message-id:${frames[0]!.headers['message-id']}`]));
      client.drop();
      await harness.settle();
      assert.equal((await (await harness.session()).checkQueue('q')).messageCount, 1);
    }
  });

  it('a queue that is deleted beneath a subscription ends the connection', async () => {
    const { harness, client, session } = await deliver('client', 1);
    await session.deleteQueue('q', { ifUnused: false, ifEmpty: false });
    await harness.settle();
    assert.match(client.take()[0]!.headers.message!, /Subscription ended/);
    assert.ok(client.closed);
  });
});

describe('STOMP transactions', () => {
  it('carry out SEND, ACK and NACK at COMMIT, with one receipt after the store committed', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const [first] = await client.exchange(
      subscribe('in', '/queue/in', 'ack:client-individual'),
      send('/queue/in', 'work'),
      subscribe('out', '/queue/out'),
    );
    const inside = await client.exchange(
      frame('BEGIN', ['transaction:t']),
      send('/queue/out', '1', 'transaction:t', 'persistent:true'),
      send('/queue/out', '2', 'transaction:t', 'persistent:true', 'receipt:s'),
      frame('ACK', [`id:${first!.headers.ack}`, 'transaction:t']),
    );
    assert.deepEqual(
      inside.map(({ command }) => command),
      ['RECEIPT'],
    );
    harness.store.hold();
    await client.exchange(frame('UNSUBSCRIBE', ['id:out']));
    assert.deepEqual(await client.exchange(frame('COMMIT', ['transaction:t', 'receipt:c'])), []);
    harness.store.release();
    await harness.settle();
    assert.deepEqual(
      client.take().map(({ headers }) => headers['receipt-id']),
      ['c'],
    );
    client.drop();
    await harness.settle();
    const session = await harness.session();
    assert.equal((await session.checkQueue('in')).messageCount, 0);
    assert.equal((await session.checkQueue('out')).messageCount, 2);
  });

  it('ABORT forgets them, and so does the end of the connection', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const frames = await client.exchange(
      subscribe('in', '/queue/in', 'ack:client'),
      send('/queue/in', 'work'),
      frame('BEGIN', ['transaction:t']),
      send('/queue/in', 'never', 'transaction:t'),
      frame('ABORT', ['transaction:t']),
      frame('BEGIN', ['transaction:t']),
      send('/queue/in', 'never', 'transaction:t'),
    );
    assert.deepEqual(bodies(frames), ['work']);
    await client.exchange(frame('ACK', [`id:${frames[0]!.headers.ack}`, 'transaction:t']));
    client.drop();
    await harness.settle();
    assert.equal((await (await harness.session()).checkQueue('in')).messageCount, 1);
  });
});

describe('STOMP over WebSocket', () => {
  it('answers in the kind that the client uses, but never with octets that are no UTF-8 in a text message', async () => {
    const harness = new Harness();
    const text = await harness.connect([], MESSAGE_KIND.text);
    const binary = await harness.connect([], MESSAGE_KIND.binary);
    const bytes = [Buffer.from('plain'), Buffer.from([0xff, 0xfe]), Buffer.from('again é')];
    for (const client of [text, binary]) await client.exchange(subscribe('s', '/topic/t'));
    await binary.exchange(...bytes.map((body) => send('/topic/t', body)), frame('BEGIN', ['transaction:t']));
    const received = text.takeRaw();
    assert.deepEqual(
      received.map(({ kind, bytes: raw }) => [kind, raw.includes(0xff)]),
      [
        [MESSAGE_KIND.text, false],
        [MESSAGE_KIND.binary, true],
        [MESSAGE_KIND.text, false],
      ],
    );
    assert.ok(binary.takeRaw().every(({ kind }) => kind === MESSAGE_KIND.binary));
  });

  it('sends receipts, errors and heart-beats as text to a client that speaks text', async () => {
    const harness = new Harness();
    const client = await harness.connect(['heart-beat:0,1000'], MESSAGE_KIND.text);
    await client.exchange(subscribe('s', '/topic/t'), send('/topic/t', Buffer.from([0xff])));
    client.takeRaw();
    harness.tick(4);
    await harness.settle();
    client.send(send('/nowhere', 'x', 'receipt:1'));
    await harness.settle();
    const kinds = client.takeRaw().map(({ kind }) => kind);
    assert.ok(kinds.length >= 2);
    assert.ok(kinds.every((kind) => kind === MESSAGE_KIND.text));
  });
});

describe('a STOMP subscriber that does not read', () => {
  it('holds its own queue back and nobody else', async () => {
    const harness = new Harness({ outbox: { highWatermarkBytes: 4096, lowWatermarkBytes: 1024, flushBytes: 2048 } });
    const slow = await harness.connect();
    const fast = await harness.connect();
    for (const client of [slow, fast]) await client.exchange(subscribe('s', '/topic/t'));
    slow.transport.stuck = true;
    const publisher = await harness.connect();
    for (let i = 0; i < 200; i++) await publisher.exchange(send('/topic/t', `${i}`.padEnd(100)));
    assert.equal(fast.take().length, 200);
    assert.ok(slow.transport.outbox.unsentBytes < 70_000);
    const before = slow.take().length;
    assert.ok(before < 200);
    slow.transport.unstick();
    await harness.settle();
    assert.equal(before + slow.take().length, 200);
  });
});
