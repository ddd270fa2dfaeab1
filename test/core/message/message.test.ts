// Copies of a message: the changed fields, the unchanged fields, and which buffers they reference.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Message, type MessageChanges, NEVER } from '../../../src/core/message/message.ts';
import { NO_CODEC } from '../../../src/core/message/properties.ts';

const BYTES = Buffer.from('..properties.body');

function original(): Message {
  const message = new Message('from', 'key', BYTES, 13, 4, BYTES, 2, 10, NO_CODEC, false, 7, 5_000, 1_000);
  message.owned = true;
  return message;
}

function nativeBytes({ native, nativeOffset, nativeLength }: Message): string {
  return native.toString('latin1', nativeOffset, nativeOffset + nativeLength);
}

describe('a copy of a message', () => {
  const codec = { ...NO_CODEC, id: 99 };
  const changes: MessageChanges[] = [
    {},
    { exchange: 'to' },
    { exchange: '', routingKey: '' },
    { routingKey: 'other' },
    { persistent: true },
    { expirationMs: NEVER },
    { codec, native: Buffer.from('new') },
  ];
  for (const change of changes) {
    it(`changes ${Object.keys(change).join(' and ') || 'nothing'} and keeps the rest`, () => {
      const message = original();
      const copy = message.copy(change);
      const { native, ...names } = change;
      for (const name of ['exchange', 'routingKey', 'codec', 'persistent', 'expirationMs', 'priority', 'receivedAt'])
        assert.deepEqual(copy[name as keyof Message], { ...message, ...names }[name as 'exchange'], name);
      assert.equal(copy.bodyBytes().toString(), 'body');
      assert.equal(nativeBytes(copy), native?.toString() ?? 'properties');
      assert.deepEqual(Object.keys(copy), Object.keys(message));
    });
  }

  it('is in a slab if the original is, unless its properties change', () => {
    const message = original();
    assert.equal(message.copy({ persistent: true }).owned, true);
    assert.equal(message.copy({ native: Buffer.from('new') }).owned, false);
    message.owned = false;
    assert.equal(message.copy({ persistent: true }).owned, false);
  });

  it("is not on the turn's list of messages when the original is", () => {
    const message = original();
    message.retained = true;
    assert.equal(message.copy({}).retained, false);
  });
});

describe('the shell of a message', () => {
  it('keeps everything but the bytes, and their lengths', () => {
    const shell = original().shell();
    assert.deepEqual(
      [shell.exchange, shell.routingKey, shell.priority, shell.bodyLength, shell.nativeLength],
      ['from', 'key', 7, 4, 10],
    );
    assert.equal(shell.body.length + shell.native.length, 0);
    assert.ok(shell.owned && shell.retained);
  });
});
