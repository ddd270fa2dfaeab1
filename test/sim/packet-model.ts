// The packet ids of a simulated run: the state of each in a naive map, which changes were reported durable, and which
// message came with each. store-world.ts drives it.

import assert from 'node:assert/strict';
import type { ConfirmRing } from '../../src/core/turn/confirms.ts';
import type { PacketWaiter } from '../../src/store/packets/packet-state.ts';
import type { Opened } from '../store/harness.ts';
import type { Random } from './random.ts';
import type { Copy, Published } from './store-world.ts';

const SESSIONS = 3;
/** Ids from two pages: the simulated store keeps only one in memory. */
const IDS = [1, 2, 3, 300];

/** The states of an id in order; null: free. */
interface Version {
  readonly value: string | null;
  durable: boolean;
  refused: boolean;
  /** The publish that arrived with it, and its position. */
  readonly published: Published | null;
  readonly copy: Copy | null;
}

export class PacketModel implements PacketWaiter {
  private readonly random: Random;
  /** By session, direction and id: the last durable version and all later ones. */
  private readonly versions: Map<string, Version[]>;
  private readonly waiting: Map<number, Version>;
  private token: number;

  constructor(random: Random) {
    this.random = random;
    this.versions = new Map();
    this.waiting = new Map();
    this.token = 0;
  }

  packetStored(token: number, ok: boolean): void {
    const version = this.waiting.get(token);
    // A waiter of an earlier start gets no answer.
    if (version === undefined) return;
    this.waiting.delete(token);
    if (ok) version.durable = true;
    else version.refused = true;
  }

  receive({ store }: Opened, published: Published, copy: Copy, ring: ConfirmRing, slot: number): void {
    const [session, id] = this.pick();
    this.made(`${session} in ${id}`, 'received', published, copy);
    store.packets.received(session, id, ring, slot);
  }

  change({ store }: Opened): void {
    const { packets } = store;
    const { random } = this;
    const [session, id] = this.pick();
    const key = `${session} out ${id}`;
    switch (random.below(5)) {
      case 0: {
        const seq = ++this.token;
        this.waiting.set(seq, this.made(key, `sent 7 ${seq}`));
        packets.sent(session, id, 7, seq, this, seq);
        break;
      }
      case 1: {
        const token = ++this.token;
        this.waiting.set(token, this.made(key, 'released'));
        packets.released(session, id, this, token);
        break;
      }
      case 2:
        this.made(key, null);
        packets.forgetSent(session, id);
        break;
      case 3: {
        const token = ++this.token;
        this.waiting.set(token, this.made(`${session} in ${id}`, null));
        packets.forgetReceived(session, id, this, token);
        break;
      }
      default:
        if (!random.chance(0.2)) return;
        for (const known of this.versions.keys()) if (known.startsWith(`${session} `)) this.made(known, null);
        packets.drop(session);
    }
  }

  /** Checks that all changes that were not refused are stored. */
  check(opened: Opened): void {
    const found = foundIn(opened);
    for (const [key, versions] of this.versions) {
      const last = versions.findLast((version) => !isRefused(version));
      assert.equal(found.get(key) ?? null, last?.value ?? null, `packet id ${key}`);
    }
  }

  /** Checks the state after a crash; `there` tells whether a message survived. */
  recover(opened: Opened, there: (copy: Copy) => boolean): void {
    const found = foundIn(opened);
    for (const [key, versions] of this.versions) {
      const value = found.get(key) ?? null;
      const durable = versions.findLastIndex((version) => version.durable || version.published?.confirmed === true);
      const possible = versions.slice(Math.max(durable, 0)).filter((version) => !isRefused(version));
      const start = durable === -1 ? [null] : [];
      const values = [...start, ...possible.map((version) => version.value)];
      assert.ok(values.includes(value), `packet id ${key} is '${value}' and none of '${values.join("', '")}'`);
      const last = possible.at(-1);
      if (
        last !== undefined &&
        last.copy !== null &&
        !last.copy.acked &&
        values.slice(0, -1).every((v) => v === null)
      ) {
        assert.equal(value !== null, there(last.copy), `packet id ${key} without its message, or the other way round`);
      }
      this.versions.set(key, [{ value, durable: true, refused: false, published: null, copy: null }]);
    }
    this.waiting.clear();
  }

  private made(
    key: string,
    value: string | null,
    published: Published | null = null,
    copy: Copy | null = null,
  ): Version {
    const version = { value, durable: false, refused: false, published, copy };
    const versions = this.versions.get(key);
    if (versions === undefined) this.versions.set(key, [version]);
    else versions.push(version);
    return version;
  }

  private pick(): [session: number, id: number] {
    return [1 + this.random.below(SESSIONS), this.random.pick(IDS)!];
  }
}

function isRefused({ refused, published }: Version): boolean {
  return refused || published?.refused === true;
}

function foundIn({ store }: Opened): Map<string, string> {
  const found = new Map<string, string>();
  for (const { sessionId, packetId, state, queueId, seq } of store.packets.all()) {
    const key = `${sessionId} ${state === 'received' ? 'in' : 'out'} ${packetId}`;
    assert.ok(!found.has(key), `packet id ${key} is there twice`);
    found.set(key, state === 'sent' ? `sent ${queueId} ${seq}` : state);
  }
  return found;
}
