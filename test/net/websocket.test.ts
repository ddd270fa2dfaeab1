// WebSockets end to end, with the `ws` client as the peer, and with raw bytes for what no client sends: the handshake
// and its refusals, messages in both directions, pings, the closing handshake, and backpressure.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type ClientOptions, WebSocket } from 'ws';
import { MESSAGE_KIND } from '../../src/net/message-kind.ts';
import { ticksFor } from '../../src/net/ticker.ts';
import { readTls } from '../../src/net/tls.ts';
import { WebSocketListener, type WebSocketOptions } from '../../src/net/websocket.ts';
import { judgeUpgrade, type SubprotocolRule } from '../../src/net/websocket-handshake.ts';
import { WebSocketError } from '../../src/net/websocket-transport.ts';
import { hasOpenssl, TestAuthority } from '../../support/certificates.ts';
import {
  Arrivals,
  connected,
  newContext,
  put,
  readAll,
  readBytes,
  type TestContext,
  type TestHandler,
} from './fixtures.ts';

const LINGER_MS = 1000;
const HANDSHAKE = {
  Host: 'broker.example',
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Version': '13',
  // The example of RFC 6455 §1.3.
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

let context: TestContext;
let arrivals: Arrivals;
let listener: WebSocketListener;
let refused: [string, string, string][];
let port: number;

async function start(overrides: Partial<WebSocketOptions> = {}): Promise<void> {
  const { accept } = arrivals;
  const options: WebSocketOptions = {
    name: 'ws',
    host: '127.0.0.1',
    port: 0,
    tls: null,
    maxConnections: 100,
    maxMessageBytes: 5_000_000,
    origins: ['same'],
    credentials: { basic: false, cookie: null },
    maxInflatedBytes: null,
    paths: new Map([
      ['/stomp', { protocols: ['v12.stomp', 'v11.stomp'], optional: true, byteStream: false, accept }],
      ['/mqtt', { protocols: ['mqtt'], optional: false, byteStream: true, accept }],
    ]),
    ...overrides,
  };
  listener = new WebSocketListener(options, context, {
    refused: (...what) => refused.push(what),
    full() {},
    addressFull() {},
  });
  port = await listener.listen();
}

beforeEach(async () => {
  context = newContext({ transport: { lingerMs: LINGER_MS, slowReaderTimeoutMs: 0 } });
  arrivals = new Arrivals();
  refused = [];
  await start();
});

afterEach(async () => {
  await listener.close();
  assert.equal(listener.connectionCount, 0);
  assert.equal(context.ticker.size, 0);
  assert.equal(context.pool.lentBytes, 0);
  assert.deepEqual(context.handlerErrors, []);
});

async function open(
  path = '/stomp',
  protocols = ['v12.stomp'],
  options: ClientOptions = {},
): Promise<[WebSocket, TestHandler]> {
  const arrival = arrivals.next();
  const client = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, options);
  await once(client, 'open');
  return [client, await arrival];
}

/** A socket that has sent a handshake, and the server's response. */
async function raw(path = '/stomp', headers: Record<string, string> = HANDSHAKE): Promise<[Socket, string]> {
  const socket = await connected(port);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const answer = String(await readBytes(socket, 1));
  return [socket, answer];
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

async function status(path: string, headers: Record<string, string>): Promise<string> {
  const [socket, answer] = await raw(path, headers);
  socket.destroy();
  return answer.slice(9, 12);
}

describe('the opening handshake', () => {
  it('answers the example of the RFC as the RFC does', async () => {
    const [socket, answer] = await raw('/stomp?token=1', {
      ...HANDSHAKE,
      'Sec-WebSocket-Protocol': 'v10.stomp, v11.stomp',
    });
    assert.equal(
      answer,
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v11.stomp\r\n\r\n',
    );
    assert.equal(arrivals.handlers[0]?.transport.subprotocol, 'v11.stomp');
    socket.destroy();
  });

  it('selects the offered subprotocol that the server prefers', async () => {
    const [client, { transport }] = await open('/stomp', ['v10.stomp', 'v11.stomp', 'v12.stomp']);
    assert.equal(client.protocol, 'v12.stomp');
    assert.equal(transport.subprotocol, 'v12.stomp');
    client.terminate();
  });

  it('accepts a client that offers no subprotocol if that is allowed', async () => {
    const [client, { transport }] = await open('/stomp', []);
    assert.equal(client.protocol, '');
    assert.equal(transport.subprotocol, '');
    client.terminate();
  });

  const refusals: [string, string, Record<string, string>, string][] = [
    ['an unknown path', '/nothing', HANDSHAKE, '404'],
    ['no subprotocol where one is needed', '/mqtt', HANDSHAKE, '400'],
    ['only unknown subprotocols', '/stomp', { ...HANDSHAKE, 'Sec-WebSocket-Protocol': 'v99.stomp' }, '400'],
    ['an old version of WebSocket', '/stomp', { ...HANDSHAKE, 'Sec-WebSocket-Version': '8' }, '426'],
    ['a key that is none', '/stomp', { ...HANDSHAKE, 'Sec-WebSocket-Key': 'short' }, '400'],
    ['an upgrade to something else', '/stomp', { ...HANDSHAKE, Upgrade: 'h2c' }, '400'],
    ['a page of another host', '/stomp', { ...HANDSHAKE, Origin: 'https://evil.example' }, '403'],
    ['an opaque origin', '/stomp', { ...HANDSHAKE, Origin: 'null' }, '403'],
    ['what is no origin', '/stomp', { ...HANDSHAKE, Origin: 'broker.example' }, '403'],
    [
      'a page whose name was made to resolve to this machine',
      '/stomp',
      { ...HANDSHAKE, Host: 'evil.example:15674', Origin: 'http://evil.example:15674' },
      '403',
    ],
    ['a name that begins like an address', '/stomp', { ...HANDSHAKE, Origin: 'http://127.0.0.1.evil.example' }, '403'],
  ];

  for (const [what, path, headers, expected] of refusals) {
    it(`refuses ${what} with ${expected}`, async () => {
      assert.equal(await status(path, headers), expected);
      assert.equal(refused.length, 1);
      assert.equal(refused[0]?.[0], 'ws');
      assert.equal(arrivals.handlers.length, 0);
    });
  }

  it('accepts pages of localhost if the browser is on this machine', async () => {
    for (const host of ['localhost:3000', '127.0.0.1:3000', '[::1]', 'app.localhost']) {
      assert.equal(await status('/stomp', { ...HANDSHAKE, Origin: `http://${host}` }), '101', host);
    }
  });

  it('accepts pages of its own host if the browser is elsewhere', () => {
    const stomp: SubprotocolRule = { protocols: ['v12.stomp'], optional: true };
    const judge = (origin: string, host: string) => {
      const headers = { ...lowerCased(HANDSHAKE), host, origin };
      const asked = {
        method: 'GET',
        httpVersion: '1.1',
        url: '/stomp',
        headers,
        socket: { remoteAddress: '192.0.2.7' },
      };
      const verdict = judgeUpgrade(asked as unknown as IncomingMessage, stomp, ['same']);
      return typeof verdict === 'string' ? 101 : verdict.status;
    };
    assert.equal(judge('https://broker.example', 'broker.example'), 101);
    assert.equal(judge('http://192.0.2.1:15674', '192.0.2.1:15674'), 101);
    assert.equal(judge('https://broker.example:444', 'broker.example'), 403);
    assert.equal(judge('https://evil.example', 'broker.example'), 403);
    assert.equal(judge('http://localhost:3000', 'broker.example'), 403);
    assert.equal(judge('null', 'null'), 403);
  });

  it('accepts listed origins, in addition to its own, or all', async () => {
    await listener.close();
    await start({ origins: ['https://app.example'] });
    assert.equal(await status('/stomp', { ...HANDSHAKE, Origin: 'https://app.example' }), '101');
    assert.equal(await status('/stomp', { ...HANDSHAKE, Origin: 'http://localhost' }), '403');
    assert.equal(await status('/stomp', HANDSHAKE), '101');
    await listener.close();
    await start({ origins: ['same', 'https://app.example'] });
    assert.equal(await status('/stomp', { ...HANDSHAKE, Origin: 'https://app.example' }), '101');
    assert.equal(await status('/stomp', { ...HANDSHAKE, Origin: 'http://localhost' }), '101');
    assert.equal(await status('/stomp', { ...HANDSHAKE, Origin: 'https://evil.example' }), '403');
    await listener.close();
    await start({ origins: ['*'] });
    assert.equal(await status('/stomp', { ...HANDSHAKE, Origin: 'null' }), '101');
  });

  it('answers a plain request with advice to upgrade', async () => {
    const known = await get('/stomp');
    assert.equal(known.status, 426);
    assert.equal(known.upgrade, 'websocket');
    assert.equal((await get('/')).status, 404);
  });

  it('accepts frames that arrive together with the handshake', async () => {
    const socket = await connected(port);
    const arrival = arrivals.next();
    const lines = Object.entries(HANDSHAKE).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET /stomp HTTP/1.1\r\n${lines.join('')}\r\n\x81\x85\0\0\0\0early`, 'latin1');
    const handler = await arrival;
    await handler.bytes(5);
    assert.equal(String(handler.received), 'early');
    socket.destroy();
  });
});

describe('a WebSocket', () => {
  it('carries text and binary both ways, of any length', async () => {
    const [client, handler] = await open();
    const { transport } = handler;
    handler.onData = (chunk) => {
      transport.messageKind = transport.lastMessageKind;
      transport.outbox.append(chunk, 0, chunk.length);
    };
    for (const length of [1, 125, 126, 8191, 8192, 65535, 65536, 300_000]) {
      for (const binary of [false, true]) {
        const message = Buffer.alloc(length, 'ä'.repeat(1000)).toString().replaceAll('�', 'x');
        const echoed = collect(client, Buffer.byteLength(message));
        client.send(binary ? Buffer.from(message) : message);
        const { data, isBinary } = await echoed;
        assert.equal(data.toString(), message);
        assert.equal(isBinary, binary);
      }
    }
    assert.equal(transport.lastMessageKind, MESSAGE_KIND.binary);
    client.terminate();
    await handler.isClosed;
  });

  it('sends each message with the type that was set when it was written', async () => {
    const [client, { transport }] = await open();
    const got: string[] = [];
    client.on('message', (data, isBinary) => got.push(`${isBinary ? 'binary' : 'text'} ${data}`));
    transport.messageKind = MESSAGE_KIND.text;
    put(transport.outbox, 'a');
    transport.messageKind = MESSAGE_KIND.text;
    put(transport.outbox, 'b');
    transport.messageKind = MESSAGE_KIND.binary;
    put(transport.outbox, 'c');
    transport.outbox.endMessage();
    put(transport.outbox, 'd');
    transport.messageKind = MESSAGE_KIND.text;
    put(transport.outbox, 'e');
    transport.end();
    await once(client, 'close');
    assert.deepEqual(got, ['text ab', 'binary c', 'binary d', 'text e']);
  });

  it('joins fragments with control frames between them', async () => {
    const [client, handler] = await open();
    const pong = once(client, 'pong');
    client.send('one ', { fin: false });
    client.ping('still here');
    client.send('two ', { fin: false });
    client.send('three', { fin: true });
    await handler.bytes(13);
    assert.equal(String(handler.received), 'one two three');
    assert.equal(String((await pong)[0]), 'still here');
    client.terminate();
  });

  it('answers a Close with the same code, and is closed without an error', async () => {
    const [client, handler] = await open();
    client.close(4001, 'enough');
    const [code] = await once(client, 'close');
    assert.equal(code, 4001);
    assert.equal(await handler.isClosed, null);
    assert.equal(handler.closedCount, 1);
  });

  it('closes with 1000 after its last message', async () => {
    const [client, handler] = await open();
    const message = once(client, 'message');
    put(handler.transport.outbox, 'goodbye');
    handler.transport.end();
    handler.transport.end();
    put(handler.transport.outbox, 'too late');
    assert.equal(String((await message)[0]), 'goodbye');
    const [code] = await once(client, 'close');
    assert.equal(code, 1000);
    assert.equal(await handler.isClosed, null);
  });

  it('closes with 1001 when the broker stops', async () => {
    const [client, handler] = await open();
    context.stopping = true;
    handler.transport.end();
    const [code] = await once(client, 'close');
    assert.equal(code, 1001);
    assert.equal(await handler.isClosed, null);
  });

  it('is closed after the linger time if the peer does not answer its Close', async () => {
    const arrival = arrivals.next();
    const [socket] = await raw();
    const handler = await arrival;
    handler.transport.end();
    const closeFrame = await readBytes(socket, 4);
    assert.deepEqual([...closeFrame], [0x88, 2, 0x03, 0xe8]);
    for (let i = 1; i < ticksFor(LINGER_MS); i++) context.ticker.advance();
    assert.equal(handler.closedCount, 0);
    context.ticker.advance();
    await handler.isClosed;
    socket.destroy();
  });

  it('tells a peer that violates the protocol the reason, and the handler too', async () => {
    const arrival = arrivals.next();
    const [socket] = await raw();
    const handler = await arrival;
    socket.write(Buffer.from([0x81, 0x02, 0x68, 0x69]));
    const answer = await readAll(socket);
    assert.equal(answer[0], 0x88);
    assert.equal(answer.readUInt16BE(2), 1002);
    assert.equal(answer.subarray(4).toString(), 'a frame is not masked');
    socket.end();
    const error = await handler.isClosed;
    assert.ok(error instanceof WebSocketError);
    assert.equal(error.code, 1002);
    assert.equal(handler.received.length, 0);
  });

  it('refuses a message above its bound with 1009', async () => {
    const [client, handler] = await open();
    client.on('error', () => {});
    client.send(Buffer.alloc(5_000_001));
    const [code] = await once(client, 'close');
    assert.equal(code, 1009);
    assert.ok((await handler.isClosed) instanceof WebSocketError);
  });

  it('is closed once with the error of the socket when the peer is gone', async () => {
    const arrival = arrivals.next();
    const [socket] = await raw();
    const handler = await arrival;
    socket.resetAndDestroy();
    assert.equal(((await handler.isClosed) as NodeJS.ErrnoException).code, 'ECONNRESET');
    assert.equal(handler.closedCount, 1);
    handler.transport.end();
    handler.transport.destroy();
  });

  it('delivers nothing while it is paused, between messages of one packet too', async () => {
    const arrival = arrivals.next();
    const [socket] = await raw();
    const handler = await arrival;
    const kinds: number[] = [];
    handler.onData = () => {
      kinds.push(handler.transport.lastMessageKind);
      handler.transport.pause();
    };
    socket.write('\x81\x83\0\0\0\0one\x82\x83\0\0\0\0two\x81\x85\0\0\0\0three', 'latin1');
    await handler.bytes(3);
    assert.equal(String(handler.received), 'one');
    handler.transport.resume();
    assert.equal(String(handler.received), 'one', 'not from within resume');
    await handler.bytes(6);
    handler.transport.resume();
    await handler.bytes(11);
    assert.deepEqual(kinds, [MESSAGE_KIND.text, MESSAGE_KIND.binary, MESSAGE_KIND.text]);
    socket.write('\x81\x84\0\0\0\0four', 'latin1');
    handler.transport.resume();
    await handler.bytes(15);
    assert.equal(String(handler.received), 'onetwothreefour');
    socket.destroy();
  });

  it('does not answer pings without bound to a peer that does not read', async () => {
    const arrival = arrivals.next();
    const [socket] = await raw();
    const handler = await arrival;
    const { outbox } = handler.transport;
    socket.pause();
    const body = Buffer.alloc(1024 * 1024);
    // Until the kernel's buffers are full as well.
    while (outbox.writable) {
      outbox.append(body, 0, body.length);
      outbox.append(body, 0, body.length);
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    }
    const unsent = outbox.unsentBytes;
    const ping = Buffer.from('\x89\x84\0\0\0\0ping', 'latin1');
    socket.write(
      Buffer.concat([...Array.from({ length: 10_000 }, () => ping), Buffer.from([0x82, 0x81, 0, 0, 0, 0, 1])]),
    );
    await handler.bytes(1);
    assert.ok(outbox.unsentBytes <= unsent);
    socket.destroy();
    await handler.isClosed;
  });

  it('is the only one to end if its handler throws', async () => {
    const [client, handler] = await open();
    const bug = new Error('a bug in the handler');
    handler.onData = () => {
      throw bug;
    };
    client.on('error', () => {});
    client.send('provoke');
    assert.equal(await handler.isClosed, bug);
    assert.deepEqual(context.handlerErrors.splice(0), [bug]);
    await once(client, 'close');
  });

  it('carries a byte stream in whatever messages', async () => {
    const [client, handler] = await open('/mqtt', ['mqtt']);
    const { transport } = handler;
    assert.equal(transport.subprotocol, 'mqtt');
    const body = Buffer.alloc(500_000, 'stream');
    const received = collect(client, body.length + 4);
    put(transport.outbox, 'head');
    transport.outbox.append(body, 0, body.length);
    assert.equal(String((await received).data), `head${body}`);
    client.terminate();
    await handler.isClosed;
  });

  it('works over TLS', { skip: !hasOpenssl() && 'openssl is not installed' }, async () => {
    const authority = new TestAuthority('Test CA');
    await listener.close();
    const pair = authority.issue('/CN=localhost', 'server');
    const tls = { ...pair, caFile: null, requireClientCertificate: false };
    await start({ tls });
    const arrival = arrivals.next();
    const client = new WebSocket(`wss://localhost:${port}/stomp`, [], {
      ca: readFileSync(authority.caFile),
      family: 4,
    });
    await once(client, 'open');
    const handler = await arrival;
    assert.equal(handler.transport.secure, true);
    client.send('secret');
    await handler.bytes(6);
    listener.renewTls(await readTls(tls));
    client.close();
    await once(client, 'close');
    assert.equal(await handler.isClosed, null);
    authority.remove();
  });
});

/** Collects messages until `bytes` bytes have arrived, and joins them. */
function collect(client: WebSocket, bytes: number): Promise<{ data: Buffer; isBinary: boolean }> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let length = 0;
    const take = (data: Buffer, isBinary: boolean): void => {
      parts.push(data);
      length += data.length;
      if (length < bytes) return;
      client.off('message', take);
      resolve({ data: Buffer.concat(parts), isBinary });
    };
    client.on('message', take);
  });
}

async function get(path: string): Promise<{ status: number | undefined; upgrade: string | undefined }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, host: '127.0.0.1', path }, (response) => {
      response.resume();
      resolve({ status: response.statusCode, upgrade: response.headers.upgrade });
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}
