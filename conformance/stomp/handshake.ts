// The first and the last words of STOMP 1.2.

import assert from 'node:assert/strict';
import type { Check, Endpoint } from '../check.ts';
import { Wire } from '../wire.ts';

function stomp(id: string, section: string, title: string, run: (wire: Wire, at: Endpoint) => Promise<void>): Check {
  return {
    id: `stomp.${id}`,
    protocol: 'stomp',
    version: '1.2',
    section,
    level: 'MUST',
    title,
    fast: true,
    needs: null,
    run: async (context) => run(await Wire.open(context), context.endpoint),
  };
}

export const STOMP_HANDSHAKE: readonly Check[] = [
  stomp(
    'connect.accepted',
    'Connecting; DISCONNECT',
    'CONNECT is answered with CONNECTED and version 1.2, DISCONNECT with its receipt',
    async (wire, endpoint) => {
      wire.send(connect(endpoint));
      const connected = (await wire.takeThrough(0)).toString();
      assert.match(connected, /^CONNECTED\r?\n/);
      assert.match(connected, /\nversion:1\.2\r?\n/);
      wire.send('DISCONNECT\nreceipt:77\n\n\0');
      assert.match((await wire.takeThrough(0)).toString().trimStart(), /^RECEIPT\r?\nreceipt-id:77\r?\n/);
    },
  ),
  stomp(
    'command.unknown',
    'ERROR',
    'an unknown command is answered with ERROR, and the end',
    async (wire, endpoint) => {
      wire.send(connect(endpoint));
      await wire.takeThrough(0);
      wire.send('SHOUT\n\n\0');
      assert.match((await wire.takeAll()).toString().trimStart(), /^ERROR\r?\n/);
    },
  ),
];

function connect({ user, password }: Endpoint): string {
  return `CONNECT\naccept-version:1.2\nhost:/\nlogin:${user}\npasscode:${password}\n\n\0`;
}
