// Checks of BEGIN, COMMIT and ABORT: a transaction takes effect as a whole or not at all.

import assert from 'node:assert/strict';
import { EXTENSION, MUST, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';
import type { StompConnection } from '../wire/connection.ts';

const transaction = 'tx';

/** A frame that cannot be processed must end the connection, possibly after an ERROR. */
async function refused(t: StompTest, ...say: ((connection: StompConnection) => void)[]): Promise<void> {
  const connection = await t.connect();
  for (const step of say) step(connection);
  await connection.expectRefusal();
}

const begin = (connection: StompConnection): void => connection.send('BEGIN', { transaction });
const commit = (connection: StompConnection): void => connection.send('COMMIT', { transaction });
const abort = (connection: StompConnection): void => connection.send('ABORT', { transaction });

export const TRANSACTION_CHECKS = [
  stomp(
    'transaction.commit',
    'COMMIT',
    MUST,
    'messages of a transaction are delivered when it is committed',
    async (t) => {
      const { connection, destination } = await t.loop();
      begin(connection);
      for (const body of ['1', '2', '3']) connection.send('SEND', { destination, transaction }, body);
      commit(connection);
      for (const body of ['1', '2', '3']) await connection.message(body);
    },
  ),
  stomp(
    'transaction.before-commit',
    'BEGIN',
    MUST,
    'messages of a transaction are not delivered before it is committed',
    async (t) => {
      const { connection, destination } = await t.loop();
      begin(connection);
      connection.send('SEND', { destination, transaction }, 'in it');
      await connection.request('SEND', { destination }, 'not in it');
      await connection.message('not in it');
      commit(connection);
      await connection.message('in it');
    },
  ),
  stomp('transaction.abort', 'ABORT', MUST, 'messages of an aborted transaction are never delivered', async (t) => {
    const { connection, destination } = await t.loop();
    begin(connection);
    connection.send('SEND', { destination, transaction }, 'aborted');
    await connection.request('ABORT', { transaction });
    await connection.request('SEND', { destination }, 'after');
    await connection.message('after');
  }),
  stomp('transaction.two', 'BEGIN', MUST, 'two transactions of one connection are two', async (t) => {
    const { connection, destination } = await t.loop();
    for (const name of ['a', 'b']) connection.send('BEGIN', { transaction: name });
    for (const name of ['a', 'b', 'a', 'b']) connection.send('SEND', { destination, transaction: name }, name);
    connection.send('ABORT', { transaction: 'a' });
    connection.send('COMMIT', { transaction: 'b' });
    await connection.request('SEND', { destination }, 'after');
    for (const body of ['b', 'b', 'after']) await connection.message(body);
  }),
  stomp('transaction.local', 'BEGIN', MUST, 'a transaction is known on its connection only', async (t) => {
    const [one, other] = [await t.connect(), await t.connect()];
    await one.request('BEGIN', { transaction });
    other.send('COMMIT', { transaction });
    await other.expectRefusal();
    await one.request('COMMIT', { transaction });
  }),
  stomp('transaction.empty', 'COMMIT', MUST, 'a transaction may be empty', async (t) => {
    const connection = await t.connect();
    begin(connection);
    await connection.request('COMMIT', { transaction });
  }),
  stomp('transaction.again', 'BEGIN', MUST, 'a name may be used again when its transaction has ended', async (t) => {
    const { connection, destination } = await t.loop();
    for (const body of ['1', '2']) {
      begin(connection);
      connection.send('SEND', { destination, transaction }, body);
      commit(connection);
      await connection.message(body);
    }
    begin(connection);
    await connection.request('ABORT', { transaction });
    begin(connection);
    await connection.request('COMMIT', { transaction });
  }),
  stomp(
    'transaction.disconnect',
    'BEGIN',
    { '1.1': MUST, '1.2': MUST },
    'DISCONNECT aborts open transactions',
    async (t) => {
      const destination = t.queue();
      const connection = await t.connect();
      begin(connection);
      connection.send('SEND', { destination, transaction }, 'aborted');
      await connection.roundTrip();
      await connection.leave();
      assert.deepEqual(await t.left(destination), []);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'transaction.lost',
    'BEGIN',
    MUST,
    'losing the connection aborts open transactions',
    async (t) => {
      const destination = t.queue();
      const connection = await t.connect();
      begin(connection);
      connection.send('SEND', { destination, transaction }, 'aborted');
      await connection.roundTrip();
      connection.carrier.socket.end();
      await connection.expectEnd();
      assert.deepEqual(await t.left(destination), []);
    },
    { versions: SINCE_1_1 },
  ),
  stomp('transaction.begin.unnamed', 'BEGIN', MUST, 'BEGIN without transaction is refused', (t) =>
    refused(t, (connection) => connection.send('BEGIN')),
  ),
  stomp('transaction.commit.unnamed', 'COMMIT', MUST, 'COMMIT without transaction is refused', (t) =>
    refused(t, begin, (connection) => connection.send('COMMIT')),
  ),
  stomp('transaction.abort.unnamed', 'ABORT', MUST, 'ABORT without transaction is refused', (t) =>
    refused(t, begin, (connection) => connection.send('ABORT')),
  ),
  stomp('transaction.commit.unknown', 'COMMIT', MUST, 'COMMIT of no transaction is refused', (t) => refused(t, commit)),
  stomp('transaction.abort.unknown', 'ABORT', MUST, 'ABORT of no transaction is refused', (t) => refused(t, abort)),
  stomp('transaction.commit.twice', 'COMMIT', MUST, 'a transaction is committed once', (t) =>
    refused(t, begin, commit, commit),
  ),
  stomp(
    'transaction.begin.twice',
    'BEGIN',
    MUST,
    'a transaction that is open cannot begin',
    (t) => refused(t, begin, begin),
    {
      versions: SINCE_1_1,
    },
  ),
  stomp('transaction.send.unknown', 'SEND', MUST, 'a SEND in no transaction is refused', (t) =>
    refused(t, (connection) => connection.send('SEND', { destination: t.queue(), transaction }, 'body')),
  ),
  stomp('transaction.send.after', 'SEND', MUST, 'a SEND in a transaction that has ended is refused', (t) =>
    refused(t, begin, commit, (connection) => connection.send('SEND', { destination: t.queue(), transaction }, 'body')),
  ),
  stomp(
    'transaction.send-and-ack',
    'BEGIN',
    MUST,
    'sends and acknowledgements of one transaction count together',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client' });
      const target = t.queue();
      connection.send('SEND', { destination, persistent: 'true' }, 'in');
      const message = await connection.message('in');
      begin(connection);
      connection.settle('ACK', message, { transaction });
      connection.send('SEND', { destination: target, transaction, persistent: 'true' }, 'out');
      await connection.request('COMMIT', { transaction });
      await connection.leave();
      assert.deepEqual([await t.left(destination), await t.left(target)], [[], ['out']]);
    },
  ),
  stomp(
    'transaction.fails-whole',
    'BEGIN',
    MUST,
    'a transaction with a SEND that is refused leaves no message and acknowledges none',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client' });
      const target = t.queue();
      connection.send('SEND', { destination, persistent: 'true' }, 'in');
      const message = await connection.message('in');
      await connection.request('SEND', { destination: target, persistent: 'true' }, 'before');
      begin(connection);
      connection.settle('ACK', message, { transaction });
      connection.send('SEND', { destination: target, transaction, persistent: 'true' }, 'out');
      connection.send('SEND', { destination: `/exchange/${t.context.name()}/key`, transaction }, 'refused');
      commit(connection);
      await connection.expectRefusal();
      assert.deepEqual([await t.left(target), await t.left(destination)], [['before'], ['in']]);
    },
  ),
  stomp(
    'transaction.overflows-whole',
    'RabbitMQ: Queue length limit',
    EXTENSION,
    'a transaction of which a full queue with reject-publish refuses a message leaves none of its messages',
    async (t) => {
      const connection = await t.connect();
      const target = t.queue();
      const full = { 'x-max-length': '1', 'x-overflow': 'reject-publish' };
      const destination = t.queue();
      await connection.request('SEND', { destination, ...full }, 'fills it');
      await connection.request('SEND', { destination: target }, 'before');
      begin(connection);
      connection.send('SEND', { destination: target, transaction }, 'out');
      connection.send('SEND', { destination, transaction, ...full }, 'refused');
      commit(connection);
      await connection.leave();
      assert.ok(!connection.has('RECEIPT'), 'the COMMIT was not refused');
      assert.deepEqual(await t.left(target), ['before']);
    },
  ),
  stomp(
    'transaction.order',
    'RabbitMQ: message ordering',
    EXTENSION,
    'committed messages come in the order in which they were sent',
    async (t) => {
      const { connection, destination } = await t.loop();
      const bodies = Array.from({ length: 100 }, (_, index) => `${index}`);
      begin(connection);
      for (const body of bodies) connection.send('SEND', { destination, transaction }, body);
      commit(connection);
      for (const body of bodies) await connection.message(body);
    },
  ),
].flat();
