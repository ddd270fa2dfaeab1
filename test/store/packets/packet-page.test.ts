// A page of packet ids and its record: the record of any set of ids decodes to the same page, and invalid records are
// refused. The test also bounds the size of a record, because a commit writes the whole record.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DamagedDataError } from '../../../src/store/kv/kv.ts';
import { DIRECTION, FREE, PacketPage, pageNumber } from '../../../src/store/packets/packet-page.ts';
import { PACKET_STATE, PACKET_STATE_NAME, type PacketState } from '../../../src/store/packets/packet-state.ts';

const SESSION = 2 ** 33 + 5;
const NUMBER = pageNumber(SESSION, DIRECTION.sent, 0x12ff);

function pageOf(record: Buffer | null): PacketPage {
  return new PacketPage(NUMBER, Buffer.alloc(0), record);
}

/** A page of sent ids, by low byte. */
function sent(entries: readonly (readonly [at: number, queueId: number, seq: number])[]): PacketPage {
  const page = pageOf(null);
  for (const [at, queueId, seq] of entries) page.set(at, PACKET_STATE.sent, queueId, seq);
  return page;
}

function bytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(/[ |]/g, ''), 'hex');
}

describe('a page of packet ids', () => {
  test('has the last state of each id', () => {
    const change = fc.record({
      at: fc.nat(255),
      state: fc.constantFrom(FREE, ...Object.values(PACKET_STATE)),
      queueId: fc.constantFrom(1, 2, 2 ** 40),
      // Often the successor of the previous one.
      seq: fc.oneof(fc.nat(300), fc.constant(2 ** 50)),
    });
    const run = fc.record({ at: fc.nat(255), length: fc.integer({ min: 1, max: 256 }), seq: fc.nat(1_000) });
    fc.assert(
      fc.property(fc.array(run, { maxLength: 3 }), fc.array(change, { maxLength: 40 }), (runs, changes) => {
        const page = pageOf(null);
        const model = new Map<number, string>();
        const set = (at: number, state: PacketState | typeof FREE, queueId: number, seq: number): void => {
          page.set(at, state, queueId, seq);
          if (state === FREE) model.delete(at);
          else
            model.set(at, state === PACKET_STATE.sent ? `sent ${queueId} ${seq}` : `${PACKET_STATE_NAME[state]} 0 0`);
        };
        for (const { at, length, seq } of runs) {
          for (let i = 0; i < length && at + i < 256; i++) set(at + i, PACKET_STATE.sent, 7, seq + i);
        }
        for (const { at, state, queueId, seq } of changes) set(at, state, queueId, seq);
        assert.equal(page.empty, model.size === 0);
        if (page.empty) return;
        const record = page.encode();
        assert.ok(record.length <= 1 + 256 * 19, `${record.length} bytes`);
        for (const each of [page, pageOf(record)]) {
          const found = [...each.packets()].map(({ sessionId, packetId, state, queueId, seq }) => {
            assert.deepEqual([sessionId, packetId >> 8], [SESSION, 0x12]);
            return [packetId & 0xff, `${state} ${queueId} ${seq}`] as const;
          });
          assert.deepEqual(
            found,
            [...model].sort(([a], [b]) => a - b),
          );
        }
      }),
    );
  });

  test('has a size proportional to its runs', () => {
    const neighbours = Array.from({ length: 256 }, (_, at) => [at, 3, 1_000 + at] as const);
    assert.deepEqual(sent(neighbours).encode(), bytes('01 | 00 ff 02 | 0000000000000003 00000000000003e8'));
    const page = sent([
      [0, 3, 7],
      [1, 4, 8],
    ]);
    page.set(254, PACKET_STATE.released, 0, 0);
    page.set(255, PACKET_STATE.released, 0, 0);
    assert.deepEqual(
      page.encode(),
      bytes('01 | 00 00 02 0000000000000003 0000000000000007 | 01 01 02 0000000000000004 0000000000000008 | fe ff 03'),
    );
  });

  for (const [what, record] of [
    ['nothing', ''],
    ['no run', '01'],
    ['another format', '02 | 00 00 01'],
    ['a state of no meaning', '01 | 00 00 04'],
    ['a free run', '01 | 00 00 00'],
    ['a run that ends before it begins', '01 | 02 01 01'],
    ['runs out of order', '01 | 02 02 01 | 01 01 01'],
    ['an entry that is cut', '01 | 00 00 02 | 0000000000000003 00000000000003'],
    ['something behind it', '01 | 00 00 01 | 01'],
  ] as const) {
    test(`is refused where its record holds ${what}`, () => {
      assert.throws(
        () => pageOf(bytes(record)),
        new DamagedDataError(`packet ids of session ${SESSION} have an unknown form`),
      );
    });
  }
});
