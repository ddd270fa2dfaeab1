// Which protocol a connection speaks, by its first bytes. The five that share a port differ early:
//
//   TLS    0x16 0x03                  a handshake record (RFC 8446 §5.1)
//   AMQP   "AMQP"                     the protocol header (AMQP 0-9-1 §4.2.2)
//   MQTT   0x10                       CONNECT, which must come first [MQTT-3.1.0-1]
//   HTTP   1*tchar SP                 a method and the space behind it (RFC 9112 §3)
//   STOMP  *EOL 1*letter EOL          a command on a line of its own
//
// STOMP's CONNECT and HTTP's differ by what stands behind the word. A word that is no command of STOMP's is still
// STOMP's to refuse, in its own words.

export const SNIFFED = {
  amqp: 'amqp',
  mqtt: 'mqtt',
  stomp: 'stomp',
  http: 'http',
  tls: 'tls',
  /** The bytes may become any of several. */
  more: 'more',
  /** They become none. */
  unknown: 'unknown',
} as const;

export type Sniffed = (typeof SNIFFED)[keyof typeof SNIFFED];

/** Enough for the longest method that is registered for HTTP (17 letters). With so many a verdict is always there. */
export const MAX_SNIFF_BYTES = 20;

const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 3;
const MQTT_CONNECT = 0x10;
const AMQP = Buffer.from('AMQP');
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const HYPHEN = 0x2d;

/** The verdict on the first bytes of a connection. It never changes with more bytes, unless it is `more`. */
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
