// Detects the protocol of a connection by its first bytes. The five that share a port differ early:
//
//   TLS    0x16 0x03                  a handshake record (RFC 8446 §5.1)
//   AMQP   "AMQP"                     the protocol header (AMQP 0-9-1 §4.2.2)
//   MQTT   0x10                       CONNECT, which must come first [MQTT-3.1.0-1]
//   HTTP   1*tchar SP                 a method and a space (RFC 9112 §3)
//   STOMP  *EOL 1*letter EOL          a command on a line of its own
//
// STOMP's CONNECT and HTTP's differ by the byte after the word. A line with an unknown word is given to STOMP, which
// refuses it with its own error.

export const SNIFFED = {
  amqp: 'amqp',
  mqtt: 'mqtt',
  stomp: 'stomp',
  http: 'http',
  tls: 'tls',
  /** More bytes are needed. */
  more: 'more',
  /** No protocol begins like this. */
  unknown: 'unknown',
} as const;

export type Sniffed = (typeof SNIFFED)[keyof typeof SNIFFED];

/** The longest method registered for HTTP has 17 letters. With 20 bytes the result is never `more`. */
export const MAX_SNIFF_BYTES = 20;

const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 3;
const MQTT_CONNECT = 0x10;
const AMQP = Buffer.from('AMQP');
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const HYPHEN = 0x2d;

/** The protocol of a connection by its first bytes. More bytes never change the result, unless it is `more`. */
export function sniff(bytes: Buffer): Sniffed {
  if (bytes.length === 0) return SNIFFED.more;
  const first = bytes[0]!;
  if (first === MQTT_CONNECT) return SNIFFED.mqtt;
  if (first === TLS_HANDSHAKE) {
    if (bytes.length === 1) return SNIFFED.more;
    return bytes[1] === TLS_MAJOR ? SNIFFED.tls : SNIFFED.unknown;
  }
  // EOLs may stand before any frame («Heart-beating» and «Frames and Headers» of STOMP 1.2).
  if (first === LF || first === CR) return SNIFFED.stomp;
  return sniffWord(bytes);
}

function sniffWord(bytes: Buffer): Sniffed {
  const limit = Math.min(bytes.length, MAX_SNIFF_BYTES);
  let at = 0;
  while (at < limit && isLetter(bytes[at]!)) at++;
  if (at >= AMQP.length && bytes.compare(AMQP, 0, AMQP.length, 0, AMQP.length) === 0) return SNIFFED.amqp;
  if (at === limit) return limit === MAX_SNIFF_BYTES ? SNIFFED.unknown : SNIFFED.more;
  if (at === 0) return SNIFFED.unknown;
  const end = bytes[at]!;
  if (end === LF || end === CR) return SNIFFED.stomp;
  return end === SPACE ? SNIFFED.http : SNIFFED.unknown;
}

/** What commands and the methods in use consist of: `SUBSCRIBE`, `M-SEARCH`. */
function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || byte === HYPHEN;
}
