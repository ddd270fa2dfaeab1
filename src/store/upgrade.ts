// Brings data of schema version 1 to version 2, before anything else looks at it. Version 1 kept each packet id in a record
// of its own, under kind `packet`; they are folded into pages (packet-page.ts), a slice of them in each transaction. The
// first one says version 2, so that no broker of version 1 ever opens what it would misread; what a crash leaves of the old
// records is folded in by the next start.
//
//   received  01
//   sent      02 | queue u64 | seq u64
//   released  03

import { SCHEMA_VERSION } from './header.ts';
import { HEADER, headerKey, packetBounds, readU64, u64 } from './keys.ts';
import { DamagedDataError, type Kv, KvBatch, type KvRecord } from './kv/kv.ts';
import { type Direction, PAGE_IDS, PacketPage, pageNumber } from './packets/packet-page.ts';
import { PACKET_STATE, type PacketState } from './packets/packet-state.ts';

const SENT_BYTES = 17;
/** Records that one transaction folds in. */
const SLICE = 4_096;

/** Rejects with what `Kv.commit` rejects with, or DamagedDataError. Data of other versions is not touched. */
export async function upgrade(kv: Kv): Promise<void> {
  const schema = kv.get(headerKey(HEADER.schema));
  if (schema === null) return;
  let version = readU64(schema, 0);
  if (version !== 1 && version !== SCHEMA_VERSION) return;
  const [from, to] = packetBounds();
  for (;;) {
    const slice = kv.range(from, to, SLICE);
    if (slice.length === 0 && version === SCHEMA_VERSION) return;
    const batch = new KvBatch();
    batch.put(headerKey(HEADER.schema), u64(SCHEMA_VERSION));
    fold(kv, slice, batch);
    await kv.commit(batch);
    version = SCHEMA_VERSION;
  }
}

function fold(kv: Kv, slice: readonly KvRecord[], batch: KvBatch): void {
  const pages = new Map<number, PacketPage>();
  for (const { key, value } of slice) {
    const packetId = key.readUInt16BE(10);
    const number = pageNumber(readU64(key, 1), key[9] as Direction, packetId);
    let page = pages.get(number);
    if (page === undefined) pages.set(number, (page = PacketPage.read(kv, number)));
    const state = value[0] as PacketState;
    const sent = state === PACKET_STATE.sent;
    if (value.length !== (sent ? SENT_BYTES : 1) || state < PACKET_STATE.received || state > PACKET_STATE.released) {
      throw new DamagedDataError(`packet id ${packetId} of session ${page.sessionId} has an unknown form`);
    }
    page.set(packetId % PAGE_IDS, state, sent ? readU64(value, 1) : 0, sent ? readU64(value, 9) : 0);
    batch.remove(key);
  }
  for (const page of pages.values()) batch.put(page.key, page.encode());
}
