// MQTT's native form of a message: whether it was published at QoS 2 or with the retain flag, and its MQTT 5 property block.
// The flags are part of the codec's id and not bytes of the form, so that a block can stay where it arrived and be
// forwarded as it is. A message at QoS 0 or 1 without retain flag and properties has no form (NO_CODEC).
//
// A block holds the properties that are forwarded (payload format, message expiry, content type, response topic,
// correlation data, user properties), as they were sent and in their order, except that message expiry is first, because
// it is counted down (property-block.ts).

import { isUtf8 } from 'node:buffer';
import { EMPTY_TABLE, type Field, textField } from '../../../src/core/message/field-table.ts';
import type { Message } from '../../../src/core/message/message.ts';
import { NO_CODEC, NO_PROPERTIES, type Properties, type PropertyCodec } from '../../../src/core/message/properties.ts';
import type { SubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';
import { formatReplyAddress } from '../../../src/core/session/reply-address.ts';
import { queueOfReplyTopic } from '../topic/reply-topics.ts';
import { swapSeparators } from '../topic/topics.ts';
import { PROPERTY } from './properties.ts';

const FLAG = { exactlyOnce: 1, retain: 2, properties: 4 } as const;
const ALL_FLAGS = 7;

/** Header that holds the payload format indicator (MQTT 5 §3.3.2.3.2). */
export const PAYLOAD_FORMAT_HEADER = 'x-mqtt-payload-format';

/** Prefix of correlation data in base64: data that is no text, or that begins with this prefix itself. */
const BASE64 = 'base64:';

/** Ids of the eight forms, by their flags, begin here; stored with each message. */
const MQTT_FORM_ID = 16;

/** Reads MQTT's native form. `exchange` is where response topics live. */
class MqttForm implements PropertyCodec {
  readonly id: number;
  readonly retainHeader: boolean;
  private readonly exchange: string;

  constructor(flags: number, exchange: string) {
    this.id = MQTT_FORM_ID + flags;
    // A publish says it by its retain flag; its user properties are the client's.
    this.retainHeader = false;
    this.exchange = exchange;
  }

  decode(native: Buffer, offset: number, length: number): Properties {
    return length === 0 ? NO_PROPERTIES : decodeBlock(native, offset, offset + length, this.exchange);
  }
}

/** The codecs of a broker whose MQTT clients publish to `exchange`: used by the front-end, and by the store to read. */
export class MqttForms {
  readonly codecs: readonly PropertyCodec[];

  constructor(exchange: string) {
    this.codecs = Array.from({ length: ALL_FLAGS + 1 }, (_, flags) => new MqttForm(flags, exchange));
  }

  of(qos: number, retain: boolean, propertyBytes: number): PropertyCodec {
    const flags =
      (qos === 2 ? FLAG.exactlyOnce : 0) | (retain ? FLAG.retain : 0) | (propertyBytes > 0 ? FLAG.properties : 0);
    return flags === 0 ? NO_CODEC : this.codecs[flags]!;
  }
}

/** Whether its native bytes are a property block. */
export function hasBlock(message: Message): boolean {
  return flagsOf(message) >= FLAG.properties;
}

/** The QoS at which a message was published; a persistent message of another protocol counts as QoS 1. */
export function qosOf(message: Message): number {
  if ((flagsOf(message) & FLAG.exactlyOnce) !== 0) return 2;
  return message.persistent ? 1 : 0;
}

/** The retain flag of a delivery under these subscription options (MQTT 5 §3.3.1.3). */
export function sentRetained(message: Message, options: SubscriptionOptions): boolean {
  return options.retained || (options.retainAsPublished && (flagsOf(message) & FLAG.retain) !== 0);
}

/** Whether an MQTT client published it. */
export function isOfMqtt(message: Message): boolean {
  return message.codec.id >= MQTT_FORM_ID;
}

function flagsOf(message: Message): number {
  const flags = message.codec.id - MQTT_FORM_ID;
  return flags >= 0 && flags <= ALL_FLAGS ? flags : 0;
}

function decodeBlock(native: Buffer, start: number, end: number, exchange: string): Properties {
  const properties: { -readonly [K in keyof Properties]: Properties[K] } = { ...NO_PROPERTIES };
  const headers: Field[] = [];
  let at = start;
  const bytes = (): Buffer => {
    const length = native.readUInt16BE(at);
    at += 2 + length;
    return native.subarray(at - length, at);
  };
  while (at < end) {
    switch (native[at++]) {
      case PROPERTY.payloadFormat:
        headers.push({ name: PAYLOAD_FORMAT_HEADER, value: { type: 'B', value: native[at++]! } });
        break;
      case PROPERTY.messageExpiry:
        properties.expiration = String(native.readUInt32BE(at) * 1000);
        at += 4;
        break;
      case PROPERTY.contentType:
        properties.contentType = bytes().toString('utf8');
        break;
      case PROPERTY.responseTopic:
        properties.replyTo = replyToOf(bytes().toString('utf8'), exchange);
        break;
      case PROPERTY.correlationData:
        properties.correlationId = correlationIdOf(bytes());
        break;
      case PROPERTY.userProperty: {
        const name = bytes().toString('utf8');
        headers.push(textField(name, bytes().toString('utf8')));
        break;
      }
      default:
        throw new TypeError(`a stored property block holds property ${native[at - 1]}`);
    }
  }
  properties.headers = headers.length === 0 ? EMPTY_TABLE : headers;
  return properties;
}

/** The reply-to of a response topic. */
function replyToOf(topic: string, exchange: string): string {
  return queueOfReplyTopic(topic) ?? formatReplyAddress({ exchange, routingKey: swapSeparators(topic) });
}

function correlationIdOf(data: Buffer): string {
  if (isUtf8(data) && !data.includes(0)) {
    const text = data.toString('utf8');
    if (!text.startsWith(BASE64)) return text;
  }
  return BASE64 + data.toString('base64');
}

/** The inverse of `correlationIdOf`. */
export function correlationDataOf(id: string): Buffer {
  if (id.startsWith(BASE64)) {
    const text = id.slice(BASE64.length);
    const data = Buffer.from(text, 'base64');
    if (data.toString('base64') === text) return data;
  }
  return Buffer.from(id, 'utf8');
}
