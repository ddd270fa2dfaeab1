// Parsed destinations by the bytes of their header, so that a publisher that uses a thousand topics parses each once.
// One cache for each version, because versions have different escapes.

import { ByteCache } from '../../src/core/message/byte-cache.ts';
import { type Destination, parseDestination } from './destination.ts';
import type { Frame } from './frame.ts';
import type { StompVersion } from './version.ts';

/** Cached destinations. */
const SLOTS = 4096;
/** Longer headers are parsed every time. */
const MAX_KEY_BYTES = 256;

export class DestinationCache {
  readonly version: StompVersion;
  private readonly known: ByteCache<Destination>;

  constructor(version: StompVersion) {
    this.version = version;
    this.known = new ByteCache(SLOTS, MAX_KEY_BYTES);
  }

  /** The destination of a frame that has one. Throws StompError if it is invalid. */
  resolve(frame: Frame): Destination {
    const { buffer } = frame;
    const start = frame.start + frame.destinationStart;
    const length = frame.destinationEnd - frame.destinationStart;
    const known = this.known.get(buffer, start, length);
    if (known !== null) return known;
    const destination = parseDestination(frame.decode(start, start + length));
    this.known.keep(buffer, start, length, destination);
    return destination;
  }
}
