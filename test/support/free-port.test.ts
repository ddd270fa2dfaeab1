// Ports that tests choose are their process's own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePorts, listening } from '../../support/free-port.ts';

test('ports are free and never handed out twice', async () => {
  const [first, second] = await Promise.all([freePorts(60), freePorts(60)]);
  const ports = [...first, ...second];
  assert.equal(new Set(ports).size, 120);
  for (const port of ports) assert.equal(await listening(port), false);
});

test('they belong to a block that this process holds', async () => {
  const [port] = await freePorts(1);
  assert.equal(await listening(port! - (port! % 100)), true);
});
