// Destinations by the bytes of their header, so that a publisher that goes through a thousand topics parses each once.
// Direct-mapped and of a fixed size: a collision costs a parse and nothing else. One for each version, because the same
// bytes mean different text where the version knows other escapes.

import { ownBytes } from '../../src/core/own-bytes.ts';
import { type Destination, parseDestination } from './destination.ts';
import type { Frame } from './frame.ts';
import type { StompVersion } from './version.ts';

const SLOTS = 4096;
/** Longer headers are parsed every time: they would pin memory. */
const MAX_KEY_BYTES = 256;

const NO_KEY = Buffer.alloc(0);

export class DestinationCache {
  readonly version: StompVersion;
  private readonly keys: Buffer[];
  private readonly values: (Destination | null)[];

  constructor(version: StompVersion) {
    this.version = version;
    this.keys = new Array(SLOTS).fill(NO_KEY);
    this.values = new Array(SLOTS).fill(null);
  }

  /** The destination of the frame, which has one. Throws StompError where it is none. */
  resolve(frame: Frame): Destination {
    const { buffer } = frame;
    const start = frame.start + frame.destinationStart;
    const end = frame.start + frame.destinationEnd;
    const length = end - start;
    if (length > MAX_KEY_BYTES) return parseDestination(frame.decode(start, end));
    let hash = 0x811c9dc5;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ buffer[at]!, 0x01000193);
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const key = this.keys[slot]!;
    if (key.length === length) {
      let i = 0;
      while (i < length && key[i] === buffer[start + i]) i++;
      const found = this.values[slot]!;
      if (i === length && found !== null) return found;
    }
    const destination = parseDestination(frame.decode(start, end));
    this.keys[slot] = ownBytes(buffer.subarray(start, end));
    this.values[slot] = destination;
    return destination;
  }
}
