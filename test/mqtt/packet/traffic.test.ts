// The packet, byte and socket counters in `$SYS` are exact and include closed connections.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Traffic } from '../../../protocols/mqtt/packet/traffic.ts';
import type { Transport } from '../../../src/net/transport.ts';

const transport = (bytesRead: number, bytesWritten: number) => ({ bytesRead, bytesWritten }) as Transport;

it('counts the bytes of open connections as they are, and those of closed ones as they were', () => {
  const traffic = new Traffic();
  const first = { bytesRead: 10, bytesWritten: 1 };
  const second = transport(100, 2);
  traffic.opened(first as Transport);
  traffic.opened(second);
  assert.deepEqual([traffic.bytesReceived, traffic.bytesSent, traffic.sockets], [110, 3, 2]);
  first.bytesRead = 20;
  traffic.closed(first as Transport);
  first.bytesRead = 0;
  assert.deepEqual([traffic.bytesReceived, traffic.bytesSent, traffic.sockets], [120, 3, 2]);
});

it('counts a connection that has gone once', () => {
  const traffic = new Traffic();
  const only = transport(5, 7);
  traffic.opened(only);
  traffic.closed(only);
  traffic.closed(only);
  assert.deepEqual([traffic.bytesReceived, traffic.bytesSent], [5, 7]);
});
