// The first words of MQTT 3.1.1, written down byte by byte from the specification.

import assert from 'node:assert/strict';
import type { Check, CheckContext } from '../check.ts';
import { Wire } from '../wire.ts';

function mqtt(id: string, section: string, title: string, run: (wire: Wire, t: CheckContext) => Promise<void>): Check {
  return {
    id: `mqtt.${id}`,
    protocol: 'mqtt',
    version: '3.1.1',
    section,
    level: 'MUST',
    title,
    fast: true,
    needs: null,
    run: async (context) => run(await Wire.open(context), context),
  };
}

export const MQTT_HANDSHAKE: readonly Check[] = [
  mqtt(
    'connect.accepted',
    'MQTT-3.2.2, MQTT-3.12.4-1',
    'CONNECT is answered with CONNACK 0, PINGREQ with PINGRESP',
    async (wire, { endpoint, name }) => {
      // Flags: user name, password, clean session [MQTT-3.1.2].
      const flags = Buffer.from([4, 0xc2, 0, 60]);
      const id = `c${name().slice(-16)}`;
      const body = Buffer.concat([long('MQTT'), flags, long(id), long(endpoint.user), long(endpoint.password)]);
      wire.send(Buffer.concat([Buffer.from([0x10, body.length]), body]));
      assert.deepEqual([...(await wire.take(4))], [0x20, 2, 0, 0]);
      wire.send(Buffer.from([0xc0, 0]));
      assert.deepEqual([...(await wire.take(2))], [0xd0, 0]);
    },
  ),
  mqtt(
    'connect.first',
    'MQTT-3.1.0-1',
    'what comes before CONNECT ends the connection without a word',
    async (wire) => {
      wire.send(Buffer.from([0xc0, 0]));
      assert.equal((await wire.takeAll()).length, 0);
    },
  ),
];

function long(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}
