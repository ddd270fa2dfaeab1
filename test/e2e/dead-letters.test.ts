// Dead-lettering queues over a broker that is killed (SIGKILL) meanwhile. Confirmed messages leave the chain of dead
// letter queues at least once each, with their x-death history and unchanged priorities; expired messages are not
// delivered.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import amqplib, { type ChannelModel, type ConfirmChannel, type GetMessage, type MessageProperties } from 'amqplib';
import { BrokerProcess } from '../../support/broker-process.ts';

const MESSAGES = 2_000;
const KILLS = 4;

interface Death {
  readonly queue: string;
  readonly reason: string;
  readonly count: number;
}

const deathsOf = (properties: MessageProperties): string[] =>
  ((properties.headers?.['x-death'] ?? []) as Death[]).map(({ queue, reason, count }) => `${queue} ${reason} ${count}`);

async function start(t: TestContext): Promise<BrokerProcess> {
  const broker = await BrokerProcess.start();
  t.after(() => broker.end());
  return broker;
}

/** The kill breaks the connection, which is not an error of the test. */
async function connect(broker: BrokerProcess): Promise<{ connection: ChannelModel; channel: ConfirmChannel }> {
  const connection = await amqplib.connect(`amqp://guest:guest@127.0.0.1:${broker.endpoints.amqp}`);
  connection.on('error', () => {});
  const channel = await connection.createConfirmChannel();
  channel.on('error', () => {});
  return { connection, channel };
}

async function drain(channel: ConfirmChannel, queue: string): Promise<GetMessage[]> {
  const messages: GetMessage[] = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (message === false) return messages;
    messages.push(message);
  }
}

test(`a chain of dead letter queues loses nothing through ${KILLS} kills`, async (t) => {
  const broker = await start(t);
  const declare = async (channel: ConfirmChannel): Promise<void> => {
    await channel.assertQueue('end');
    for (const [queue, next, ttl] of [
      ['third', 'end', 3],
      ['second', 'third', 2],
      ['first', 'second', 1],
    ] as const) {
      const args = { deadLetterExchange: '', deadLetterRoutingKey: next, messageTtl: ttl };
      await channel.assertQueue(queue, args);
    }
  };
  const confirmed = new Set<string>();
  let sent = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const { channel } = await connect(broker);
    await declare(channel);
    const until = Math.floor(((kill + 1) * MESSAGES) / KILLS);
    // The kill comes when half of this round is confirmed: the other messages are in every queue of the chain.
    const half = confirmed.size + (until - sent) / 2;
    await new Promise<void>((resolve) => {
      for (; sent < until; sent++) {
        const body = `${sent}`;
        channel.sendToQueue('first', Buffer.from(body), { persistent: true, priority: 1 }, (error) => {
          if (error === null) confirmed.add(body);
          if (confirmed.size >= half) resolve();
        });
      }
    });
    await broker.kill();
    await broker.restart();
  }
  assert.ok(confirmed.size >= MESSAGES / 2);

  const { connection, channel } = await connect(broker);
  await declare(channel);
  const found = new Map<string, string[][]>();
  // Each message passes through all three queues by expiry.
  await new Promise<void>((resolve) => {
    channel.consume('end', (message) => {
      const body = message!.content.toString();
      found.set(body, [...(found.get(body) ?? []), deathsOf(message!.properties)]);
      channel.ack(message!);
      if ([...confirmed].every((each) => found.has(each))) resolve();
    });
  });
  for (const [body, histories] of found) {
    for (const history of histories) {
      assert.deepEqual(history, ['third expired 1', 'second expired 1', 'first expired 1'], body);
    }
  }
  await connection.close();
});

test('rejected messages are in one queue or in the other after a kill, never in none', async (t) => {
  const broker = await start(t);
  const { channel } = await connect(broker);
  await channel.assertQueue('dead');
  await channel.assertQueue('work', { deadLetterExchange: '', deadLetterRoutingKey: 'dead' });
  for (let i = 0; i < 500; i++) channel.sendToQueue('work', Buffer.from(`${i}`), { persistent: true });
  await channel.waitForConfirms();
  let rejected = 0;
  await new Promise<void>((resolve) => {
    channel.consume('work', (message) => {
      if (message === null) return;
      channel.nack(message, false, false);
      if (++rejected === 250) resolve();
    });
  });
  await broker.kill();
  await broker.restart();
  const { connection, channel: again } = await connect(broker);
  const bodies = [...(await drain(again, 'work')), ...(await drain(again, 'dead'))].map(({ content }) => `${content}`);
  assert.deepEqual(
    bodies.sort((a, b) => Number(a) - Number(b)),
    Array.from({ length: 500 }, (_, i) => `${i}`),
  );
  await connection.close();
});

test('priorities, TTLs and delivery counts survive a kill', async (t) => {
  const broker = await start(t);
  const { channel } = await connect(broker);
  await channel.assertQueue('ranked', { maxPriority: 9 });
  const sent = Array.from({ length: 300 }, (_, i) => ({ body: `${i}`, priority: (i * 7) % 12 }));
  for (const { body, priority } of sent)
    channel.sendToQueue('ranked', Buffer.from(body), { persistent: true, priority });
  channel.sendToQueue('ranked', Buffer.from('gone'), { persistent: true, priority: 0, expiration: '1' });
  await channel.assertQueue('short');
  channel.sendToQueue('short', Buffer.from('gone'), { persistent: true, expiration: '1' });
  channel.sendToQueue('short', Buffer.from('kept'), { persistent: true, expiration: '3600000' });
  await channel.assertQueue('brief', { expires: 300 });
  await channel.waitForConfirms();
  const first = await channel.get('ranked');
  assert.ok(first !== false);
  await broker.kill();
  await broker.restart();

  const { connection, channel: again } = await connect(broker);
  const ranked = await drain(again, 'ranked');
  const expected = sent
    .map(({ body, priority }) => ({ body, lane: Math.min(priority, 9) }))
    .sort((a, b) => b.lane - a.lane || Number(a.body) - Number(b.body))
    .map(({ body }) => body);
  assert.deepEqual(
    ranked.map(({ content }) => content.toString()),
    expected,
  );
  assert.ok(ranked[0]!.fields.redelivered, 'the one that was out before the kill may have been delivered');
  const short = await drain(again, 'short');
  assert.deepEqual(
    short.map(({ content, properties }) => [content.toString(), properties.expiration]),
    [['kept', '3600000']],
  );
  // The queue with x-expires has its full time again and is then deleted.
  await new Promise<void>((resolve) => {
    const look = async (): Promise<void> => {
      const probe = await connection.createChannel();
      probe.on('error', () => {});
      try {
        // Binding does not count as use; a passive declaration would.
        await probe.bindQueue('brief', 'amq.fanout', '');
        await probe.close();
        setImmediate(look);
      } catch {
        resolve();
      }
    };
    void look();
  });
  await connection.close();
});
