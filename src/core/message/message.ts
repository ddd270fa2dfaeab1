// A message: routing fields, body and native properties. Immutable once routed, and shared by every queue that it goes
// to. Its bytes may point into a socket's chunk until the turn ends. Then the bytes of messages that stay are copied
// into memory of our own (message-slabs.ts), so that a small message never pins a large chunk.

import type { Properties, PropertyCodec } from './properties.ts';

const NO_BYTES = Buffer.alloc(0);

/** The publisher gave no `expiration`. */
export const NEVER = -1;

/** The fields in which a copy differs from the original. */
export interface MessageChanges {
  readonly exchange?: string;
  readonly routingKey?: string;
  /** All bytes of a buffer, in the form that the copy's codec reads. */
  readonly native?: Buffer;
  readonly codec?: PropertyCodec;
  readonly persistent?: boolean;
  readonly expirationMs?: number;
}

const UNCHANGED: MessageChanges = Object.freeze({});

export class Message {
  readonly exchange: string;
  readonly routingKey: string;
  body: Buffer;
  bodyOffset: number;
  readonly bodyLength: number;
  /** Properties as they arrived, in the form that `codec` reads. */
  native: Buffer;
  nativeOffset: number;
  readonly nativeLength: number;
  readonly codec: PropertyCodec;
  readonly persistent: boolean;
  /** 0 to 255; 0 if the publisher gave none. */
  readonly priority: number;
  /** The publisher's expiration in milliseconds, or NEVER. */
  readonly expirationMs: number;
  /** When the broker received it, milliseconds since the epoch. */
  readonly receivedAt: number;
  /** Whether body and native bytes are in memory of our own rather than in a socket's chunk. */
  owned: boolean;
  /** Whether the turn has it on its list of messages that get their own memory. */
  retained: boolean;
  /**
   * A slot in which a front-end caches the encoded frame that it sends to many receivers, so that a fan-out encodes
   * once. `wireKind` identifies the form of the frame (0: none); front-ends have distinct ranges.
   */
  wire: Buffer;
  wireKind: number;
  private common: Properties | null;

  constructor(
    exchange: string,
    routingKey: string,
    body: Buffer,
    bodyOffset: number,
    bodyLength: number,
    native: Buffer,
    nativeOffset: number,
    nativeLength: number,
    codec: PropertyCodec,
    persistent: boolean,
    priority: number,
    expirationMs: number,
    receivedAt: number,
  ) {
    this.exchange = exchange;
    this.routingKey = routingKey;
    this.body = body;
    this.bodyOffset = bodyOffset;
    this.bodyLength = bodyLength;
    this.native = native;
    this.nativeOffset = nativeOffset;
    this.nativeLength = nativeLength;
    this.codec = codec;
    this.persistent = persistent;
    this.priority = priority;
    this.expirationMs = expirationMs;
    this.receivedAt = receivedAt;
    this.owned = false;
    this.retained = false;
    this.wire = NO_BYTES;
    this.wireKind = 0;
    this.common = null;
  }

  /** The common form, decoded on first need and then cached. */
  properties(): Properties {
    if (this.common === null) this.common = this.codec.decode(this.native, this.nativeOffset, this.nativeLength);
    return this.common;
  }

  /**
   * A copy that differs in `changes`; the body's bytes are shared. For messages that the broker changes, not for every
   * publish.
   */
  copy(changes: MessageChanges): Message {
    const { native, codec, exchange, routingKey, persistent, expirationMs } = changes;
    const copy = new Message(
      exchange ?? this.exchange,
      routingKey ?? this.routingKey,
      this.body,
      this.bodyOffset,
      this.bodyLength,
      native ?? this.native,
      native === undefined ? this.nativeOffset : 0,
      native === undefined ? this.nativeLength : native.length,
      codec ?? this.codec,
      persistent ?? this.persistent,
      this.priority,
      expirationMs ?? this.expirationMs,
      this.receivedAt,
    );
    // A copy with its own properties gets memory of its own if it stays: its body must not pin the original's.
    copy.owned = this.owned && native === undefined;
    return copy;
  }

  /** A copy without bytes, for a message that can be read back from disk. */
  shell(): Message {
    const shell = this.copy(UNCHANGED);
    shell.body = NO_BYTES;
    shell.bodyOffset = 0;
    shell.native = NO_BYTES;
    shell.nativeOffset = 0;
    shell.owned = true;
    shell.retained = true;
    return shell;
  }

  /** A view of the body. Allocates; not for the hot path. */
  bodyBytes(): Buffer {
    return this.body.subarray(this.bodyOffset, this.bodyOffset + this.bodyLength);
  }
}
