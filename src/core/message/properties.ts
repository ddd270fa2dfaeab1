// The common form of a message's properties: AMQP basic properties plus a header table, which is the superset of what
// the three protocols know. It is decoded from a message's native bytes only when somebody needs it.

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
  readonly id: number;
  /** The name of the protocol whose native form this is; for people, in logs and the management API. */
  readonly protocol: string;
  decode(native: Buffer, offset: number, length: number): Properties;
}

/** Ids of the native forms. A stored entry names one of these; MQTT has the eight from `mqtt` on. */
export const CODEC_IDS = { none: 0, amqp: 1, stomp: 3, mqtt: 16 } as const;

/** For messages that carry no properties (plain MQTT 3.1.1 publishes). */
export const NO_CODEC: PropertyCodec = Object.freeze({
  id: CODEC_IDS.none,
  protocol: 'none',
  decode: () => NO_PROPERTIES,
});
