// Frames of STOMP 1.0, 1.1 and 1.2. Encodes them for a version, and decodes the broker's strictly: a command that no
// server has, a header without a colon, an undefined escape, or a body that does not end at its content-length is an
// error.
//
//   frame  = command EOL *(name ":" value EOL) EOL body NUL *EOL
//   EOL    = LF in 1.0 and 1.1, [CR] LF in 1.2
//   escape = \n \c \\ from 1.1 on, \r in 1.2; none in CONNECT and CONNECTED

export const VERSIONS = ['1.0', '1.1', '1.2'] as const;
export type Version = (typeof VERSIONS)[number];

export const SERVER_COMMANDS = ['CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR'] as const;
export type ServerCommand = (typeof SERVER_COMMANDS)[number];

/** Header lines to send, in this order. A name may occur more than once. */
export type Lines = Readonly<Record<string, string | number>> | readonly (readonly [string, string])[];

export interface Received<C extends ServerCommand = ServerCommand> {
  readonly command: C;
  /** By name; the first of repeated headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** As received, still escaped. */
  readonly lines: readonly string[];
  readonly body: Buffer;
  /** Its position among all frames of the connection. */
  readonly order: number;
}

/** A frame and its size; line ends before it are counted separately. */
export interface Parsed {
  readonly frame: Omit<Received, 'order'> | null;
  /** Bytes up to its end; without a complete frame, those of the line ends only. */
  readonly length: number;
  readonly eols: number;
}

const LF = 0x0a;
const CR = 0x0d;
const NUL = 0;

/** Encodes a command and headers in this version, with escapes. */
export function encodeHead(version: Version, command: string, lines: Lines): string {
  const escapes = command !== 'CONNECT' && command !== 'STOMP';
  const text = (part: string): string => (escapes ? escaped(part, version) : part);
  const entries = Array.isArray(lines) ? (lines as [string, string][]) : Object.entries(lines);
  return `${command}\n${entries.map(([name, value]) => `${text(name)}:${text(`${value}`)}\n`).join('')}\n`;
}

export function encodeFrame(version: Version, command: string, lines: Lines, body: string | Buffer = ''): Buffer {
  return Buffer.concat([Buffer.from(encodeHead(version, command, lines)), Buffer.from(body as string), Buffer.of(NUL)]);
}

export function escaped(text: string, version: Version): string {
  if (version === '1.0') return text;
  const common = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll(':', '\\c');
  return version === '1.1' ? common : common.replaceAll('\r', '\\r');
}

/** Throws on an escape that the version does not define, and on unescaped characters that it must escape. */
export function unescaped(text: string, version: Version): string {
  if (version === '1.0') return text;
  const defined = version === '1.1' ? /\\(?:[nc\\])|[^\\:]/gsy : /\\(?:[rnc\\])|[^\\:\r]/gsy;
  let out = '';
  while (defined.lastIndex < text.length) {
    const at = defined.lastIndex;
    const [piece] = defined.exec(text) ?? [];
    if (piece === undefined) throw new Error(`malformed: '${text.slice(at)}' in a header of STOMP ${version}`);
    out += piece.length === 1 ? piece : ESCAPED[piece]!;
  }
  return out;
}

const ESCAPED: Readonly<Record<string, string>> = { '\\r': '\r', '\\n': '\n', '\\c': ':', '\\\\': '\\' };

/**
 * The first frame of the bytes. `version` is null until it is negotiated; before that a client cannot rely on escapes.
 * Throws on what no server may send.
 */
export function firstFrame(bytes: Buffer, version: Version | null): Parsed {
  let start = 0;
  let eols = 0;
  while (start < bytes.length && (bytes[start] === LF || bytes[start] === CR)) {
    if (bytes[start] === LF) eols++;
    else if (version === '1.0' || version === '1.1')
      throw new Error(`malformed: CR between frames of STOMP ${version}`);
    start++;
  }
  const nothing: Parsed = { frame: null, length: start, eols };
  const lines: string[] = [];
  let at = start;
  for (;;) {
    const end = bytes.indexOf(LF, at);
    if (end < 0) return nothing;
    const line = text(bytes.subarray(at, end));
    at = end + 1;
    const stripped = line.endsWith('\r') && version !== '1.0' && version !== '1.1' ? line.slice(0, -1) : line;
    if (stripped === '') break;
    lines.push(stripped);
  }
  const [command, ...rest] = lines as [ServerCommand, ...string[]];
  if (!SERVER_COMMANDS.includes(command)) throw new Error(`malformed: '${command}' is no command of a server`);
  const headers = decodeHeaders(rest, command === 'CONNECTED' ? '1.0' : version);
  const body = bodyOf(bytes, at, headers['content-length']);
  if (body === null) return nothing;
  return { frame: { command, headers, lines: rest, body }, length: at + body.length + 1, eols };
}

function decodeHeaders(lines: readonly string[], version: Version | null): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon <= 0) throw new Error(`malformed: header line '${line}'`);
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1)].map((part) =>
      version === null ? part : unescaped(part, version),
    ) as [string, string];
    headers[name] ??= value;
  }
  return headers;
}

/** The body that begins there, or null if it is incomplete. */
function bodyOf(bytes: Buffer, start: number, length: string | undefined): Buffer | null {
  if (length === undefined) {
    const end = bytes.indexOf(NUL, start);
    return end < 0 ? null : bytes.subarray(start, end);
  }
  if (!/^\d+$/.test(length)) throw new Error(`malformed: content-length '${length}'`);
  const end = start + Number(length);
  if (bytes.length <= end) return null;
  if (bytes[end] !== NUL)
    throw new Error(`malformed: ${length} octets of body are followed by ${bytes[end]}, not by NUL`);
  return bytes.subarray(start, end);
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function text(bytes: Buffer): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new Error(`malformed: a header line that is no UTF-8: ${bytes.toString('latin1')}`);
  }
}
