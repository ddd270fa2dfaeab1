// Protects the names in STOMP's coverage list. The list names rules without a version, so a name without checks would
// go unnoticed if other names of its statement have checks.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STOMP_CHECKS } from '../../conformance/stomp/checks.ts';
import { strayNames } from '../../conformance/stomp/coverage.ts';

test('every name of the list is that of a rule that has checks, and of a statement that there is', () => {
  assert.deepEqual(strayNames(), []);
});

test('every rule is checked over TCP, or is one of WebSocket; most are checked over both', () => {
  const tcp = STOMP_CHECKS.filter(({ webSocket }) => !webSocket);
  const ws = STOMP_CHECKS.filter(({ webSocket }) => webSocket);
  const ruleOf = (id: string): string => id.replace(/^stomp\.(?:ws\.)?v1\d\./, '');
  const overTcp = new Set(tcp.map(({ id }) => ruleOf(id)));
  const overWebSocket = new Set(ws.map(({ id }) => ruleOf(id)));
  assert.deepEqual(
    [...overWebSocket].filter((rule) => !overTcp.has(rule) && !rule.startsWith('websocket.')),
    [],
  );
  assert.deepEqual(
    [...overTcp].filter((rule) => !overWebSocket.has(rule)),
    [],
  );
});
