// Finds the kept keys that a topic filter selects, by scanning them in order and skipping what cannot match: where a
// literal word lies ahead, to that word; where it lies behind, to the next word that the wildcard before it may take.
// `a/+/c` costs two seeks for each word below `a`, whatever lies below those words (docs/decisions/ has the numbers).
//
// A key that is cut holds only the beginning of its words: it is handed out unless its virtual host ends before it, and
// whoever reads its record compares the whole.

import { MULTI, type PatternWord, SINGLE, startsWild } from '../../core/message/topic-pattern.ts';
import { isCut, keptBound, keyBehind } from '../keys.ts';
import type { Kv } from '../kv/kv.ts';

/** Keys that are read at once: few where the search skips, many where it walks. */
const FEWEST = 4;
const MOST = 256;

const DOLLAR = 0x24;
const SEPARATOR = 0;
/** The smallest byte behind the separator: ends all that lies below a word. */
const BEHIND = 1;
/** Behind every key with the same beginning: words have no such byte, cut keys have one and a hash of 32. */
const LAST = Buffer.alloc(34, 0xff);
const BEHIND_BYTE = Buffer.from([BEHIND]);
const SEPARATOR_BYTE = Buffer.from([SEPARATOR]);

export class RetainedSearch {
  private readonly kv: Kv;
  private readonly prefix: Buffer;
  /** Literal words as bytes. */
  private readonly words: readonly (Buffer | typeof SINGLE | typeof MULTI)[];
  private readonly wild: boolean;
  private readonly end: Buffer;
  /** Where the search goes on, or null where it is over. */
  private from: Buffer | null;
  private slice: Buffer[];
  private at: number;
  private most: number;

  /** `behind`: the key behind which it begins, or null. */
  constructor(kv: Kv, prefix: Buffer, filter: readonly PatternWord[], behind: Buffer | null) {
    this.kv = kv;
    this.prefix = prefix;
    this.words = filter.map((word) => (typeof word === 'string' ? Buffer.from(word, 'utf8') : word));
    this.wild = startsWild(filter);
    const head = literalHead(this.words);
    const bound = keptBound(prefix, head);
    // All that begins with the literal words, cut keys among them.
    this.end = Buffer.concat([bound, LAST]);
    this.from = behind === null || behind.compare(bound) < 0 ? bound : keyBehind(behind);
    if (this.from.compare(this.end) >= 0) this.from = null;
    this.slice = [];
    this.at = 0;
    this.most = FEWEST;
  }

  get done(): boolean {
    return this.from === null;
  }

  /** Everything before this key was looked at; null: everything. */
  get position(): Buffer | null {
    return this.from;
  }

  /** Looks at `looks` keys at most and adds those that match to `found`, up to `limit`. */
  next(looks: number, limit: number, found: Buffer[]): void {
    for (let left = looks; left > 0 && found.length < limit && this.from !== null; left--) {
      const key = this.seek(this.from);
      if (key === null) this.from = null;
      else if (this.matches(key)) found.push(key);
    }
  }

  /** The first key at or behind `from`. */
  private seek(from: Buffer): Buffer | null {
    const { slice } = this;
    const before = this.at;
    while (this.at < slice.length && slice[this.at]!.compare(from) < 0) this.at++;
    if (this.at < slice.length) return slice[this.at]!;
    if (slice.length > 0 && slice.length < this.most) {
      // It was the last one, unless keys came meanwhile; those are no business of this search.
      return null;
    }
    // Walked through: more at once. Skipped over: fewer.
    this.most = this.at - before > 1 ? FEWEST : Math.min(this.most * 2, MOST);
    this.slice = this.kv.keys(from, this.end, this.most);
    this.at = 0;
    return this.slice[0] ?? null;
  }

  /** Whether a key matches. Moves `from` to where the next one may be. */
  private matches(key: Buffer): boolean {
    const { prefix, words } = this;
    if (this.wild && key[prefix.length] === DOLLAR) {
      this.from = Buffer.concat([prefix, Buffer.from([DOLLAR + 1])]);
      return false;
    }
    if (isCut(key, prefix)) {
      this.from = keyBehind(key);
      return true;
    }
    let start = prefix.length;
    /** Where the last word that a wildcard took ends. */
    let free = -1;
    for (let i = 0; i < words.length; i++) {
      const word = words[i]!;
      if (word === MULTI) {
        this.from = keyBehind(key);
        return true;
      }
      if (start > key.length) {
        this.from = keyBehind(key);
        return false;
      }
      const separator = key.indexOf(SEPARATOR, start);
      const end = separator === -1 ? key.length : separator;
      if (word === SINGLE) free = end;
      else {
        const order = key.compare(word, 0, word.length, start, end);
        if (order < 0) {
          this.skipTo(key, Buffer.concat([key.subarray(prefix.length, start), word]));
          return false;
        }
        if (order > 0) {
          this.skipBehind(key, free);
          return false;
        }
      }
      start = end + 1;
    }
    this.skipBehind(key, free);
    return start > key.length;
  }

  private skipTo(key: Buffer, words: Buffer): void {
    const bound = keptBound(this.prefix, words);
    this.from = bound.compare(key) > 0 ? bound : keyBehind(key);
  }

  /** Past all that lies below the word that ends at `free`; there is none where no wildcard took a word. */
  private skipBehind(key: Buffer, free: number): void {
    this.from = free === -1 ? null : Buffer.concat([key.subarray(0, free), BEHIND_BYTE]);
  }
}

/** The literal words before the first wildcard, as they stand in a key. */
function literalHead(words: readonly (Buffer | symbol)[]): Buffer {
  const head: Buffer[] = [];
  for (const word of words) {
    if (typeof word === 'symbol') break;
    if (head.length > 0) head.push(SEPARATOR_BYTE);
    head.push(word);
  }
  return Buffer.concat(head);
}
