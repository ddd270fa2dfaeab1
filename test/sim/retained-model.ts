// The simulation's model of retained messages: the versions of each routing key since the last start, and which of them
// may exist after a crash.

import assert from 'node:assert/strict';
import { NEVER } from '../../src/core/message/message.ts';
import type { ConfirmRing } from '../../src/core/turn/confirms.ts';
import { message, type Opened } from '../store/harness.ts';
import type { Random } from './random.ts';
import type { Copy, Published } from './store-world.ts';

interface Version {
  readonly published: Published;
  /** Null: no retained message. */
  readonly body: string | null;
  readonly expiresAt: number;
  /** The message that was published to a queue with it. */
  copy: Copy | null;
}

const KEYS = ['a', 'a.b', 'a.c', 'b', `long.${'l'.repeat(1_200)}`, `long.${'l'.repeat(1_201)}`];
const START = 1_700_000_000_123;

export class RetainedModel {
  private readonly random: Random;
  private now: number;
  private versions: Map<string, Version[]>;

  constructor(random: Random) {
    this.random = random;
    this.now = START;
    this.versions = new Map();
  }

  get options() {
    return { clock: { now: () => this.now } };
  }

  /** Sets or removes a retained message. */
  set({ retained }: Opened, published: Published, ring: ConfirmRing, slot: number): Version {
    const { random } = this;
    const routingKey = random.pick(KEYS)!;
    const body = random.chance(0.2) ? null : published.text;
    const expirationMs = random.chance(0.3) ? this.now - START + random.below(20) : NEVER;
    const expiresAt = expirationMs === NEVER ? Number.POSITIVE_INFINITY : START + expirationMs;
    retained.set('/', message(body ?? '', { routingKey, expirationMs }), ring, slot);
    const version = { published, body, expiresAt, copy: null };
    this.versionsOf(routingKey).push(version);
    return version;
  }

  /** Advances the time and removes expired messages. */
  expire({ retained }: Opened): void {
    this.now += this.random.below(15);
    retained.expire();
  }

  /** Checks, when all is committed, that the last version not refused is found. */
  async check(opened: Opened): Promise<void> {
    const found = await opened.found('#');
    for (const routingKey of KEYS) {
      const last = this.versionsOf(routingKey).findLast(({ published }) => !published.refused);
      const expected = last === undefined ? null : this.seen(last);
      assert.equal(found.get(routingKey)?.bodyBytes().toString() ?? null, expected, `retained under ${routingKey}`);
    }
    assert.deepEqual(
      new Set((await opened.found('a.+')).keys()),
      new Set(['a.b', 'a.c'].filter((key) => found.has(key))),
    );
  }

  /** Checks the state after a crash. `there` tells whether a copy is in its queue. */
  async recover(opened: Opened, there: (copy: Copy) => boolean): Promise<void> {
    const found = await opened.found('#');
    for (const routingKey of KEYS) {
      const versions = this.versionsOf(routingKey);
      const body = found.get(routingKey)?.bodyBytes().toString() ?? null;
      const confirmed = versions.findLastIndex(({ published }) => published.confirmed);
      const possible = versions.slice(Math.max(confirmed, 0)).filter(({ published }) => !published.refused);
      const bodies = possible.map((version) => this.seen(version));
      if (confirmed === -1) bodies.push(null);
      assert.ok(bodies.includes(body), `retained under ${routingKey}: ${body} is none of ${bodies.join(', ')}`);
      const at = versions.findIndex((version) => version.body === body && body !== null);
      if (at !== -1) this.checkTogether(versions, at, there);
      const version = versions[at];
      const published = { text: body ?? '', persistent: true, confirmed: true, refused: false };
      const expiresAt = version?.expiresAt ?? Number.POSITIVE_INFINITY;
      this.versions.set(routingKey, [{ published, body, expiresAt, copy: null }]);
    }
  }

  /** A message and its retained copy are on disk together, or neither is. */
  private checkTogether(versions: readonly Version[], at: number, there: (copy: Copy) => boolean): void {
    const { copy } = versions[at]!;
    if (copy !== null && !copy.acked) assert.ok(there(copy), 'a message is retained and was lost');
    for (const later of versions.slice(at + 1)) {
      if (later.copy === null || later.body === null) continue;
      assert.ok(!there(later.copy), 'a message is there and was not retained');
    }
  }

  private seen({ body, expiresAt }: Version): string | null {
    return expiresAt <= this.now ? null : body;
  }

  private versionsOf(routingKey: string): Version[] {
    const known = this.versions.get(routingKey);
    if (known !== undefined) return known;
    const versions: Version[] = [];
    this.versions.set(routingKey, versions);
    return versions;
  }
}
