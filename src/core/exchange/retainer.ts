// Stores the retained messages of a virtual host: those that MQTT clients publish with the retain flag, and those that
// other protocols publish with the header `x-mqtt-retain`. It belongs to the one topic exchange that MQTT uses. A
// message that is published elsewhere, or whose properties are too short for the header, costs one comparison.

import { findField, textOf } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import type { RetainedStore } from '../ports/retained-store.ts';
import type { ConfirmRing } from '../turn/confirms.ts';

/** The header: boolean true, or the text `true` from protocols that have only text. */
const HEADER = 'x-mqtt-retain';
const HEADER_BYTES = Buffer.from(HEADER, 'latin1');
/** How far the search for the header may advance after a byte at its end (Horspool). */
const SHIFT = shifts(HEADER_BYTES);

/** Only the broker publishes to topics below it [MQTT-4.7.2-1]. */
const BROKER_TOPICS = '$SYS';

export class Retainer {
  private readonly store: RetainedStore;
  private readonly vhost: string;

  constructor(store: RetainedStore, vhost: string) {
    this.store = store;
    this.vhost = vhost;
  }

  /**
   * Stores a message in place of the previous one of its topic; an empty body removes that one. `slot` settles with the
   * commit. False if a limit forbids it.
   */
  keep(message: Message, ring: ConfirmRing | null, slot: number): boolean {
    return this.store.set(this.vhost, message, ring, slot);
  }

  /** Called for each message that is published: stores it if it asks to be retained. True if it does. */
  offered(message: Message, ring: ConfirmRing | null, slot: number): boolean {
    if (message.nativeLength <= HEADER_BYTES.length || !asks(message) || !isTopic(message.routingKey)) return false;
    this.keep(message, ring, slot);
    return true;
  }
}

/** Whether only the broker may publish with this routing key. */
export function isBrokerTopic(routingKey: string): boolean {
  if (routingKey.charCodeAt(0) !== 0x24 || !routingKey.startsWith(BROKER_TOPICS)) return false;
  return routingKey.length === BROKER_TOPICS.length || routingKey[BROKER_TOPICS.length] === '.';
}

/** Whether a message has the header, and its protocol no flag for the same. */
function asks(message: Message): boolean {
  const { native, nativeOffset, nativeLength, codec } = message;
  if (!codec.retainHeader) return false;
  // Searching the encoded headers is cheaper than decoding them.
  if (!holdsHeader(native, nativeOffset, nativeOffset + nativeLength)) return false;
  const field = findField(message.properties().headers, HEADER);
  return field !== null && (field.value === true || textOf(field) === 'true');
}

/** Takes a few steps for a block of common size; `indexOf` would search the whole chunk that the block lies in. */
function holdsHeader(bytes: Buffer, from: number, to: number): boolean {
  const last = HEADER_BYTES.length - 1;
  for (let end = from + last; end < to; end += SHIFT[bytes[end]!]!) {
    let at = 0;
    while (at <= last && bytes[end - at] === HEADER_BYTES[last - at]) at++;
    if (at > last) return true;
  }
  return false;
}

function shifts(text: Buffer): Uint8Array {
  const table = new Uint8Array(256).fill(text.length);
  for (let i = 0; i < text.length - 1; i++) table[text[i]!] = text.length - 1 - i;
  return table;
}

/**
 * Whether a routing key makes a topic that a message can be published to (MQTT 3.1.1 §4.7.3): no wildcard, not empty.
 */
function isTopic(routingKey: string): boolean {
  for (let i = 0; i < routingKey.length; i++) {
    const code = routingKey.charCodeAt(i);
    if (code === 0 || code === 0x23 || code === 0x2b) return false;
  }
  return routingKey !== '';
}
