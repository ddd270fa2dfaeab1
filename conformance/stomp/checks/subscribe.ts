// Checks of SUBSCRIBE and UNSUBSCRIBE: ids by version, delivery, and its end.

import assert from 'node:assert/strict';
import { MUST, ONLY_1_0, SHOULD, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';
import type { Lines } from '../wire/frames.ts';

const SUBSCRIBE = 'SUBSCRIBE';
const ID = 'SUBSCRIBE id Header';
const ACK = 'SUBSCRIBE ack Header';
const UNSUBSCRIBE = 'UNSUBSCRIBE';

async function refused(t: StompTest, command: 'SUBSCRIBE' | 'UNSUBSCRIBE', lines: Lines): Promise<void> {
  const connection = await t.connect();
  connection.send(command, lines);
  if (command === 'SUBSCRIBE') await t.expectRefused(connection);
  else await connection.expectRefusal();
}

export const SUBSCRIBE_CHECKS = [
  stomp(
    'subscribe.delivered',
    SUBSCRIBE,
    MUST,
    'a subscription gets the messages of its destination, and no others',
    async (t) => {
      const { connection, destination } = await t.loop();
      const other = t.queue();
      await connection.request('SEND', { destination: other }, 'other');
      await connection.request('SEND', { destination }, 'body');
      await connection.message('body');
      connection.expectNone('MESSAGE');
    },
  ),
  stomp('subscribe.no-destination', SUBSCRIBE, MUST, 'a SUBSCRIBE without destination is refused with an ERROR', (t) =>
    refused(t, 'SUBSCRIBE', { id: '1' }),
  ),
  stomp('subscribe.invalid-destination', SUBSCRIBE, MUST, 'a destination that is none is refused with an ERROR', (t) =>
    refused(t, 'SUBSCRIBE', { id: '1', destination: `/nowhere/${t.context.name()}` }),
  ),
  stomp(
    'subscribe.no-id',
    ID,
    MUST,
    'a SUBSCRIBE without id is refused with an ERROR',
    (t) => refused(t, 'SUBSCRIBE', { destination: t.queue() }),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'subscribe.without-id',
    'STOMP 1.0: SUBSCRIBE',
    MUST,
    'a subscription needs no id in 1.0',
    async (t) => {
      const connection = await t.connect();
      const destination = t.queue();
      await connection.request('SUBSCRIBE', { destination });
      connection.send('SEND', { destination }, 'body');
      await connection.message('body');
    },
    { versions: ONLY_1_0 },
  ),
  stomp(
    'subscribe.id',
    ID,
    { '1.0': SHOULD, '1.1': MUST, '1.2': MUST },
    'messages name the subscription that they come to',
    async (t) => {
      const connection = await t.connect();
      const first = await connection.subscribe(t.queue(), { id: 'first' });
      const second = await connection.subscribe(t.queue(), { id: 'second' });
      for (const { id, destination } of [second, first, second]) {
        connection.send('SEND', { destination }, id);
        assert.equal((await connection.message(id)).headers.subscription, id);
      }
    },
  ),
  stomp(
    'subscribe.id.duplicate',
    ID,
    MUST,
    'an id that is in use is refused with an ERROR',
    async (t) => {
      const { connection } = await t.loop({ id: 'same' });
      connection.send('SUBSCRIBE', { id: 'same', destination: t.queue() });
      await connection.expectError();
    },
    { versions: SINCE_1_1 },
  ),
  stomp('subscribe.id.local', ID, MUST, 'an id is in use on its connection only', async (t) => {
    const loops = [await t.loop({ id: 'same' }), await t.loop({ id: 'same' })];
    for (const { connection, destination } of loops) {
      connection.send('SEND', { destination }, destination);
      await connection.message(destination);
    }
  }),
  stomp(
    'subscribe.same-destination',
    ID,
    MUST,
    'a connection may subscribe twice to one destination, and each message comes to one of them or both',
    async (t) => {
      const { connection, destination } = await t.loop({ id: 'a' });
      await connection.subscribe(destination, { id: 'b' });
      connection.send('SEND', { destination }, 'body');
      const { headers } = await connection.message('body');
      assert.ok(['a', 'b'].includes(headers.subscription!), `subscription: ${headers.subscription}`);
    },
    { versions: SINCE_1_1 },
  ),
  stomp('subscribe.refused.receipt', SUBSCRIBE, MUST, 'a refused SUBSCRIBE gets no receipt', async (t) => {
    const connection = await t.connect();
    connection.send('SUBSCRIBE', { id: '1', receipt: '1' });
    await t.expectRefused(connection);
    connection.expectNone('RECEIPT');
  }),
  stomp(
    'subscribe.ack.default',
    ACK,
    MUST,
    'without ack it is auto: a message is consumed when it is sent',
    async (t) => {
      const { connection, destination } = await t.loop();
      connection.send('SEND', { destination }, 'body');
      const { headers } = await connection.message('body');
      assert.equal(headers.ack, undefined, 'an ack header where nothing is acknowledged');
      await connection.leave();
      assert.deepEqual(await t.left(destination), []);
    },
  ),
  stomp('subscribe.ack.auto', ACK, MUST, 'with ack:auto a message is consumed when it is sent', async (t) => {
    const { connection, destination } = await t.loop({ ack: 'auto' });
    connection.send('SEND', { destination }, 'body');
    await connection.message('body');
    await connection.leave();
    assert.deepEqual(await t.left(destination), []);
  }),
  stomp(
    'subscribe.ack.invalid',
    ACK,
    MUST,
    'an ack that is none of the three is refused with an ERROR',
    (t) => refused(t, 'SUBSCRIBE', { id: '1', destination: t.queue(), ack: 'sometimes' }),
    { versions: SINCE_1_1 },
  ),
  stomp('unsubscribe.ends', UNSUBSCRIBE, MUST, 'after UNSUBSCRIBE nothing comes from the subscription', async (t) => {
    const { connection, destination, id } = await t.loop();
    await connection.request('UNSUBSCRIBE', { id });
    await connection.request('SEND', { destination, persistent: 'true' }, 'kept');
    await connection.roundTrip();
    connection.expectNone('MESSAGE');
    assert.deepEqual(await t.left(destination), ['kept']);
    connection.expectNone('MESSAGE');
  }),
  stomp('unsubscribe.others', UNSUBSCRIBE, MUST, 'other subscriptions go on', async (t) => {
    const { connection, id } = await t.loop();
    const { destination } = await connection.subscribe(t.queue(), { id: 'other' });
    await connection.request('UNSUBSCRIBE', { id });
    connection.send('SEND', { destination }, 'body');
    assert.equal((await connection.message('body')).headers.subscription, 'other');
  }),
  stomp('unsubscribe.id-reuse', UNSUBSCRIBE, MUST, 'an id may be used again after its UNSUBSCRIBE', async (t) => {
    const { connection, id } = await t.loop();
    await connection.request('UNSUBSCRIBE', { id });
    const { destination } = await connection.subscribe(t.queue(), { id });
    connection.send('SEND', { destination }, 'body');
    assert.equal((await connection.message('body')).headers.subscription, id);
  }),
  stomp(
    'unsubscribe.no-id',
    UNSUBSCRIBE,
    MUST,
    'an UNSUBSCRIBE without id is refused',
    async (t) => {
      const { connection } = await t.loop();
      connection.send('UNSUBSCRIBE');
      await connection.expectRefusal();
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'unsubscribe.unknown',
    UNSUBSCRIBE,
    MUST,
    'an UNSUBSCRIBE of no subscription is refused',
    (t) => refused(t, 'UNSUBSCRIBE', { id: 'nobody' }),
    { versions: SINCE_1_1 },
  ),
  stomp(
    'unsubscribe.destination',
    'STOMP 1.0: UNSUBSCRIBE',
    MUST,
    'a subscription without id ends by its destination in 1.0',
    async (t) => {
      const connection = await t.connect();
      const destination = t.queue();
      await connection.request('SUBSCRIBE', { destination });
      await connection.request('UNSUBSCRIBE', { destination });
      await connection.request('SEND', { destination, persistent: 'true' }, 'kept');
      await connection.roundTrip();
      connection.expectNone('MESSAGE');
      assert.deepEqual(await t.left(destination), ['kept']);
    },
    { versions: ONLY_1_0 },
  ),
  stomp(
    'unsubscribe.neither',
    'STOMP 1.0: UNSUBSCRIBE',
    MUST,
    'an UNSUBSCRIBE with neither id nor destination is refused',
    async (t) => {
      const { connection } = await t.loop();
      connection.send('UNSUBSCRIBE');
      await connection.expectRefusal();
    },
    { versions: ONLY_1_0 },
  ),
].flat();
