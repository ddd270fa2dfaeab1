// The bound of routing keys that no protocol bounds by itself: STOMP destinations, CC and BCC headers, dead letter routing
// keys. It is that of MQTT topics by default, so that each topic has a key. (A key of AMQP has 255 bytes at most.)

const MAX_BYTES = 4096;
/** A match against patterns with wildcards costs up to words × patterns. */
const MAX_WORDS = 128;
const DOT = 0x2e;

/** Why a text is too long for a routing key, or null if it is not. */
export function routingKeyFault(key: string): string | null {
  // Most keys are far shorter: no character has more than three bytes here.
  if (key.length * 3 > MAX_BYTES && Buffer.byteLength(key) > MAX_BYTES) return `it is longer than ${MAX_BYTES} bytes`;
  if (key.length < MAX_WORDS) return null;
  let words = 1;
  for (let i = 0; i < key.length; i++) if (key.charCodeAt(i) === DOT) words++;
  return words > MAX_WORDS ? `it has more than ${MAX_WORDS} words` : null;
}
