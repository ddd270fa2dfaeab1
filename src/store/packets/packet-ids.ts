// The packet ids of persistent MQTT sessions: MQTT's packet store over a `Kv`. There are four changes to each QoS 2
// message, so ids are not records of their own: a page (packet-page.ts) holds 256 neighbours, and a batch writes each page
// that was changed once, as it is then. A window of 100 messages under way costs two small records a commit, not hundreds.
//
// The order of changes is kept beside the pages: whoever waits for one is told when the batch that took it is durable.
// Where a batch could not be written its pages are read again from disk, and what must be made all the same (whatever
// a session has answered for) is made again; no change carries what was before it.

import type { ConfirmRing } from '../../core/turn/confirms.ts';
import type { Participant } from '../committer.ts';
import { keyBehind, packetPageBounds, readU64 } from '../keys.ts';
import type { Kv, KvBatch, KvRecord } from '../kv/kv.ts';
import { DIRECTION, type Direction, FREE, type IdState, PAGE_IDS, PacketPage, pageNumber } from './packet-page.ts';
import { PACKET_STATE, type PacketWaiter, type StoredPacket } from './packet-state.ts';

/** Pages that stay in memory though nothing of them waits for the disk: 5 KB each at most, and read again when needed. */
export const CACHED_PAGES = 1_024;
/** Records that are read at once. */
const SLICE = 256;

/** One change of one id, and who waits for it. */
class Change {
  readonly page: PacketPage;
  readonly at: number;
  readonly state: IdState;
  readonly ring: ConfirmRing | null;
  readonly waiter: PacketWaiter | null;
  /** The slot of the ring, or the token of the waiter. */
  readonly token: number;

  constructor(
    page: PacketPage,
    at: number,
    state: IdState,
    ring: ConfirmRing | null,
    waiter: PacketWaiter | null,
    token: number,
  ) {
    this.page = page;
    this.at = at;
    this.state = state;
    this.ring = ring;
    this.waiter = waiter;
    this.token = token;
  }

  /** Whether it is made however long the disk is full: its session has answered for it. Such changes free space. */
  get insists(): boolean {
    return this.state === FREE || this.state === PACKET_STATE.released;
  }

  /** The id that it changes: one number of all sessions. */
  get id(): number {
    return this.page.number * PAGE_IDS + this.at;
  }
}

export class PacketIds implements Participant {
  private readonly kv: Kv;
  private readonly cachedPages: number;
  /** By number. All that are listed or in flight are here. */
  private readonly pages: Map<number, PacketPage>;
  /** Pages that were changed since the last batch, and those of the batch in flight. */
  private listed: PacketPage[];
  private written: PacketPage[];
  /** Changes since the last batch, and those of the batch in flight. */
  private pending: Change[];
  private committing: Change[];
  /** Whether somebody may wait for one of the pending changes. */
  private awaited: boolean;

  constructor(kv: Kv, cachedPages: number) {
    this.kv = kv;
    this.cachedPages = cachedPages;
    this.pages = new Map();
    this.listed = [];
    this.written = [];
    this.pending = [];
    this.committing = [];
    this.awaited = false;
  }

  *all(): Iterable<StoredPacket> {
    // What is in memory is newer than its record.
    const left = new Map(this.pages);
    for (const { key, value } of this.records(0, Number.MAX_SAFE_INTEGER)) {
      const number = numberOf(key);
      const page = left.get(number) ?? new PacketPage(number, key, value);
      left.delete(number);
      yield* page.packets();
    }
    for (const page of left.values()) yield* page.packets();
  }

  received(sessionId: number, packetId: number, ring: ConfirmRing, slot: number): void {
    ring.hold(slot);
    const page = this.pageOf(sessionId, DIRECTION.received, packetId);
    this.change(page, packetId, PACKET_STATE.received, ring, null, slot);
  }

  sent(sessionId: number, packetId: number, queueId: number, seq: number, waiter: PacketWaiter, token: number): void {
    const page = this.pageOf(sessionId, DIRECTION.sent, packetId);
    page.set(packetId % PAGE_IDS, PACKET_STATE.sent, queueId, seq);
    this.change(page, packetId, PACKET_STATE.sent, null, waiter, token);
  }

  released(sessionId: number, packetId: number, waiter: PacketWaiter, token: number): void {
    const page = this.pageOf(sessionId, DIRECTION.sent, packetId);
    this.change(page, packetId, PACKET_STATE.released, null, waiter, token);
  }

  forgetReceived(sessionId: number, packetId: number, waiter: PacketWaiter | null, token: number): void {
    this.change(this.pageOf(sessionId, DIRECTION.received, packetId), packetId, FREE, null, waiter, token);
  }

  forgetSent(sessionId: number, packetId: number): void {
    this.change(this.pageOf(sessionId, DIRECTION.sent, packetId), packetId, FREE, null, null, 0);
  }

  drop(sessionId: number): void {
    const numbers = new Set<number>();
    for (const { key } of this.records(sessionId, sessionId + 1)) numbers.add(numberOf(key));
    for (const page of this.pages.values()) if (page.sessionId === sessionId) numbers.add(page.number);
    for (const number of numbers) {
      const page = this.page(number);
      for (const { packetId } of [...page.packets()]) this.change(page, packetId, FREE, null, null, 0);
    }
  }

  // The part in commits.

  hasPending(): boolean {
    return this.pending.length > 0;
  }

  isDue(): boolean {
    return this.awaited && this.pending.length > 0;
  }

  gather(batch: KvBatch, whole: boolean, asked: boolean): void {
    const pages = this.listed;
    if (pages.length === 0) return;
    if (!whole) {
      this.gatherInsisting(batch);
      return;
    }
    // Completed deliveries alone are not worth a commit (`isDue`), which the next publish would have to wait for.
    if (batch.size === 0 && !this.awaited && !asked) return;
    this.awaited = false;
    for (let i = 0; i < pages.length; i++) {
      const page = pages[i]!;
      page.listed = false;
      write(page, page, batch);
    }
    this.written = pages;
    this.listed = [];
    this.committing = this.pending;
    this.pending = [];
  }

  committed(): void {
    const { written, committing } = this;
    if (written.length === 0) return;
    this.written = [];
    this.committing = [];
    for (let i = 0; i < written.length; i++) {
      const page = written[i]!;
      page.stored = page.storing;
      this.release(page);
    }
    for (let i = 0; i < committing.length; i++) answer(committing[i]!, true);
  }

  withdraw(): void {
    const { written, committing } = this;
    if (written.length === 0) return;
    this.written = [];
    this.committing = [];
    const changedAgain = new Set(this.pending.map(({ id }) => id));
    const onDisk = new Map(written.map((page) => [page, PacketPage.read(this.kv, page.number)]));
    // What the disk holds counts again, and of each id the last change that insists is made again.
    const insisting = new Map<number, Change>();
    for (const change of committing) {
      const { page, at, id } = change;
      if (!changedAgain.has(id)) page.copy(at, onDisk.get(page)!);
      if (!change.insists) continue;
      insisting.delete(id);
      insisting.set(id, change);
    }
    for (const { page, at, state, id } of insisting.values()) {
      if (!changedAgain.has(id)) page.set(at, state, 0, 0);
      this.list(page);
    }
    this.pending = [...insisting.values(), ...this.pending];
    this.awaited = true;
    for (const page of written) this.release(page);
    for (const change of committing) if (insisting.get(change.id) !== change) answer(change, false);
  }

  /** The changes that insist, written upon what the disk holds of their pages: the others wait. */
  private gatherInsisting(batch: KvBatch): void {
    const bases = new Map<PacketPage, PacketPage>();
    for (const change of this.pending) {
      if (!change.insists) continue;
      const { page, at, state } = change;
      let base = bases.get(page);
      if (base === undefined) bases.set(page, (base = PacketPage.read(this.kv, page.number)));
      base.set(at, state, 0, 0);
    }
    for (const [page, base] of bases) write(page, base, batch);
    this.written = [...bases.keys()];
    this.committing = this.pending.filter(({ insists }) => insists);
    this.pending = this.pending.filter(({ insists }) => !insists);
    for (const page of this.listed) page.listed = false;
    this.listed = [];
    for (const { page } of this.pending) this.list(page);
  }

  private change(
    page: PacketPage,
    packetId: number,
    state: IdState,
    ring: ConfirmRing | null,
    waiter: PacketWaiter | null,
    token: number,
  ): void {
    const at = packetId % PAGE_IDS;
    if (state !== PACKET_STATE.sent) page.set(at, state, 0, 0);
    this.pending.push(new Change(page, at, state, ring, waiter, token));
    if (ring !== null || waiter !== null) this.awaited = true;
    if (!page.listed) this.list(page);
  }

  private list(page: PacketPage): void {
    if (page.listed) return;
    page.listed = true;
    this.listed.push(page);
  }

  private pageOf(sessionId: number, direction: Direction, packetId: number): PacketPage {
    return this.page(pageNumber(sessionId, direction, packetId));
  }

  private page(number: number): PacketPage {
    const known = this.pages.get(number);
    if (known !== undefined) return known;
    const page = PacketPage.read(this.kv, number);
    this.pages.set(number, page);
    return page;
  }

  /** A page that was written, or could not be: it stays where there is room for it and something in it. */
  private release(page: PacketPage): void {
    if (page.listed) return;
    if (page.empty || this.pages.size > this.cachedPages) this.pages.delete(page.number);
  }

  /** The records of the sessions in [from, to). */
  private *records(from: number, to: number): Iterable<KvRecord> {
    let [start, end] = packetPageBounds(from, to);
    for (;;) {
      const slice = this.kv.range(start, end, SLICE);
      yield* slice;
      if (slice.length < SLICE) return;
      start = keyBehind(slice[slice.length - 1]!.key);
    }
  }
}

function numberOf(key: Buffer): number {
  return pageNumber(readU64(key, 1), key[9] as Direction, key[10]! * PAGE_IDS);
}

/** Writes a page as `content` says: itself, or another state of it. */
function write(page: PacketPage, content: PacketPage, batch: KvBatch): void {
  page.storing = !content.empty;
  if (page.storing) batch.put(page.key, content.encode());
  else if (page.stored) batch.remove(page.key);
}

function answer(change: Change, ok: boolean): void {
  const { ring, waiter, token } = change;
  if (ring !== null) {
    if (ok) ring.settle(token);
    else ring.refuse(token);
  } else if (waiter !== null) waiter.packetStored(token, ok);
}
