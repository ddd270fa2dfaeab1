// Checks of PINGREQ, of DISCONNECT from the client and of DISCONNECT from the broker.

import type { MqttCheck } from '../mqtt-check.ts';
import { both, MUST, SHOULD, v5 } from '../mqtt-check.ts';
import { encodePublish, encodeReason, frame } from '../wire/packets.ts';
import type { Properties } from '../wire/properties.ts';

export const DISCONNECT_CHECKS: readonly (readonly MqttCheck[])[] = [
  both('ping', ['3.12.4-1', '3.12.4-1'], MUST, 'each PINGREQ is answered with a PINGRESP', async (t) => {
    const client = await t.connect();
    for (let i = 0; i < 5; i++) client.raw(frame('PINGREQ'));
    for (let i = 0; i < 5; i++) await client.expect('PINGRESP');
  }),
  both(
    'disconnect.closed',
    ['3.14.4:closed', '3.14.4:closed'],
    SHOULD,
    'after DISCONNECT the broker closes the connection without a packet',
    async (t) => {
      const client = await t.connect();
      await client.disconnect();
      client.expectNothing();
    },
  ),
  both(
    'disconnect.published',
    ['3.14.4:before', '3.14.4:before'],
    MUST,
    'packets sent before DISCONNECT are processed',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const client = await t.connect();
      client.raw(
        Buffer.concat([encodePublish(t.version, { topic, payload: 'last words' }), encodeReason('DISCONNECT')]),
      );
      await watcher.message('last words');
    },
  ),
  v5(
    'disconnect.long-form',
    '3.14.2.1:long-form',
    MUST,
    'DISCONNECT may say its reason and properties, or leave them out: 0x00 is a goodbye in each form',
    async (t) => {
      const topic = t.name();
      const watcher = await t.subscriber(topic);
      const forms: readonly (readonly [number?, Properties?])[] = [
        [],
        [0],
        [0, []],
        [
          0,
          [
            ['reasonString', 'bye'],
            ['userProperty', ['a', 'b']],
            ['userProperty', ['a', 'b']],
          ],
        ],
      ];
      for (const [reason, properties] of forms) {
        const client = await t.connect({ will: { topic, payload: 'will' } });
        await client.disconnect(reason, properties);
      }
      await (await t.connect()).publish({ topic, payload: 'no will' });
      await watcher.message('no will');
    },
  ),
  v5(
    'disconnect.reason',
    '3.14.2-1 3.14.2-2 3.14.4-1 3.14.4-2 4.13.2-1',
    MUST,
    'a DISCONNECT of the broker has a reason that exists, no session expiry, and is the last packet',
    async (t) => {
      const clientId = t.name();
      const client = await t.resume(clientId);
      client.sendPublish({ topic: 'a/#', payload: 'x' });
      const said = await client.expectClosed();
      if (said === null) t.skip('the broker closes without DISCONNECT, as it may');
      client.expectNothing();
    },
  ),
  v5(
    'disconnect.reason.said',
    '4.13:said 3.14.2-1 3.14.4-1',
    SHOULD,
    'a broker sends DISCONNECT with the reason before it closes a connection',
    async (t) => {
      const client = await t.connect();
      client.sendPublish({ topic: 'a/#', payload: 'x' });
      await client.expectDisconnect(0x81, 0x82, 0x90);
    },
  ),
  v5(
    'disconnect.reason.malformed',
    '3.14.1-1 4.13:said',
    SHOULD,
    'DISCONNECT with reserved flags is answered with DISCONNECT 0x81',
    async (t) => {
      const client = await t.connect();
      client.raw(frame(0xe1, Buffer.alloc(0)));
      await client.expectDisconnect(0x81);
    },
  ),
];
