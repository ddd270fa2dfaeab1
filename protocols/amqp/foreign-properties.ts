// Messages of other protocols for AMQP consumers: their common properties in AMQP's native form. A value that does not
// fit a short string (255 bytes) becomes a header.

import type { Field } from '../../src/core/message/field-table.ts';
import type { Message } from '../../src/core/message/message.ts';
import { NO_PROPERTIES, type Properties } from '../../src/core/message/properties.ts';
import type { PropertyRewriter } from '../../src/core/message/property-rewriter.ts';
import { amqpProperties, encodeProperties } from './properties.ts';

const SHORT_STRING_MAX_BYTES = 255;

/** `wireKind` of a message with cached AMQP native bytes. AMQP's range is 16 to 31. */
const AMQP_NATIVE = 16;

const TRANSIENT = 1;
const PERSISTENT = 2;

/** Header with the whole topic if the routing key is longer than a short string. */
const LONG_TOPIC_HEADER = 'x-mqtt-topic';

/** The header for each property that is too long for AMQP. */
const OVERFLOW = [
  ['contentType', 'x-content-type'],
  ['contentEncoding', 'x-content-encoding'],
  ['correlationId', 'x-correlation-id'],
  ['replyTo', 'x-reply-to'],
  ['messageId', 'x-message-id'],
  ['type', 'x-type'],
  ['userId', 'x-user-id'],
  ['appId', 'x-app-id'],
  ['clusterId', 'x-cluster-id'],
] as const;

/** Encodes properties that the core changed. */
export const amqpRewriter: PropertyRewriter = Object.freeze({
  codec: amqpProperties,
  rewrite: (message, properties) => encodeProperties(ofAny(message, properties)),
} satisfies PropertyRewriter);

/** The native bytes of a message without properties, such as every MQTT 3.1.1 publish: only the delivery mode. */
const TRANSIENT_ONLY = encodeProperties({ ...NO_PROPERTIES, deliveryMode: TRANSIENT });
const PERSISTENT_ONLY = encodeProperties({ ...NO_PROPERTIES, deliveryMode: PERSISTENT });

/**
 * All properties of `message` as AMQP native bytes; encoded once for all AMQP receivers, and not at all for a message
 * without properties (42 ns instead of 560, with making the message; bench/amqp-codec.ts).
 */
export function nativeOf(message: Message): Buffer {
  if (message.wireKind === AMQP_NATIVE) return message.wire;
  const properties = message.properties();
  if (properties === NO_PROPERTIES && isShortString(message.routingKey)) {
    return message.persistent ? PERSISTENT_ONLY : TRANSIENT_ONLY;
  }
  const native = encodeProperties(commonOf(message, properties));
  message.wire = native;
  message.wireKind = AMQP_NATIVE;
  return native;
}

/**
 * Native bytes without headers, for a receiver whose frames cannot hold them: a content header must fit one frame. The
 * other properties are bounded by their short strings.
 */
export function nativeWithoutHeaders(message: Message): Buffer {
  const properties = ofAny(message, message.properties());
  return encodeProperties({ ...properties, headers: [] });
}

function ofAny(message: Message, properties: Properties): Properties {
  return message.codec.id === amqpProperties.id ? properties : commonOf(message, properties);
}

function commonOf(message: Message, common: Properties): Properties {
  const result: { -readonly [K in keyof Properties]: Properties[K] } = { ...common };
  result.deliveryMode ??= message.persistent ? PERSISTENT : TRANSIENT;
  const extra: Field[] = [];
  for (const [property, header] of OVERFLOW) {
    const value = result[property];
    if (value === null || isShortString(value)) continue;
    result[property] = null;
    extra.push({ name: header, value: { type: 'S', value } });
  }
  if (!isShortString(message.routingKey)) {
    extra.push({ name: LONG_TOPIC_HEADER, value: { type: 'S', value: topicOf(message.routingKey) } });
  }
  if (extra.length > 0) result.headers = [...common.headers, ...extra];
  return result;
}

function isShortString(text: string): boolean {
  // UTF-8 takes at most three bytes for each UTF-16 unit.
  return text.length * 3 <= SHORT_STRING_MAX_BYTES || Buffer.byteLength(text) <= SHORT_STRING_MAX_BYTES;
}

/** The topic of a routing key: `/` and `.` swapped. */
function topicOf(routingKey: string): string {
  return routingKey.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.'));
}
