// The header block of a connection's last SEND, with holes where `content-length`, `receipt` and `destination` have
// their values. Publishers repeat themselves: recognising the block byte for byte saves splitting it into lines.
// The frame parser owns one; a block that it did not learn (long ones, ones with CR or repeated names) never matches.

/** Longer blocks are not worth remembering. */
const MAX_BYTES = 1024;

const LF = 0x0a;
const CR = 0x0d;
const BACKSLASH = 0x5c;
const HOLE = { destination: 0, receipt: 1, contentLength: 2 } as const;
type Hole = (typeof HOLE)[keyof typeof HOLE];

export class SendTemplate {
  /** 0: nothing learned. */
  length: number;
  /** Results of the last match, relative to the frame's start; −1 where the block has no such header. */
  sameDestination: boolean;
  destinationStart: number;
  destinationEnd: number;
  receiptStart: number;
  receiptEnd: number;
  contentLength: number;
  private bytes: Buffer;
  private holes: number;
  private readonly kinds: Hole[];
  private readonly starts: number[];
  private readonly ends: number[];

  constructor() {
    this.length = 0;
    this.sameDestination = false;
    this.destinationStart = -1;
    this.destinationEnd = -1;
    this.receiptStart = -1;
    this.receiptEnd = -1;
    this.contentLength = -1;
    this.bytes = Buffer.alloc(0);
    this.holes = 0;
    this.kinds = [HOLE.destination, HOLE.destination, HOLE.destination];
    this.starts = [0, 0, 0];
    this.ends = [0, 0, 0];
  }

  /** Remembers block[start, end), from the S of SEND to the empty line. Offsets of values are relative to start. */
  learn(
    block: Buffer,
    start: number,
    end: number,
    destinationStart: number,
    destinationEnd: number,
    receiptStart: number,
    receiptEnd: number,
    lengthStart: number,
    lengthEnd: number,
  ): void {
    const length = end - start;
    this.length = 0;
    if (length > MAX_BYTES) return;
    if (this.bytes.length < length) this.bytes = Buffer.allocUnsafeSlow(Math.min(MAX_BYTES, length * 2));
    const bytes = this.bytes;
    for (let i = 0; i < length; i++) {
      const byte = block[start + i]!;
      if (byte === CR) return;
      bytes[i] = byte;
    }
    this.holes = 0;
    if (destinationStart >= 0) this.hole(HOLE.destination, destinationStart, destinationEnd);
    if (receiptStart >= 0) this.hole(HOLE.receipt, receiptStart, receiptEnd);
    if (lengthStart >= 0) this.hole(HOLE.contentLength, lengthStart, lengthEnd);
    this.length = length;
  }

  /** Where the body starts if buffer[at, end) begins with this block, else −1 (also where too few bytes are there). */
  match(buffer: Buffer, at: number, end: number): number {
    const { bytes, holes } = this;
    let p = at;
    let t = 0;
    this.destinationStart = -1;
    this.receiptStart = -1;
    this.contentLength = -1;
    for (let h = 0; h <= holes; h++) {
      const stop = h < holes ? this.starts[h]! : this.length;
      if (end - p < stop - t) return -1;
      while (t < stop) if (buffer[p++] !== bytes[t++]) return -1;
      if (h === holes) break;
      const kind = this.kinds[h]!;
      const holeEnd = this.ends[h]!;
      const from = p;
      if (kind === HOLE.contentLength) {
        let value = 0;
        let byte = 0;
        while (p < end && (byte = buffer[p]!) !== LF) {
          if (byte < 0x30 || byte > 0x39) return -1;
          value = value * 10 + byte - 0x30;
          p++;
        }
        if (p === from || p - from > 15) return -1;
        this.contentLength = value;
      } else {
        // Usually the same value again: compare first, and look for its end only where it differs.
        while (t < holeEnd && p < end && buffer[p] === bytes[t]) {
          p++;
          t++;
        }
        const same = t === holeEnd && p < end && buffer[p] === LF;
        if (!same) {
          let byte = 0;
          while (p < end && (byte = buffer[p]!) !== LF) {
            // An escape has to be looked at.
            if (byte === 0 || byte === CR || byte === BACKSLASH) return -1;
            p++;
          }
        }
        if (kind === HOLE.destination) {
          this.sameDestination = same;
          this.destinationStart = from - at;
          this.destinationEnd = p - at;
        } else {
          this.receiptStart = from - at;
          this.receiptEnd = p - at;
        }
      }
      if (p === end) return -1;
      t = holeEnd;
    }
    return p;
  }

  /** Holes stay in the order of their offsets. */
  private hole(kind: Hole, start: number, end: number): void {
    let i = this.holes++;
    while (i > 0 && this.starts[i - 1]! > start) {
      this.kinds[i] = this.kinds[i - 1]!;
      this.starts[i] = this.starts[i - 1]!;
      this.ends[i] = this.ends[i - 1]!;
      i--;
    }
    this.kinds[i] = kind;
    this.starts[i] = start;
    this.ends[i] = end;
  }
}
