// A TCP connection: an error on it or in its handler ends only this connection. It ends in order if possible, and
// otherwise within a bounded time.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Listener } from '../../src/net/listener.ts';
import { TransportError } from '../../src/net/socket-transport.ts';
import { ticksFor } from '../../src/net/ticker.ts';
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
const SLOW_READER_MS = 2000;

describe('a connection', () => {
  let context: TestContext;
  let listener: Listener;
  let arrivals: Arrivals;
  let port: number;

  beforeEach(async () => {
    context = newContext({ transport: { lingerMs: LINGER_MS, slowReaderTimeoutMs: SLOW_READER_MS } });
    arrivals = new Arrivals();
    const options = { name: 'test', host: '127.0.0.1', port: 0, tls: null, maxConnections: 100 };
    listener = new Listener(options, arrivals.accept, context, { refused() {}, full() {}, addressFull() {} });
    port = await listener.listen();
  });

  afterEach(async () => {
    await listener.close();
    assert.equal(listener.connectionCount, 0);
    assert.equal(context.ticker.size, 0);
  });

  async function open(): Promise<[Socket, TestHandler]> {
    const arrival = arrivals.next();
    const socket = await connected(port);
    return [socket, await arrival];
  }

  it('says who it is', async () => {
    const [socket, { transport }] = await open();
    assert.equal(transport.peer, `127.0.0.1:${socket.localPort}`);
    assert.equal(transport.local, `127.0.0.1:${port}`);
    assert.equal(transport.loopback, true);
    assert.equal(transport.secure, false);
    assert.equal(transport.clientCertificate, null);
    assert.equal(transport.subprotocol, '');
    socket.destroy();
  });

  it('carries bytes both ways and counts them', async () => {
    const [socket, handler] = await open();
    handler.onData = (chunk) => handler.transport.outbox.append(chunk, 0, chunk.length);
    socket.write('there and back');
    assert.equal(String(await readBytes(socket, 14)), 'there and back');
    assert.equal(handler.transport.bytesRead, 14);
    assert.equal(handler.transport.bytesWritten, 14);
    socket.destroy();
  });

  it('reads nothing ahead while it is paused', async () => {
    const [socket, handler] = await open();
    const [other, echo] = await open();
    const all = 1024 * 1024;
    const whole = new Promise<void>((resolve) => {
      let received = 0;
      handler.onData = (chunk) => {
        if (received === 0) handler.transport.pause();
        received += chunk.length;
        if (received === all) resolve();
      };
    });
    echo.onData = (chunk) => echo.transport.outbox.append(chunk, 0, chunk.length);
    socket.write(Buffer.alloc(all, 'a'));
    // The broker's event loop goes round for each of these, and would read more if it wanted to.
    for (let i = 0; i < 20; i++) {
      other.write('x');
      await readBytes(other, 1);
    }
    const first = handler.transport.bytesRead;
    assert.ok(first > 0 && first <= 64 * 1024, `one chunk, not ${first} bytes`);
    handler.transport.resume();
    await whole;
    assert.equal(handler.transport.bytesRead, all);
    socket.destroy();
    other.destroy();
  });

  it('gives its slabs back to the pool', async () => {
    const [socket, handler] = await open();
    const body = Buffer.alloc(3_000_000, 'b');
    put(handler.transport.outbox, 'head');
    handler.transport.outbox.append(body, 0, body.length);
    put(handler.transport.outbox, 'tail');
    const received = readAll(socket);
    handler.transport.end();
    assert.equal(String(await received), `head${body}tail`);
    socket.end();
    await handler.isClosed;
    assert.equal(context.pool.lentBytes, 0);
  });

  it('flushes before its FIN, and is closed without an error', async () => {
    const [socket, handler] = await open();
    put(handler.transport.outbox, 'goodbye');
    handler.transport.end();
    put(handler.transport.outbox, 'too late');
    assert.equal(String(await readAll(socket)), 'goodbye');
    assert.equal(await handler.isClosed, null);
    assert.equal(handler.closedCount, 1);
  });

  it('still sends pending bytes when the peer sends its FIN', async () => {
    const [socket, handler] = await open();
    handler.onData = () => put(handler.transport.outbox, 'the answer');
    socket.end('the question');
    assert.equal(String(await readAll(socket)), 'the answer');
    assert.equal(await handler.isClosed, null);
  });

  it('delivers nothing after it ended, and drops what the peer still sends', async () => {
    const [socket, handler] = await open();
    handler.onData = () => handler.transport.end();
    socket.write('last');
    await once(socket.resume(), 'end');
    assert.equal(String(handler.received), 'last');
    socket.end('ignored');
    assert.equal(await handler.isClosed, null);
    assert.equal(String(handler.received), 'last');
  });

  it('is closed after the linger time if the peer does not close', async () => {
    const arrival = arrivals.next();
    const socket = await connectedHalfOpen(port);
    const handler = await arrival;
    handler.transport.end();
    await once(socket.resume(), 'end');
    for (let i = 0; i < ticksFor(LINGER_MS); i++) {
      assert.equal(handler.closedCount, 0);
      context.ticker.advance();
    }
    const error = await handler.isClosed;
    assert.ok(error instanceof TransportError);
    assert.equal(error.code, 'linger-expired');
    socket.destroy();
  });

  it('delivers nothing while it is paused, and all of it afterwards', async () => {
    const [socket, handler] = await open();
    handler.onData = () => handler.transport.pause();
    socket.write('first');
    await handler.bytes(5);
    socket.write('x'.repeat(200_000));
    const other = arrivals.next();
    const canary = await connected(port);
    const canaryHandler = await other;
    canary.write('c');
    await canaryHandler.bytes(1);
    assert.equal(handler.received.length, 5);
    handler.onData = () => {};
    handler.transport.resume();
    await handler.bytes(200_005);
    socket.destroy();
    canary.destroy();
  });

  it('is closed once, with no error to the process, when the peer resets it', async () => {
    const [socket, handler] = await open();
    socket.resetAndDestroy();
    const error = (await handler.isClosed) as NodeJS.ErrnoException | null;
    assert.equal(error?.code, 'ECONNRESET');
    for (let i = 0; i < 1000; i++) put(handler.transport.outbox, 'x'.repeat(1000));
    handler.transport.end();
    handler.transport.destroy();
    await new Promise(setImmediate);
    assert.equal(handler.closedCount, 1);
    assert.equal(context.pool.lentBytes, 0);
  });

  it('survives writing to a peer that is gone already', async () => {
    const [socket, handler] = await open();
    socket.resetAndDestroy();
    const body = Buffer.alloc(10_000_000);
    handler.transport.outbox.append(body, 0, body.length);
    await handler.isClosed;
    assert.equal(handler.closedCount, 1);
  });

  it('is the only one to end if its handler throws', async () => {
    const [socket, handler] = await open();
    const [canary, canaryHandler] = await open();
    const bug = new Error('a bug in the handler');
    handler.onData = () => {
      throw bug;
    };
    socket.write('provoke');
    assert.equal(await handler.isClosed, bug);
    assert.deepEqual(context.handlerErrors, [bug]);
    canary.write('fine');
    await canaryHandler.bytes(4);
    canary.destroy();
  });

  it('tells its peer of a fault with whole frames only', async () => {
    for (const [sent, expected] of [
      [10, 'whole fault'],
      // So much leaves within the turn: the peer has a part of the frame.
      [2_000_000, null],
    ] as const) {
      const [socket, handler] = await open();
      const bug = new Error('in the middle of a frame');
      handler.faultNotice = ' fault';
      handler.onData = (chunk) => {
        if (String(chunk) === 'first') put(handler.transport.outbox, 'whole');
        else {
          const part = Buffer.alloc(sent, 'p');
          handler.transport.outbox.append(part, 0, part.length);
          throw bug;
        }
      };
      const received = readAll(socket).catch(() => null);
      socket.write('first');
      await once(socket, 'readable');
      socket.write('second');
      assert.equal(await handler.isClosed, bug);
      if (expected !== null) assert.equal(String(await received), expected);
      else assert.ok(!String(await received).endsWith(' fault'));
      socket.destroy();
      assert.equal(handler.closedCount, 1);
    }
  });

  it('destroys a connection that the front-end refuses by throwing', async () => {
    const bug = new Error('no handler');
    const refusing = new Listener(
      { name: 'refusing', host: '127.0.0.1', port: 0, tls: null, maxConnections: 1 },
      () => {
        throw bug;
      },
      context,
      { refused() {}, full() {}, addressFull() {} },
    );
    const socket = await connected(await refusing.listen());
    assert.equal((await readAll(socket)).length, 0);
    assert.deepEqual(context.handlerErrors, [bug]);
    await refusing.close();
  });

  it('notifies its handler when a slow reader has caught up', async () => {
    const [socket, handler] = await open();
    const { outbox } = handler.transport;
    const body = Buffer.alloc(64 * 1024);
    let sent = 0;
    while (outbox.writable) {
      outbox.append(body, 0, body.length);
      sent += body.length;
    }
    await readBytes(socket, sent);
    while (handler.drainedCount === 0) await new Promise(setImmediate);
    assert.equal(outbox.writable, true);
    assert.equal(handler.drainedCount, 1);
    socket.destroy();
  });

  it('is closed when its peer takes nothing for the slow reader’s time, and not while it takes a little', async () => {
    const [socket, handler] = await open();
    socket.pause();
    const { outbox } = handler.transport;
    const body = Buffer.alloc(32 * 1024 * 1024);
    outbox.append(body, 0, body.length);
    for (let i = 1; i < ticksFor(SLOW_READER_MS); i++) context.ticker.advance();
    await readBytes(socket, 16 * 1024 * 1024);
    socket.pause();
    context.ticker.advance();
    await new Promise(setImmediate);
    assert.equal(handler.closedCount, 0, 'it had made progress');
    for (let i = 0; handler.closedCount === 0 && i < 100; i++) {
      context.ticker.advance();
      await new Promise(setImmediate);
    }
    const error = await handler.isClosed;
    assert.ok(error instanceof TransportError);
    assert.equal(error.code, 'slow-reader');
    assert.deepEqual(context.expired, ['slow-reader']);
    socket.destroy();
  });

  it('leaves the ticker when all bytes were accepted', async () => {
    const [socket, handler] = await open();
    const body = Buffer.alloc(16 * 1024 * 1024);
    handler.transport.outbox.append(body, 0, body.length);
    assert.equal(context.ticker.size, 1);
    await readBytes(socket, body.length);
    while (handler.transport.outbox.unsentBytes > 0) await new Promise(setImmediate);
    context.ticker.advance();
    assert.equal(context.ticker.size, 0);
    socket.destroy();
  });
});

async function connectedHalfOpen(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}
