// What an HTTP server does with requests on WebSocket paths: opens those that are good handshakes as transports of their
// front-ends, and answers the others with the HTTP error that says what is wrong. The servers are websocket.ts, a port
// of its own, and auto-listener.ts, the port for everything.

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type CredentialRules, credentialsOf } from './http-credentials.ts';
import type { TransportContext } from './socket-transport.ts';
import type { Accept } from './transport.ts';
import { agreeOnDeflate } from './websocket-deflate.ts';
import {
  acceptance,
  judgePlain,
  judgeUpgrade,
  type Origins,
  type Refusal,
  type SubprotocolRule,
} from './websocket-handshake.ts';
import { WebSocketTransport } from './websocket-transport.ts';

const TEXT = 'text/plain; charset=utf-8';

export interface WebSocketPath extends SubprotocolRule {
  /** Messages that go out need not hold whole frames of the protocol: MQTT and AMQP. */
  readonly byteStream: boolean;
  readonly accept: Accept;
}

export interface WebSocketRules {
  /** Longest incoming message; 1009 beyond. */
  readonly maxMessageBytes: number;
  readonly origins: Origins;
  readonly credentials: CredentialRules;
  /** What a compressed message may inflate to; null: compression is not agreed to. */
  readonly maxInflatedBytes: number | null;
  /** By path without query: `/stomp`. */
  readonly paths: ReadonlyMap<string, WebSocketPath>;
}

/** Hears of every request that was refused: why, and whose it was. */
export type Refused = (reason: string, peer: string | undefined) => void;

export class WebSocketUpgrades {
  private readonly rules: WebSocketRules;
  private readonly context: TransportContext;
  private readonly refused: Refused;

  constructor(rules: WebSocketRules, context: TransportContext, refused: Refused) {
    this.rules = rules;
    this.context = context;
    this.refused = refused;
  }

  /** A plain request: there is nothing to see but how to come in. */
  advise(request: IncomingMessage, response: ServerResponse): void {
    const answer = judgePlain(request, this.pathOf(request));
    this.refused(answer.reason, request.socket.remoteAddress);
    response.writeHead(answer.status, { ...answer.headers, Connection: 'close', 'Content-Type': TEXT });
    response.end(`${answer.reason}\n`);
  }

  /** A request to upgrade. The socket is Node's no more. */
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const path = this.pathOf(request);
    const subprotocol = judgeUpgrade(request, path, this.rules.origins);
    if (path === undefined || typeof subprotocol !== 'string') {
      this.refuse(request, socket, subprotocol as Refusal);
      return;
    }
    socket.setTimeout(0);
    const { byteStream, accept } = path;
    const { maxMessageBytes, maxInflatedBytes, credentials } = this.rules;
    const deflate = maxInflatedBytes === null ? null : agreeOnDeflate(request.headers);
    socket.write(acceptance(request, subprotocol, deflate?.answer ?? ''));
    const transport = new WebSocketTransport(socket, this.context, {
      subprotocol,
      httpCredentials: credentialsOf(request.headers, credentials),
      byteStream,
      maxMessageBytes,
      windowBits: deflate?.windowBits ?? null,
      maxInflatedBytes: maxInflatedBytes ?? 0,
    });
    try {
      transport.attach(accept(transport), head);
    } catch (error) {
      transport.destroy();
      this.context.onHandlerError(error, transport);
    }
  }

  /** The path that the request names, where it is one of ours. */
  pathOf(request: IncomingMessage): WebSocketPath | undefined {
    const path = (request.url ?? '').split('?', 1)[0]!;
    // Some clients end the path with a slash.
    return this.rules.paths.get(path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path);
  }

  private refuse(request: IncomingMessage, socket: Socket, answer: Refusal): void {
    this.refused(answer.reason, request.socket.remoteAddress);
    // Node took its own listener away with the upgrade.
    socket.on('error', () => {});
    socket.write(refusalText(answer));
    socket.destroySoon();
  }
}

function refusalText({ status, reason, headers }: Refusal): string {
  const body = `${reason}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    `Content-Type: ${TEXT}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}
