// Checks of MESSAGE headers: destination, message-id, subscription, and ack.

import assert from 'node:assert/strict';
import { MUST, ONLY_1_2, SHOULD, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';
import type { Received } from '../wire/frames.ts';

const MESSAGE = 'MESSAGE';

async function one(t: StompTest, ack = 'auto'): Promise<{ message: Received<'MESSAGE'>; destination: string }> {
  const { connection, destination } = await t.loop({ ack });
  connection.send('SEND', { destination }, 'body');
  return { message: await connection.message('body'), destination };
}

export const MESSAGE_CHECKS = [
  stomp('message.destination', MESSAGE, MUST, 'a MESSAGE has a destination', async (t) => {
    const { message } = await one(t);
    assert.ok(message.headers.destination, 'no destination');
  }),
  stomp(
    'message.destination.same',
    MESSAGE,
    SHOULD,
    'the destination is that of the SEND',
    async (t) => {
      const { message, destination } = await one(t);
      assert.equal(message.headers.destination, destination);
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'message.destination.topic',
    MESSAGE,
    SHOULD,
    'the destination is that of the SEND, for a topic too',
    async (t) => {
      const connection = await t.connect();
      const destination = `/topic/${t.context.name()}`;
      await connection.subscribe(destination);
      connection.send('SEND', { destination }, 'body');
      assert.equal((await connection.message('body')).headers.destination, destination);
    },
    { versions: ONLY_1_2 },
  ),
  stomp('message.id', MESSAGE, MUST, 'a MESSAGE has a message-id', async (t) => {
    const { message } = await one(t);
    assert.ok(message.headers['message-id'], 'no message-id');
  }),
  stomp('message.id.unique', MESSAGE, MUST, 'no two messages of a connection have the same message-id', async (t) => {
    const { connection, destination } = await t.loop();
    const other = await connection.subscribe(t.queue());
    const ids = new Set<string>();
    for (let i = 0; i < 20; i++) {
      connection.send('SEND', { destination: i % 2 === 0 ? destination : other.destination }, `${i}`);
      ids.add((await connection.message(`${i}`)).headers['message-id']!);
    }
    assert.equal(ids.size, 20);
  }),
  stomp(
    'message.id.servers',
    MESSAGE,
    MUST,
    'a message-id that a sender made up is refused, or is not the one of its MESSAGE',
    async (t) => {
      const { connection, destination } = await t.loop();
      for (let i = 0; i < 2; i++) connection.send('SEND', { destination, 'message-id': 'mine' }, 'body');
      await connection.until(() => connection.has('MESSAGE') || connection.has('ERROR'), 'MESSAGE or ERROR');
      if (connection.has('ERROR')) return;
      const [first, second] = [await connection.message('body'), await connection.message('body')];
      assert.notEqual(first.headers['message-id'], second.headers['message-id']);
    },
  ),
  stomp(
    'message.subscription',
    MESSAGE,
    MUST,
    'a MESSAGE names its subscription',
    async (t) => {
      const { connection, destination, id } = await t.loop();
      connection.send('SEND', { destination, subscription: 'made up' }, 'body');
      assert.equal((await connection.message('body')).headers.subscription, id);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'message.ack',
    MESSAGE,
    MUST,
    'a MESSAGE that has to be acknowledged has an ack header',
    async (t) => {
      for (const mode of ['client', 'client-individual']) {
        const { message } = await one(t, mode);
        assert.ok(message.headers.ack, `no ack with ack:${mode}`);
      }
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'message.ack.unique',
    MESSAGE,
    MUST,
    'the ack header names one message',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client-individual' });
      const acks = new Set<string>();
      for (let i = 0; i < 20; i++) {
        connection.send('SEND', { destination }, `${i}`);
        acks.add((await connection.message(`${i}`)).headers.ack!);
      }
      assert.equal(acks.size, 20);
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'message.ack.servers',
    MESSAGE,
    MUST,
    'an ack header that a sender made up is not the one of its MESSAGE',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client' });
      connection.send('SEND', { destination, ack: 'mine', persistent: 'true' }, 'body');
      connection.settle('ACK', await connection.message('body'));
      await connection.leave();
      assert.deepEqual(await t.left(destination), []);
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'message.versions',
    MESSAGE,
    MUST,
    'a message comes to receivers of every version, its headers in their spelling',
    async (t) => {
      const destination = `/topic/${t.context.name()}`;
      const receivers = await Promise.all((['1.0', '1.1', '1.2'] as const).map((version) => t.connect({}, version)));
      for (const receiver of receivers) await receiver.subscribe(destination);
      const sender = await t.connect();
      sender.send('SEND', { destination, x: 'a:b\\c' }, 'body');
      for (const receiver of receivers) assert.equal((await receiver.message('body')).headers.x, 'a:b\\c');
    },
  ),
  stomp('message.body', MESSAGE, MUST, 'the body is unchanged', async (t) => {
    const { message } = await one(t);
    assert.equal(message.body.toString(), 'body');
  }),
].flat();
