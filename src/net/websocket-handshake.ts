// The opening handshake of RFC 6455 §4.2 as pure functions: a request goes in, an answer comes out. The listener
// (websocket.ts) reads and writes the socket.

import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIPv4 } from 'node:net';
import { isLoopback } from './peer-address.ts';

/** [§1.3] What the server appends to the client's key. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const VERSION = '13';
/** [§4.1] 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

/** Which pages may connect: all (`*`), those of our own host (`same`), those that are listed (`https://app.example`). */
export type Origins = readonly string[];

export interface SubprotocolRule {
  /** In the server's order of preference. */
  readonly protocols: readonly string[];
  /** Whether a client that offers none is let in. */
  readonly optional: boolean;
}

export interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** What a request is answered with that asks for no upgrade. */
export function judgePlain(request: IncomingMessage, path: SubprotocolRule | undefined): Refusal {
  return path === undefined ? noSuchPath(request) : refusal(426, 'this path speaks WebSocket only', upgradeAdvice);
}

/** The subprotocol of the WebSocket to open ('' for none), or why it is refused. */
export function judgeUpgrade(
  request: IncomingMessage,
  path: SubprotocolRule | undefined,
  origins: Origins,
): string | Refusal {
  if (path === undefined) return noSuchPath(request);
  const bad = checkHandshake(request);
  if (bad !== null) return bad;
  if (!isOriginAllowed(request, origins)) return refusal(403, `origin ${request.headers.origin} is not allowed`);
  // [MQTT-6.0.0-3, MQTT-6.0.0-4] The client offers what we speak, and we answer with that.
  const spoken = path.protocols.join(', ');
  return chooseSubprotocol(request, path) ?? refusal(400, `the subprotocol has to be one of: ${spoken}`);
}

/** Null where the request is a good handshake (§4.2.1); else why it is not. */
function checkHandshake(request: IncomingMessage): Refusal | null {
  const { headers } = request;
  if (request.method !== 'GET') return refusal(405, 'a WebSocket handshake is a GET', { Allow: 'GET' });
  if (request.httpVersion !== '1.1') return refusal(400, 'a WebSocket handshake is HTTP/1.1');
  if (headers.upgrade?.toLowerCase() !== 'websocket') return refusal(400, 'the Upgrade header is not "websocket"');
  // [§4.4] A version that we do not speak is answered with the one that we do.
  if (headers['sec-websocket-version'] !== VERSION) {
    return refusal(426, `WebSocket version ${VERSION} is needed`, upgradeAdvice);
  }
  if (!KEY.test(headers['sec-websocket-key'] ?? '')) return refusal(400, 'the Sec-WebSocket-Key is missing or invalid');
  return null;
}

/** Whether the page that opens the connection may. What is no browser sends no Origin. */
export function isOriginAllowed(request: IncomingMessage, origins: Origins): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined || origins.includes('*') || origins.includes(origin)) return true;
  if (!origins.includes('same') || !URL.canParse(origin)) return false;
  const url = new URL(origin);
  const local = isLocalName(url.hostname);
  // A page from a development server on this machine, with the browser on this machine too.
  if (isLoopback(request.socket.remoteAddress ?? '')) return local;
  return url.host === host;
}

/**
 * Whether a name in a URL means this machine whatever a name server says. Only such a page is the broker's own to a
 * browser on this machine: a stranger's page can have its own name resolve to 127.0.0.1 and be «of the same host».
 */
function isLocalName(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || (isIPv4(name) && isLoopback(name));
}

/** The first of ours that the client offers, too; '' where it offers none and may; null where it is refused. */
function chooseSubprotocol(request: IncomingMessage, rule: SubprotocolRule): string | null {
  const offered = request.headers['sec-websocket-protocol'];
  if (offered === undefined) return rule.optional ? '' : null;
  const names = offered.split(',').map((name) => name.trim());
  return rule.protocols.find((name) => names.includes(name)) ?? null;
}

/** The answer that opens the WebSocket. `extensions`: what was agreed on, or empty. */
export function acceptance(request: IncomingMessage, subprotocol: string, extensions: string): string {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${GUID}`).digest('base64');
  const chosen = subprotocol === '' ? '' : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`;
  const agreed = extensions === '' ? '' : `Sec-WebSocket-Extensions: ${extensions}\r\n`;
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${chosen}${agreed}\r\n`;
}

/** [RFC 9110 §15.5.22] What tells a plain request how to come back. */
const upgradeAdvice = { Upgrade: 'websocket', 'Sec-WebSocket-Version': VERSION };

function refusal(status: number, reason: string, headers: Readonly<Record<string, string>> = {}): Refusal {
  return { status, reason, headers };
}

function noSuchPath(request: IncomingMessage): Refusal {
  return refusal(404, `there is nothing at ${request.url}`);
}
