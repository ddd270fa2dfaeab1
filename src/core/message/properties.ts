// The common form of a message's properties: AMQP basic properties plus a header table, which is the superset of the
// three protocols. It is decoded from a message's native bytes only when needed.

import { EMPTY_TABLE, type FieldTable } from './field-table.ts';

/** Absent is null. Units and meanings are those of AMQP 0-9-1 class basic, §1.8. */
export interface Properties {
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  readonly headers: FieldTable;
  /** 1 transient, 2 persistent. */
  readonly deliveryMode: number | null;
  readonly priority: number | null;
  readonly correlationId: string | null;
  readonly replyTo: string | null;
  /** Milliseconds as decimal text, as AMQP carries it. */
  readonly expiration: string | null;
  readonly messageId: string | null;
  /** Seconds since the epoch (u64). */
  readonly timestamp: bigint | null;
  readonly type: string | null;
  readonly userId: string | null;
  readonly appId: string | null;
  readonly clusterId: string | null;
}

export const NO_PROPERTIES: Properties = Object.freeze({
  contentType: null,
  contentEncoding: null,
  headers: EMPTY_TABLE,
  deliveryMode: null,
  priority: null,
  correlationId: null,
  replyTo: null,
  expiration: null,
  messageId: null,
  timestamp: null,
  type: null,
  userId: null,
  appId: null,
  clusterId: null,
});

/**
 * Reads one protocol's native property bytes. `id` is written to disk beside those bytes, so it never changes its
 * meaning. Decoders may assume that the bytes were validated when they arrived.
 */
export interface PropertyCodec {
  /** 0 for no properties; every other id belongs to one protocol. */
  readonly id: number;
  /** Whether a header may ask to retain a message of this form (retainer.ts). Not if the protocol has a flag for it. */
  readonly retainHeader: boolean;
  decode(native: Buffer, offset: number, length: number): Properties;
}

/** For messages that carry no properties (plain MQTT 3.1.1 publishes). */
export const NO_CODEC: PropertyCodec = Object.freeze({
  id: 0,
  retainHeader: false,
  decode: () => NO_PROPERTIES,
});
