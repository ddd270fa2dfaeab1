// A message copied into a slab stays equal, whichever buffers held its bytes.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Message, NEVER } from '../../../src/core/message/message.ts';
import { MessageSlabs } from '../../../src/core/message/message-slabs.ts';
import { NO_CODEC } from '../../../src/core/message/properties.ts';

const length = fc.oneof(fc.nat(40), fc.nat(20_000));

describe('messages copied into slabs', () => {
  it('keep properties and body, and no reference to their input chunk', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(length, length, fc.oneof(fc.nat(64), length), fc.boolean(), fc.boolean()), { maxLength: 20 }),
        (messages) => {
          const slabs = new MessageSlabs();
          const kept = messages.map(([nativeLength, bodyLength, gap, bodyFirst, apart]) => {
            const chunk = Buffer.alloc(nativeLength + gap + bodyLength);
            const other = apart ? Buffer.alloc(chunk.length) : chunk;
            const nativeAt = bodyFirst ? bodyLength + gap : 0;
            const bodyAt = bodyFirst ? 0 : nativeLength + gap;
            chunk.fill(1, nativeAt, nativeAt + nativeLength);
            other.fill(2, bodyAt, bodyAt + bodyLength);
            const message = new Message(
              '',
              '',
              other,
              bodyAt,
              bodyLength,
              chunk,
              nativeAt,
              nativeLength,
              NO_CODEC,
              false,
              0,
              NEVER,
              0,
            );
            slabs.own(message);
            chunk.fill(9);
            other.fill(9);
            return message;
          });
          for (const { native, nativeOffset, nativeLength, body, bodyOffset, bodyLength, owned } of kept) {
            assert.ok(owned);
            assert.ok(native.subarray(nativeOffset, nativeOffset + nativeLength).equals(Buffer.alloc(nativeLength, 1)));
            assert.ok(body.subarray(bodyOffset, bodyOffset + bodyLength).equals(Buffer.alloc(bodyLength, 2)));
          }
        },
      ),
    );
  });
});
