// Checks of SEND: destination, required headers, and what the receiver gets.

import assert from 'node:assert/strict';
import { EXTENSION, MUST, ONLY_1_2, SHOULD, SINCE_1_1, stomp } from '../stomp-check.ts';

const SEND = 'SEND';

export const SEND_CHECKS = [
  stomp('send.delivered', SEND, MUST, 'a message sent to a destination reaches its subscriber', async (t) => {
    const { connection, destination } = await t.loop();
    const sender = await t.connect();
    sender.send('SEND', { destination }, 'body');
    await connection.message('body');
  }),
  stomp('send.no-destination', SEND, MUST, 'a SEND without destination is refused with an ERROR', async (t) => {
    const connection = await t.connect();
    connection.send('SEND', {}, 'body');
    await t.expectRefused(connection);
  }),
  stomp('send.invalid-destination', SEND, MUST, 'a destination that is none is refused with an ERROR', async (t) => {
    const connection = await t.connect();
    connection.send('SEND', { destination: `/nowhere/${t.context.name()}` }, 'body');
    await t.expectRefused(connection);
  }),
  stomp('send.refused.others', SEND, MUST, 'a refused SEND ends no other connection', async (t) => {
    const other = await t.connect();
    const connection = await t.connect();
    connection.send('SEND', {}, 'body');
    await t.expectRefused(connection);
    await other.roundTrip();
  }),
  stomp('send.refused.receipt', SEND, MUST, 'a refused SEND gets no receipt', async (t) => {
    const connection = await t.connect();
    connection.send('SEND', { receipt: '1' }, 'body');
    await t.expectRefused(connection);
    connection.expectNone('RECEIPT');
  }),
  stomp(
    'send.headers',
    SEND,
    MUST,
    'headers of its user pass through',
    async (t) => {
      const { connection, destination } = await t.loop();
      const mine = { 'a-header': '1', Title: 'Two words', 'x-mine': 'x', id: '7', _: 'a,b;c' };
      connection.send('SEND', { destination, ...mine }, 'body');
      const { headers } = await connection.message('body');
      for (const [name, value] of Object.entries(mine)) assert.equal(headers[name], value, name);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'send.headers.many',
    SEND,
    MUST,
    'fifty headers of its user pass through',
    async (t) => {
      const { connection, destination } = await t.loop();
      const mine = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`h${index}`, `v${index}`]));
      connection.send('SEND', { destination, ...mine }, 'body');
      const { headers } = await connection.message('body');
      for (const [name, value] of Object.entries(mine)) assert.equal(headers[name], value, name);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'send.headers.differ',
    SEND,
    MUST,
    'each message has its own headers, and none of the message before it',
    async (t) => {
      const { connection, destination } = await t.loop();
      const sets = [{ a: '1', b: '2' }, { a: '1' }, { b: '3' }, {}, { a: '1', b: '2' }] as const;
      for (const mine of sets) connection.send('SEND', { destination, ...mine }, 'body');
      for (const mine of sets) {
        const { headers } = await connection.message('body');
        assert.deepEqual({ a: headers.a, b: headers.b }, { a: undefined, b: undefined, ...mine });
      }
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'send.order',
    'RabbitMQ: message ordering',
    EXTENSION,
    'messages of one sender come in their order',
    async (t) => {
      const { connection, destination } = await t.loop();
      const sender = await t.connect();
      const bodies = Array.from({ length: 500 }, (_, index) => `${index}`);
      for (const body of bodies) sender.send('SEND', { destination }, body);
      for (const body of bodies) await connection.message(body);
    },
  ),
  stomp(
    'send.processed',
    'RECEIPT',
    SHOULD,
    'frames received before a disconnect are processed',
    async (t) => {
      const { connection, destination } = await t.loop();
      const sender = await t.connect();
      const bodies = Array.from({ length: 100 }, (_, index) => `${index}`);
      for (const body of bodies) sender.send('SEND', { destination }, body);
      await sender.leave();
      for (const body of bodies) await connection.message(body);
    },
    { versions: ONLY_1_2 },
  ),
  stomp(
    'send.processed.lost',
    'RECEIPT',
    SHOULD,
    'what came before the end of a connection that did not say goodbye is processed',
    async (t) => {
      const { connection, destination } = await t.loop();
      const sender = await t.connect();
      const bodies = Array.from({ length: 100 }, (_, index) => `${index}`);
      for (const body of bodies) sender.send('SEND', { destination }, body);
      sender.carrier.socket.end();
      for (const body of bodies) await connection.message(body);
    },
    { versions: ONLY_1_2 },
  ),
].flat();
