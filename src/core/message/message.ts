// A message: routing fields, body and native properties. Immutable once routed and shared by every queue that it goes
// to. The bytes may point into a socket's chunk while the turn lasts; what is kept past the turn is moved into memory
// of our own by `own` (turn.ts calls it), so that a small message never pins a large chunk.

import type { Properties, PropertyCodec } from './properties.ts';

const NO_BYTES = Buffer.alloc(0);

/** No `expiration` was given by the publisher. */
export const NEVER = -1;

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
  /** 0 to 255; 0 where the publisher gave none. */
  readonly priority: number;
  /** Milliseconds that the publisher allows, or NEVER. */
  readonly expirationMs: number;
  /** When the broker received it, milliseconds since the epoch. */
  readonly receivedAt: number;
  /** Whether body and native bytes are in memory of our own rather than in a socket's chunk. */
  owned: boolean;
  /** Whether the turn has it on its list of messages to own. */
  retained: boolean;
  /**
   * One slot in which a front-end keeps the encoded frame that it sends to many receivers, so that a fan-out encodes
   * once. `wireKind` says whose and which form it is (0: none); the front-ends own distinct ranges.
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

  /** The common form, decoded on first need and then kept. */
  properties(): Properties {
    if (this.common === null) this.common = this.codec.decode(this.native, this.nativeOffset, this.nativeLength);
    return this.common;
  }

  /** The same message without its bytes: what stays in memory of one that can be read back from disk. */
  shell(): Message {
    const { exchange, routingKey, bodyLength, nativeLength, codec, persistent, priority } = this;
    const shell = new Message(
      exchange,
      routingKey,
      NO_BYTES,
      0,
      bodyLength,
      NO_BYTES,
      0,
      nativeLength,
      codec,
      persistent,
      priority,
      this.expirationMs,
      this.receivedAt,
    );
    shell.owned = true;
    shell.retained = true;
    return shell;
  }

  /** The same body under other names and with other properties. Without an expiration: it was a matter of a queue's. */
  rewritten(exchange: string, routingKey: string, native: Buffer, codec: PropertyCodec): Message {
    const { body, bodyOffset, bodyLength, persistent, priority, receivedAt } = this;
    return new Message(
      exchange,
      routingKey,
      body,
      bodyOffset,
      bodyLength,
      native,
      0,
      native.length,
      codec,
      persistent,
      priority,
      NEVER,
      receivedAt,
    );
  }

  /** The same message as one that survives a restart, whatever its publisher said. */
  madePersistent(): Message {
    const { body, bodyOffset, bodyLength, native, nativeOffset, nativeLength, codec, priority } = this;
    const result = new Message(
      this.exchange,
      this.routingKey,
      body,
      bodyOffset,
      bodyLength,
      native,
      nativeOffset,
      nativeLength,
      codec,
      true,
      priority,
      this.expirationMs,
      this.receivedAt,
    );
    result.owned = this.owned;
    return result;
  }

  /** The same message as if it had been published with another key: to be routed, not to be kept. */
  withRoutingKey(routingKey: string): Message {
    return this.addressedTo(this.exchange, routingKey);
  }

  /** The same message as if it had been published elsewhere. */
  addressedTo(exchange: string, routingKey: string): Message {
    const { body, bodyOffset, bodyLength, native, nativeOffset, nativeLength, codec } = this;
    const message = new Message(
      exchange,
      routingKey,
      body,
      bodyOffset,
      bodyLength,
      native,
      nativeOffset,
      nativeLength,
      codec,
      this.persistent,
      this.priority,
      this.expirationMs,
      this.receivedAt,
    );
    message.owned = this.owned;
    return message;
  }

  /** A view of the body. Allocates; for rare paths and tests, not for delivery. */
  bodyBytes(): Buffer {
    return this.body.subarray(this.bodyOffset, this.bodyOffset + this.bodyLength);
  }
}
