// The outbox: order, one write a turn, slabs returned after their write has completed, watermarks.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REFERENCE_BYTES } from '../../src/net/outbox.ts';
import { SLAB_BYTES, SMALL_SLAB_BYTES } from '../../src/net/slab-pool.ts';
import { newOutbox, put } from './fixtures.ts';

const KIB = 1024;

describe('an outbox', () => {
  it('writes what a turn gathered with one write, in order', () => {
    const { outbox, sink, turn } = newOutbox();
    put(outbox, 'one ');
    outbox.append(Buffer.from('..two ..'), 2, 6);
    outbox.append(Buffer.from('a longer piece that is copied by the call into C++ '), 0, 51);
    assert.equal(outbox.heldBytes, 59);
    assert.equal(outbox.unsentBytes, 59);
    assert.equal(sink.writes.length, 0);
    turn.end();
    assert.deepEqual(sink.writes.map(String), ['one two a longer piece that is copied by the call into C++ ']);
    assert.equal(outbox.heldBytes, 0);
    assert.equal(outbox.unsentBytes, 59);
    sink.complete();
    assert.equal(outbox.unsentBytes, 0);
  });

  it('asks for one flush a turn, however much is written', () => {
    const { outbox, turn } = newOutbox();
    for (let i = 0; i < 10_000; i++) put(outbox, 'frame');
    outbox.append(Buffer.alloc(REFERENCE_BYTES), 0, REFERENCE_BYTES);
    assert.equal(turn.waiting.length, 1);
    turn.end();
    put(outbox, 'again');
    assert.equal(turn.waiting.length, 1);
  });

  it('writes nothing if the reserved space was not used', () => {
    const { outbox, sink, pool, turn } = newOutbox();
    outbox.reserve(100);
    turn.end();
    assert.equal(sink.writes.length, 0);
    assert.equal(pool.lentBytes, 0);
  });

  it('keeps order over slabs of both sizes and references', () => {
    const { outbox, sink, turn } = newOutbox();
    const expected: Buffer[] = [];
    for (let i = 0; i < 60; i++) {
      const body = Buffer.alloc(1 + ((i * i * 37) % (REFERENCE_BYTES * 2)), i);
      put(outbox, `<${i}>`);
      outbox.append(body, 0, body.length);
      expected.push(Buffer.from(`<${i}>`), body);
    }
    turn.end();
    assert.deepEqual(sink.output, Buffer.concat(expected));
  });

  it('sends a large body by reference and a small one by copy', () => {
    const { outbox, sink, turn } = newOutbox();
    const small = Buffer.alloc(REFERENCE_BYTES - 1, 's');
    const large = Buffer.alloc(REFERENCE_BYTES, 'l');
    outbox.append(small, 0, small.length);
    outbox.append(large, 0, large.length);
    small.fill('x');
    // A front-end must not change the buffer; the change shows that the outbox made no copy.
    large.fill('L');
    turn.end();
    assert.equal(sink.output.toString(), 's'.repeat(small.length) + 'L'.repeat(large.length));
  });

  it('gives a slab back when the write that carries it has ended, and not earlier', () => {
    const { outbox, sink, pool, turn } = newOutbox();
    put(outbox, 'first');
    turn.end();
    assert.equal(pool.free, 0);
    put(outbox, 'second');
    turn.end();
    assert.equal(pool.lentBytes, 2 * SMALL_SLAB_BYTES);
    // The second output did not overwrite the first, which the kernel still holds.
    assert.deepEqual(sink.writes.map(String), ['first', 'second']);
    sink.complete();
    assert.equal(pool.lentBytes, 0);
    assert.equal(pool.free, 2);
    put(outbox, 'third');
    assert.equal(pool.free, 1);
  });

  it('gives back every slab of a write, and those of references too', () => {
    const { outbox, sink, pool, turn } = newOutbox();
    for (let i = 0; i < 3000; i++) put(outbox, 'a hundred bytes or so'.padEnd(100));
    const body = Buffer.alloc(50 * KIB);
    outbox.append(body, 0, body.length);
    turn.end();
    outbox.append(body, 0, body.length);
    turn.end();
    assert.ok(pool.lentBytes >= 300_000);
    sink.complete();
    assert.equal(pool.lentBytes, 0);
  });

  it('holds no slab while it is idle', () => {
    const { outbox, sink, pool, turn } = newOutbox();
    put(outbox, 'x'.repeat(10 * KIB));
    turn.end();
    sink.complete();
    assert.equal(pool.lentBytes, 0);
    assert.equal(outbox.buffer.length, 0);
  });

  it('touches a small slab for a quiet connection and a large one for a busy one', () => {
    const { outbox, sink, pool, turn } = newOutbox();
    put(outbox, 'quiet');
    assert.equal(pool.lentBytes, SMALL_SLAB_BYTES);
    for (let i = 0; i < 1000; i++) put(outbox, 'busy');
    turn.end();
    sink.complete();
    put(outbox, 'busy still');
    assert.equal(pool.lentBytes, SLAB_BYTES);
    turn.end();
    sink.complete();
    put(outbox, 'quiet again');
    assert.equal(pool.lentBytes, SMALL_SLAB_BYTES);
  });

  it('gives a whole slab in one piece, and refuses more', () => {
    const { outbox, turn } = newOutbox();
    put(outbox, 'before');
    outbox.reserve(SLAB_BYTES);
    assert.equal(outbox.buffer.length - outbox.position, SLAB_BYTES);
    turn.end();
    assert.throws(() => outbox.reserve(SLAB_BYTES + 1), RangeError);
  });

  it('does not wait for the end of the turn past its threshold', () => {
    const { outbox, sink, turn } = newOutbox({ flushBytes: 128 * KIB });
    const frame = 'f'.repeat(1000);
    for (let i = 0; i < 400; i++) put(outbox, frame);
    assert.ok(sink.output.length >= 128 * KIB);
    assert.ok(outbox.heldBytes <= 128 * KIB + SLAB_BYTES);
    turn.end();
    assert.equal(sink.output.length, 400_000);
    outbox.append(Buffer.alloc(128 * KIB), 0, 128 * KIB);
    assert.equal(sink.output.length, 400_000 + 128 * KIB);
  });

  it('is not writable above the high watermark until it is below the low one, and reports it once', () => {
    const { outbox, sink, turn, owner } = newOutbox({
      highWatermarkBytes: 100 * KIB,
      lowWatermarkBytes: 20 * KIB,
    });
    const body = Buffer.alloc(60 * KIB);
    outbox.append(body, 0, body.length);
    turn.end();
    assert.equal(outbox.writable, true);
    outbox.append(body, 0, body.length);
    assert.equal(outbox.writable, false);
    turn.end();
    assert.equal(owner.drainedCount, 0);
    put(outbox, 'still possible');
    sink.complete();
    assert.equal(outbox.writable, true);
    assert.equal(owner.drainedCount, 1);
    turn.end();
    sink.complete();
    assert.equal(owner.drainedCount, 1);
  });

  it('counts what it has gathered, not only what the socket holds, for the watermarks', () => {
    const { outbox, sink, turn, owner } = newOutbox({
      highWatermarkBytes: 100 * KIB,
      lowWatermarkBytes: 20 * KIB,
      flushBytes: 10_000 * KIB,
    });
    for (let i = 0; i < 200; i++) put(outbox, 'x'.repeat(KIB));
    assert.equal(outbox.writable, false);
    turn.end();
    for (let i = 0; i < 30; i++) put(outbox, 'x'.repeat(KIB));
    sink.complete();
    assert.equal(outbox.writable, false, '30 KiB are above the low watermark');
    turn.end();
    sink.complete();
    assert.equal(outbox.writable, true);
    assert.equal(owner.drainedCount, 1);
  });

  it('reports that the kernel did not accept all bytes', () => {
    const { outbox, turn, owner } = newOutbox();
    put(outbox, 'x');
    turn.end();
    assert.equal(owner.stalledCount, 1);
  });

  it('does nothing once it is destroyed, and releases unwritten slabs', () => {
    const { outbox, sink, pool, turn, owner } = newOutbox({ highWatermarkBytes: 10, lowWatermarkBytes: 5 });
    put(outbox, 'under way, more than the watermark');
    turn.end();
    put(outbox, 'never written');
    outbox.append(Buffer.alloc(20 * KIB), 0, 20 * KIB);
    outbox.destroy();
    assert.equal(pool.lentBytes, SMALL_SLAB_BYTES, 'the slab under way is still the kernel’s');
    for (let i = 0; i < 100; i++) {
      put(outbox, 'x'.repeat(KIB));
      outbox.append(Buffer.alloc(20 * KIB), 0, 20 * KIB);
      outbox.endMessage();
    }
    outbox.reserve(SLAB_BYTES);
    turn.end();
    outbox.flush();
    assert.equal(sink.writes.length, 1);
    assert.equal(outbox.unsentBytes, sink.writableLength);
    sink.complete();
    assert.equal(pool.lentBytes, 0);
    assert.equal(owner.drainedCount, 0);
    outbox.destroy();
  });
});
