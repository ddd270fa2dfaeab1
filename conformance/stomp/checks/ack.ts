// Checks of ACK and NACK by version: how they name a message, which messages they cover, and what is redelivered.

import assert from 'node:assert/strict';
import { MUST, ONLY_1_2, SHOULD, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';
import type { StompConnection } from '../wire/connection.ts';
import type { Received } from '../wire/frames.ts';

const ACK = 'ACK';
const NACK = 'NACK';
const MODE = 'SUBSCRIBE ack Header';
/** The header by which a 1.0 or 1.1 client names the message. */
const NAMES = { '1.0': 'message-id', '1.1': 'message-id', '1.2': 'id' } as const;

interface Out {
  readonly connection: StompConnection;
  readonly destination: string;
  readonly messages: readonly Received<'MESSAGE'>[];
}

/** A subscription with some unacknowledged messages. */
async function out(t: StompTest, ack: string, ...bodies: string[]): Promise<Out> {
  const { connection, destination } = await t.loop({ ack });
  const messages: Received<'MESSAGE'>[] = [];
  for (const body of bodies) {
    await connection.request('SEND', { destination, persistent: 'true' }, body);
    messages.push(await connection.message(body));
  }
  return { connection, destination, messages };
}

/** The messages in the queue after the subscriber has disconnected. */
async function leftAfter(t: StompTest, { connection, destination }: Out): Promise<string[]> {
  await connection.leave();
  return t.left(destination);
}

async function refused(t: StompTest, command: 'ACK' | 'NACK', lines: Record<string, string>): Promise<void> {
  const { connection } = await out(t, 'client', '1');
  connection.send(command, lines);
  await connection.expectRefusal();
}

export const ACK_CHECKS = [
  stomp('ack.needed', ACK, MUST, 'without ACK a message is not consumed: it comes again', async (t) => {
    const lost = await out(t, 'client', '1', '2');
    assert.deepEqual(await leftAfter(t, lost), ['1', '2']);
  }),
  stomp('ack.needed.lost', MODE, MUST, 'without ACK a message comes again when the connection is lost', async (t) => {
    const { connection, destination } = await out(t, 'client', '1');
    connection.carrier.socket.destroy();
    const next = await t.connect();
    await next.subscribe(destination);
    await next.message('1');
  }),
  stomp('ack.consumed', ACK, MUST, 'an acknowledged message is consumed', async (t) => {
    const all = await out(t, 'client', '1');
    all.connection.settle('ACK', all.messages[0]!);
    assert.deepEqual(await leftAfter(t, all), []);
  }),
  stomp(
    'ack.cumulative',
    MODE,
    MUST,
    'with ack:client an ACK covers all messages up to the named one, and none after it',
    async (t) => {
      const all = await out(t, 'client', '1', '2', '3', '4');
      all.connection.settle('ACK', all.messages[2]!);
      assert.deepEqual(await leftAfter(t, all), ['4']);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'ack.cumulative.subscription',
    MODE,
    MUST,
    'a cumulative ACK is for messages of its subscription only',
    async (t) => {
      const first = await out(t, 'client', '1');
      const { connection } = first;
      const second = await connection.subscribe(t.queue(), { ack: 'client' });
      connection.send('SEND', { destination: second.destination, persistent: 'true' }, '2');
      connection.settle('ACK', await connection.message('2'));
      assert.deepEqual(await leftAfter(t, first), ['1']);
      assert.deepEqual(await t.left(second.destination), []);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'ack.individual',
    MODE,
    MUST,
    'with ack:client-individual an ACK is for the named message only',
    async (t) => {
      const all = await out(t, 'client-individual', '1', '2', '3', '4');
      all.connection.settle('ACK', all.messages[2]!);
      all.connection.settle('ACK', all.messages[0]!);
      assert.deepEqual(await leftAfter(t, all), ['2', '4']);
    },
    { versions: SINCE_1_1 },
  ),
  stomp('ack.no-id', ACK, MUST, 'an ACK that names no message is refused', (t) =>
    refused(t, 'ACK', { subscription: 's1' }),
  ),
  stomp('ack.unknown', ACK, MUST, 'an ACK of a message that never was is refused', (t) =>
    refused(t, 'ACK', { [NAMES[t.version]]: 'no-such-message', subscription: 's1' }),
  ),
  stomp(
    'ack.message-id',
    ACK,
    MUST,
    'the id of an ACK is that of the ack header: a message-id in it does not do',
    async (t) => {
      const { connection, messages } = await out(t, 'client', '1');
      connection.send('ACK', { 'message-id': messages[0]!.headers['message-id']!, subscription: 's1' });
      await connection.expectRefusal();
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'ack.other-connection',
    ACK,
    MUST,
    'an ACK of a message that went to another connection consumes nothing',
    async (t) => {
      const first = await out(t, 'client', '1');
      const other = await t.connect();
      other.send('ACK', first.connection.settlement(first.messages[0]!));
      other.send('DISCONNECT', { receipt: 'bye' });
      await other.until(() => other.ends || other.pending > 0, 'an answer');
      assert.deepEqual(await leftAfter(t, first), ['1']);
    },
  ),
  stomp(
    'ack.id.unique',
    'MESSAGE',
    MUST,
    'the same message has another ack header when it comes again to another subscription',
    async (t) => {
      const { connection, destination } = await out(t, 'client', '1');
      connection.carrier.socket.destroy();
      const next = await t.connect();
      await next.subscribe(destination, { ack: 'client' });
      next.settle('ACK', await next.message('1'));
      await next.leave();
      assert.deepEqual(await t.left(destination), []);
    },
    { versions: ONLY_1_2 },
  ),
  stomp('ack.transaction', ACK, SHOULD, 'an ACK in a transaction counts when it is committed', async (t) => {
    const all = await out(t, 'client', '1');
    const { connection, messages } = all;
    connection.send('BEGIN', { transaction: 'tx' });
    connection.settle('ACK', messages[0]!, { transaction: 'tx' });
    await connection.request('COMMIT', { transaction: 'tx' });
    assert.deepEqual(await leftAfter(t, all), []);
  }),
  stomp('ack.transaction.aborted', ACK, SHOULD, 'an ACK in a transaction that is aborted does not count', async (t) => {
    const all = await out(t, 'client', '1');
    const { connection, messages } = all;
    connection.send('BEGIN', { transaction: 'tx' });
    connection.settle('ACK', messages[0]!, { transaction: 'tx' });
    await connection.request('ABORT', { transaction: 'tx' });
    assert.deepEqual(await leftAfter(t, all), ['1']);
  }),
  stomp(
    'ack.transaction.aborted.again',
    ACK,
    SHOULD,
    'after the abort the message may be acknowledged again',
    async (t) => {
      const all = await out(t, 'client', '1');
      const { connection, messages } = all;
      connection.send('BEGIN', { transaction: 'tx' });
      connection.settle('ACK', messages[0]!, { transaction: 'tx' });
      await connection.request('ABORT', { transaction: 'tx' });
      connection.settle('ACK', messages[0]!);
      assert.deepEqual(await leftAfter(t, all), []);
    },
  ),
  stomp('ack.transaction.unknown', ACK, MUST, 'an ACK in a transaction that is none is refused', async (t) => {
    const { connection, messages } = await out(t, 'client', '1');
    connection.settle('ACK', messages[0]!, { transaction: 'nobody' });
    await connection.expectRefusal();
  }),
  stomp(
    'nack.individual',
    NACK,
    MUST,
    'with ack:client-individual a NACK is for the named message only',
    async (t) => {
      const all = await out(t, 'client-individual', '1', '2', '3');
      const { connection, messages, destination } = all;
      // The broker may do anything with this message, but not with the others.
      connection.settle('NACK', messages[1]!);
      connection.settle('ACK', messages[0]!);
      connection.settle('ACK', messages[2]!);
      await connection.leave();
      const left = await t.left(destination);
      assert.ok(['', '2'].includes(left.join()), `left: ${left}`);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'nack.no-id',
    NACK,
    MUST,
    'a NACK that names no message is refused',
    (t) => refused(t, 'NACK', { subscription: 's1' }),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'nack.unknown',
    NACK,
    MUST,
    'a NACK of a message that never was is refused',
    (t) => refused(t, 'NACK', { [NAMES[t.version]]: 'no-such-message', subscription: 's1' }),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'nack.transaction',
    NACK,
    MUST,
    'a NACK in a transaction that is aborted does not count',
    async (t) => {
      const all = await out(t, 'client-individual', '1');
      const { connection, messages } = all;
      connection.send('BEGIN', { transaction: 'tx' });
      connection.settle('NACK', messages[0]!, { transaction: 'tx' });
      await connection.request('ABORT', { transaction: 'tx' });
      connection.expectNone('MESSAGE');
      connection.settle('ACK', messages[0]!);
      assert.deepEqual(await leftAfter(t, all), []);
    },
    { versions: SINCE_1_1 },
  ),
].flat();
