// Checks of RECEIPT for every frame that requests one, and of DISCONNECT with a receipt.

import assert from 'node:assert/strict';
import { MUST, SHOULD, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';
import type { StompConnection } from '../wire/connection.ts';

const RECEIPT = 'Header receipt';
const transaction = 'tx';

/** A frame with a receipt, and the frames that must precede it. */
interface Asking {
  readonly command: string;
  readonly since11: boolean;
  ask(t: StompTest, receipt: string): Promise<{ connection: StompConnection; lines: Record<string, string> }>;
}

async function withTransaction(t: StompTest): Promise<{ connection: StompConnection; lines: Record<string, string> }> {
  const connection = await t.connect();
  connection.send('BEGIN', { transaction });
  return { connection, lines: { transaction } };
}

async function withMessage(t: StompTest): Promise<{ connection: StompConnection; lines: Record<string, string> }> {
  const { connection, destination } = await t.loop({ ack: 'client' });
  connection.send('SEND', { destination }, 'body');
  return { connection, lines: connection.settlement(await connection.message('body')) };
}

const ASKING: readonly Asking[] = [
  {
    command: 'SEND',
    since11: false,
    ask: async (t) => ({ connection: await t.connect(), lines: { destination: t.queue() } }),
  },
  {
    command: 'SUBSCRIBE',
    since11: false,
    ask: async (t) => ({ connection: await t.connect(), lines: { destination: t.queue(), id: 's' } }),
  },
  {
    command: 'UNSUBSCRIBE',
    since11: false,
    ask: async (t) => {
      const { connection, id } = await t.loop();
      return { connection, lines: { id } };
    },
  },
  { command: 'ACK', since11: false, ask: withMessage },
  { command: 'NACK', since11: true, ask: withMessage },
  { command: 'BEGIN', since11: false, ask: async (t) => ({ connection: await t.connect(), lines: { transaction } }) },
  { command: 'COMMIT', since11: false, ask: withTransaction },
  { command: 'ABORT', since11: false, ask: withTransaction },
  { command: 'DISCONNECT', since11: false, ask: async (t) => ({ connection: await t.connect(), lines: {} }) },
];

export const RECEIPT_CHECKS = [
  ...ASKING.map(({ command, since11, ask }) =>
    stomp(
      `receipt.${command.toLowerCase()}`,
      RECEIPT,
      MUST,
      `a ${command} that asks for a receipt gets it, and an empty body with it`,
      async (t) => {
        const { connection, lines } = await ask(t, command);
        connection.send(command, { ...lines, receipt: 'r' });
        const { body } = await connection.expectReceipt('r');
        assert.equal(body.length, 0, 'a body of RECEIPT');
      },
      since11 ? { versions: SINCE_1_1 } : {},
    ),
  ),
  stomp(
    'receipt.send-in-transaction',
    RECEIPT,
    MUST,
    'a SEND in a transaction gets its receipt, when it is committed at the latest',
    async (t) => {
      const { connection } = await withTransaction(t);
      connection.send('SEND', { destination: t.queue(), transaction, receipt: 'send' }, 'body');
      connection.send('COMMIT', { transaction, receipt: 'commit' });
      const got = [];
      for (let i = 0; i < 2; i++) got.push((await connection.expect('RECEIPT')).headers['receipt-id']);
      assert.deepEqual(got.sort(), ['commit', 'send']);
    },
  ),
  stomp(
    'receipt.value',
    'RECEIPT',
    MUST,
    'the value of a receipt is arbitrary',
    async (t) => {
      const connection = await t.connect();
      const long = 'x'.repeat(500);
      for (const receipt of ['1', '-', 'two words', '/#*?=', 'Zürich', long]) {
        connection.send('BEGIN', { transaction: receipt, receipt });
        await connection.expectReceipt(receipt);
      }
    },
    { versions: SINCE_1_1 },
  ),
  stomp('receipt.same', 'RECEIPT', MUST, 'two frames with the same receipt get two', async (t) => {
    const connection = await t.connect();
    const destination = t.queue();
    for (let i = 0; i < 2; i++) connection.send('SEND', { destination, receipt: 'same' }, 'body');
    for (let i = 0; i < 2; i++) await connection.expectReceipt('same');
  }),
  stomp('receipt.unasked', RECEIPT, MUST, 'a frame that asks for no receipt gets none', async (t) => {
    const { connection, destination } = await t.loop();
    connection.send('SEND', { destination }, 'body');
    connection.send('BEGIN', { transaction });
    connection.send('COMMIT', { transaction });
    await connection.message('body');
    await connection.roundTrip();
    connection.expectNone('RECEIPT');
  }),
  stomp('receipt.each', 'RECEIPT', MUST, 'a hundred frames get a hundred receipts, each its own', async (t) => {
    const connection = await t.connect();
    const destination = t.queue();
    const wanted = Array.from({ length: 100 }, (_, index) => `r${index}`);
    for (const receipt of wanted) connection.send('SEND', { destination, receipt }, receipt);
    const got = new Set<string>();
    for (const _ of wanted) got.add((await connection.expect('RECEIPT')).headers['receipt-id']!);
    assert.deepEqual([...got].sort(), wanted.sort());
  }),
  stomp(
    'receipt.cumulative',
    'RECEIPT',
    MUST,
    'a receipt confirms all frames before it',
    async (t) => {
      const destination = t.queue();
      const connection = await t.connect();
      const bodies = Array.from({ length: 50 }, (_, index) => `${index}`);
      for (const body of bodies) connection.send('SEND', { destination, persistent: 'true' }, body);
      connection.send('BEGIN', { transaction, receipt: 'r' });
      await connection.expectReceipt('r');
      connection.carrier.socket.destroy();
      const taker = await t.connect();
      await taker.subscribe(destination);
      for (const body of bodies) await taker.message(body);
    },
    { versions: ['1.2'] },
  ),
  stomp(
    'receipt.queued',
    'RECEIPT',
    MUST,
    'the receipt of a SEND confirms that the message is in its queue',
    async (t) => {
      const destination = t.queue();
      const connection = await t.connect();
      await connection.request('SEND', { destination, persistent: 'true' }, 'body');
      assert.deepEqual(await t.left(destination), ['body']);
    },
  ),
  stomp('disconnect.end', 'DISCONNECT', SHOULD, 'the receipt of DISCONNECT is the last frame', async (t) => {
    const { connection } = await t.loop();
    connection.send('DISCONNECT', { receipt: 'bye' });
    const { order } = await connection.expectReceipt('bye');
    connection.hangUp();
    await connection.expectEnd(order + 1);
  }),
  stomp(
    'disconnect.processed',
    'DISCONNECT',
    MUST,
    'the receipt of DISCONNECT confirms all frames before it',
    async (t) => {
      const destination = t.queue();
      const connection = await t.connect();
      const bodies = Array.from({ length: 50 }, (_, index) => `${index}`);
      for (const body of bodies) connection.send('SEND', { destination, persistent: 'true' }, body);
      await connection.request('DISCONNECT');
      // The messages may not have reached the queue yet, so its content cannot be checked now.
      const taker = await t.connect();
      await taker.subscribe(destination);
      for (const body of bodies) await taker.message(body);
    },
    { versions: SINCE_1_1 },
  ),
  stomp('disconnect.silent', 'DISCONNECT', MUST, 'a DISCONNECT without receipt is answered with nothing', async (t) => {
    const connection = await t.connect();
    connection.send('DISCONNECT');
    connection.hangUp();
    await connection.expectEnd(1);
  }),
  stomp(
    'disconnect.requeues',
    'DISCONNECT',
    MUST,
    'messages not acknowledged before DISCONNECT are not consumed',
    async (t) => {
      const { connection, destination } = await t.loop({ ack: 'client' });
      connection.send('SEND', { destination, persistent: 'true' }, 'body');
      await connection.message('body');
      await connection.leave();
      assert.deepEqual(await t.left(destination), ['body']);
    },
  ),
].flat();
