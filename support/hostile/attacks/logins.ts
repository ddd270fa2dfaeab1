// Attacks by clients that never log in, or do so with made-up passwords.

import { tcp } from '../../raw-client.ts';
import * as amqp from '../../wire/amqp.ts';
import * as mqtt from '../../wire/mqtt.ts';
import * as stomp from '../../wire/stomp.ts';
import type { Attack } from '../attack.ts';
import { openMany } from '../attacker.ts';

export const LOGINS: readonly Attack[] = [
  {
    name: 'tries 1,000 made-up passwords and closes at once, over each protocol',
    async run({ ports }) {
      for (let i = 0; i < 1_000; i++) {
        const password = `wrong${i}`;
        const socket = await tcp([ports.mqtt, ports.amqp, ports.stomp][i % 3]!);
        socket.on('error', () => {});
        const login = [
          mqtt.connect(`eve-${i}`, { user: 'eve', password }),
          Buffer.concat([amqp.PROTOCOL_HEADER, amqp.startOk('eve', password)]),
          stomp.connect('eve', password),
        ][i % 3]!;
        await new Promise<void>((resolve) => socket.write(login, () => resolve()));
        socket.destroy();
      }
    },
  },
  {
    name: 'opens 1,024 connections to the HTTP port and says nothing, or never ends its request',
    async run({ ports }) {
      const sockets = await openMany(1_024, () => tcp(ports.http));
      sockets.forEach((socket, i) => {
        if (i % 2 === 0) socket.write('GET /health/ready HTTP/1.1\r\nX-A: ');
      });
      await turns(20);
      for (const socket of sockets) socket.destroy();
    },
  },
  {
    name: 'opens 1,000 connections to each protocol and says nothing',
    async run({ ports }) {
      const sockets = [];
      for (const port of [ports.amqp, ports.mqtt, ports.stomp, ports.ws]) {
        sockets.push(...(await openMany(1_000, () => tcp(port))));
      }
      await turns(20);
      for (const socket of sockets) socket.destroy();
    },
  },
];

/** Gives the broker's other clients a while beside open connections: passes of 25 ms. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 25));
}
