// The reader never leaves its range, whatever length a peer claims; the writer grows, patches and keeps byte order.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ByteReader, ReadError } from '../../src/net/byte-reader.ts';
import { ByteWriter } from '../../src/net/byte-writer.ts';

describe('the byte writer', () => {
  it('writes big-endian and grows from nothing', () => {
    const writer = new ByteWriter(0);
    writer.uint8(0xab);
    writer.uint16(0x0102);
    writer.uint32(0x03040506);
    writer.uint64(0x0708090a0b0c0d0en);
    writer.int8(-1);
    writer.int16(-2);
    writer.int32(-3);
    writer.int64(-4n);
    writer.float32(1.5);
    writer.float64(-2.25);
    assert.equal(
      writer.view().toString('hex'),
      'ab' +
        '0102' +
        '03040506' +
        '0708090a0b0c0d0e' +
        'ff' +
        'fffe' +
        'fffffffd' +
        'fffffffffffffffc' +
        '3fc00000' +
        'c002000000000000',
    );
  });

  it('patches a length that is known later', () => {
    const writer = new ByteWriter(1);
    const at = writer.skip(4);
    const bytes = writer.utf8('größe');
    writer.patchUint32(at, writer.position - at - 4);
    assert.equal(bytes, 7);
    assert.equal(writer.copy().toString('hex'), `00000007${Buffer.from('größe').toString('hex')}`);
  });

  it('begins anew without what it held, and what was copied stays', () => {
    const writer = new ByteWriter(8);
    writer.bytes(Buffer.alloc(100_000, 1));
    const copy = writer.copy();
    writer.clear();
    assert.ok(writer.buffer.length < 100_000);
    writer.latin1('naïve');
    assert.equal(writer.view().toString('latin1'), 'naïve');
    assert.equal(copy.length, 100_000);
  });

  it('refuses a number that its field does not hold', () => {
    const writer = new ByteWriter();
    assert.throws(() => writer.uint8(256), RangeError);
    assert.throws(() => writer.uint16(-1), RangeError);
    assert.throws(() => writer.uint64(-1n), RangeError);
  });
});

describe('the byte reader', () => {
  const bytes = Buffer.from('00ab01020304050600000000000000070809fffffffd3fc00000c00200000000000068c3a9', 'hex');

  it('reads what the writer writes', () => {
    const reader = new ByteReader(bytes, 1, bytes.length);
    assert.equal(reader.uint8(), 0xab);
    assert.equal(reader.uint16(), 0x0102);
    assert.equal(reader.uint32(), 0x03040506);
    assert.equal(reader.safeUint64(), 7);
    assert.equal(reader.bytes(2).toString('hex'), '0809');
    assert.equal(reader.int32(), -3);
    assert.equal(reader.float32(), 1.5);
    assert.equal(reader.float64(), -2.25);
    assert.equal(reader.remaining, 3);
    assert.equal(reader.utf8(3), 'hé');
    assert.equal(reader.remaining, 0);
  });

  it('throws a ReadError at its end, also where the buffer goes on, and stays where it was', () => {
    for (const read of [
      (r: ByteReader) => r.uint32(),
      (r: ByteReader) => r.uint64(),
      (r: ByteReader) => r.float64(),
      (r: ByteReader) => r.utf8(4),
      (r: ByteReader) => r.bytes(0xffffffff),
      (r: ByteReader) => r.skip(4),
      (r: ByteReader) => r.skip(-1),
      (r: ByteReader) => r.sub(4),
    ]) {
      const reader = new ByteReader(bytes, 4, 7);
      assert.throws(() => read(reader), ReadError);
      assert.equal(reader.remaining, 3);
    }
  });

  it('refuses a count that a number cannot hold', () => {
    const reader = new ByteReader(Buffer.alloc(8, 0xff), 0, 8);
    assert.throws(() => reader.safeUint64(), ReadError);
  });

  it('keeps a part within the part', () => {
    const reader = new ByteReader(bytes, 0, bytes.length);
    const part = reader.sub(3);
    assert.equal(part.uint16(), 0x00ab);
    assert.throws(() => part.uint16(), ReadError);
    assert.equal(reader.position, 3);
  });
});
