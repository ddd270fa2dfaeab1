// What the network layer costs by itself: small frames through outboxes over loopback, the WebSocket codec against the
// `ws` package, and the small decisions that outbox.ts and websocket-codec.ts refer to.
//
//   node bench/net.ts [--json] [name…]

import { createConnection } from 'node:net';
import { Duplex } from 'node:stream';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import * as ws from 'ws';
import { AddressLimit } from '../src/net/address-limit.ts';
import { ChunkGarbage } from '../src/net/chunk-garbage.ts';
import { Listener } from '../src/net/listener.ts';
import { OUTBOX_DEFAULTS, Outbox, type OutboxSink } from '../src/net/outbox.ts';
import { SlabPool } from '../src/net/slab-pool.ts';
import { TRANSPORT_DEFAULTS, type TransportContext } from '../src/net/socket-transport.ts';
import { Ticker } from '../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../src/net/transport.ts';
import { WebSocketListener } from '../src/net/websocket.ts';
import { unmask, WebSocketReceiver } from '../src/net/websocket-codec.ts';
import { WebSocketFraming } from '../src/net/websocket-framing.ts';
import { type Figure, printFigures } from './figure.ts';

/** Exported by `ws`, but missing from its type declarations. */
interface WsParts {
  Receiver: new (options: object) => Duplex;
  Sender: new (socket: Duplex) => { send(data: Buffer, options: object, done: undefined): void };
}
const { Receiver, Sender } = ws as unknown as WsParts;

const SECONDS = 2;
const FRAME_BYTES = 100;
const STOMP_BYTES = 250;

const figures: Figure[] = [];

/** Flushes once a turn, as the core's Turn does. The network layer does not import the core. */
class Turns {
  private waiting: { flush(): void }[] = [];
  private readonly end = (): void => {
    const due = this.waiting;
    this.waiting = [];
    for (const outbox of due) outbox.flush();
  };

  flushLater(outbox: { flush(): void }): void {
    if (this.waiting.push(outbox) === 1) setImmediate(this.end);
  }
}

function newContext(): TransportContext {
  return {
    scheduler: new Turns(),
    pool: new SlabPool(),
    outbox: OUTBOX_DEFAULTS,
    ticker: new Ticker(fail),
    garbage: new ChunkGarbage(null),
    addresses: new AddressLimit(1000),
    transport: TRANSPORT_DEFAULTS,
    stopping: false,
    onHandlerError: fail,
    onExpired: fail,
  };
}

function fail(error: unknown): void {
  throw error;
}

function report(title: string, count: number, seconds: number): void {
  figures.push({ title, value: count / seconds, unit: '/s', target: '' });
}

/** Runs `round` (`perRound` operations) for a fixed time, after rounds that warm up the compiler. */
function measure(name: string, perRound: number, round: () => void): void {
  for (const until = performance.now() + 200; performance.now() < until; ) round();
  let rounds = 0;
  const started = performance.now();
  while (performance.now() - started < SECONDS * 500) {
    round();
    rounds++;
  }
  report(name, rounds * perRound, (performance.now() - started) / 1000);
}

/** Accepts every write at once, like a kernel with unlimited buffers. */
class Sink implements OutboxSink {
  readonly writableLength = 0;
  bytes = 0;
  private callbacks: (() => void)[] = [];
  cork(): void {}
  uncork(): void {}
  write(chunk: Buffer, sent?: () => void): boolean {
    this.bytes += chunk.length;
    if (sent !== undefined) this.callbacks.push(sent);
    return true;
  }
  complete(): void {
    for (const sent of this.callbacks) sent();
    this.callbacks = [];
  }
}

const nobody = { drained(): void {}, stalled(): void {} };

function benchOutbox(): void {
  for (const framing of [null, new WebSocketFraming(false)]) {
    const sink = new Sink();
    const context = { ...newContext(), scheduler: { flushLater(): void {} } };
    const outbox = new Outbox(sink, nobody, context, framing);
    const body = Buffer.alloc(FRAME_BYTES - 20, 1);
    const kind = framing === null ? 'byte stream' : 'a WebSocket message each';
    measure(`outbox: header in place, body appended, ${kind}`, 500, () => {
      for (let i = 0; i < 500; i++) {
        outbox.reserve(FRAME_BYTES);
        const { buffer } = outbox;
        const at = outbox.position;
        for (let k = 0; k < 20; k++) buffer[at + k] = k;
        outbox.position = at + 20;
        outbox.append(body, 0, body.length);
        outbox.endMessage();
      }
      outbox.flush();
      sink.complete();
    });
  }
}

function benchCopy(): void {
  const target = Buffer.alloc(65536);
  const source = Buffer.alloc(65536, 1);
  for (const bytes of [8, 16, 24, 32, 48, 64, 128]) {
    measure(`copy ${bytes} bytes, loop`, 1000, () => {
      for (let i = 0; i < 1000; i++) {
        let at = i;
        for (let from = i + 7; from < i + 7 + bytes; from++) target[at++] = source[from]!;
      }
    });
    measure(`copy ${bytes} bytes, Buffer.copy`, 1000, () => {
      for (let i = 0; i < 1000; i++) source.copy(target, i, i + 7, i + 7 + bytes);
    });
  }
}

function maskedFrames(count: number, payloadBytes: number, key: number, text: boolean): Buffer {
  const header = payloadBytes < 126 ? 6 : payloadBytes < 65536 ? 8 : 14;
  const all = Buffer.alloc(count * (header + payloadBytes));
  for (let i = 0; i < count; i++) {
    const at = i * (header + payloadBytes);
    all[at] = text ? 0x81 : 0x82;
    all[at + 1] = 0x80 | (header === 6 ? payloadBytes : header === 8 ? 126 : 127);
    if (header === 8) all.writeUInt16BE(payloadBytes, at + 2);
    if (header === 14) all.writeUInt32BE(payloadBytes, at + 6);
    all.writeInt32LE(key, at + header - 4);
    all.fill(0x61, at + header, at + header + payloadBytes);
    unmask(all, at + header, at + header, payloadBytes, key);
  }
  return all;
}

function benchUnmask(): void {
  const chunk = Buffer.allocUnsafeSlow(65536);
  for (const bytes of [16, 32, 64, 128, 250, 1024, 16384]) {
    for (const shift of [0, 6, 8]) {
      measure(`unmask ${bytes} bytes, moved by ${shift}`, 1000, () => {
        for (let i = 0; i < 1000; i++) unmask(chunk, 16 + (i & 7), 16 + (i & 7) - shift, bytes, 0x12345678);
      });
    }
  }
}

function benchReceive(): void {
  for (const text of [false, true]) {
    for (const bytes of [FRAME_BYTES, STOMP_BYTES, 4096]) {
      const count = Math.floor(65536 / (bytes + 8));
      const frames = maskedFrames(count, bytes, 0x12345678, text);
      const ours = new WebSocketReceiver(
        {
          payload(run: Buffer): boolean {
            return run.length > 0;
          },
          ping(): void {},
          closeFrame(): void {},
          violation(_code, reason): void {
            throw new Error(reason);
          },
        },
        2 ** 24,
      );
      const kind = text ? 'text' : 'binary';
      // Each round needs masked bytes, so both figures include the copy of the chunk.
      measure(`receive ${bytes} bytes ${kind}`, count, () => void ours.receive(Buffer.from(frames)));
      const theirs = new Receiver({ isServer: true, skipUTF8Validation: false, allowSynchronousEvents: true });
      theirs.on('message', () => {});
      measure(`receive ${bytes} bytes ${kind}, ws`, count, () => void theirs.write(Buffer.from(frames)));
    }
  }
}

function benchSend(): void {
  const hole = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done(), writev: (_chunks, done) => done() });
  const sender = new Sender(hole);
  const body = Buffer.alloc(STOMP_BYTES, 97);
  const options = { fin: true, compress: false, binary: true, mask: false };
  measure(`send ${STOMP_BYTES} bytes, ws`, 500, () => {
    hole.cork();
    for (let i = 0; i < 500; i++) sender.send(body, options, undefined);
    hole.uncork();
  });
  const sink = new Sink();
  const context = { ...newContext(), scheduler: { flushLater(): void {} } };
  const outbox = new Outbox(sink, nobody, context, new WebSocketFraming(false));
  measure(`send ${STOMP_BYTES} bytes, a message each`, 500, () => {
    for (let i = 0; i < 500; i++) {
      outbox.reserve(STOMP_BYTES);
      outbox.append(body, 0, STOMP_BYTES);
      outbox.endMessage();
    }
    outbox.flush();
    sink.complete();
  });
}

/** Echoes each frame separately, so that each pays for a reservation and a copy. */
class Echo implements TransportHandler {
  private readonly transport: Transport;
  private readonly frameBytes: number;
  private readonly each: boolean;
  private left: Buffer;

  constructor(transport: Transport, frameBytes: number, each: boolean) {
    this.transport = transport;
    this.frameBytes = frameBytes;
    this.each = each;
    this.left = Buffer.alloc(0);
  }

  sayFault(): boolean {
    return false;
  }

  data(chunk: Buffer): void {
    const { outbox } = this.transport;
    const input = this.left.length === 0 ? chunk : Buffer.concat([this.left, chunk]);
    let at = 0;
    for (; at + this.frameBytes <= input.length; at += this.frameBytes) {
      outbox.reserve(this.frameBytes);
      outbox.append(input, at, at + this.frameBytes);
      if (this.each) outbox.endMessage();
    }
    this.left = Buffer.from(input.subarray(at));
    if (!outbox.writable) this.transport.pause();
  }

  drained(): void {
    this.transport.resume();
  }

  closed(): void {}
}

/** The peer runs in its own thread, writes as fast as backpressure allows and counts the echoed bytes. */
async function echoRate(name: string, port: number, path: string | null, frameBytes: number, mask = 0): Promise<void> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { port, path, frameBytes, mask } });
  const cpu = process.cpuUsage();
  const bytes = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const used = process.cpuUsage(cpu);
  report(name, bytes / frameBytes, SECONDS);
  const cores = (used.user + used.system) / 1e6 / SECONDS;
  figures.push({ title: '  processor, peer included', value: cores, unit: 'cores', target: '' });
  await worker.terminate();
}

async function benchEcho(): Promise<void> {
  const context = newContext();
  const options = { name: 'bench', host: '127.0.0.1', port: 0, tls: null, maxConnections: 10 };
  const plain = new Listener(options, (transport) => new Echo(transport, FRAME_BYTES, false), context, {
    refused() {},
    full() {},
    addressFull() {},
  });
  await echoRate(`echo ${FRAME_BYTES} bytes over TCP`, await plain.listen(), null, FRAME_BYTES);
  await plain.close();
  const path = { protocols: [], optional: true, byteStream: false };
  const web = new WebSocketListener(
    {
      ...options,
      maxMessageBytes: 2 ** 24,
      origins: ['same'],
      credentials: { basic: false, cookie: null },
      maxInflatedBytes: null,
      paths: new Map([
        ['/turn', { ...path, accept: (transport: Transport) => new Echo(transport, STOMP_BYTES, false) }],
        ['/each', { ...path, accept: (transport: Transport) => new Echo(transport, STOMP_BYTES, true) }],
      ]),
    },
    context,
    { refused() {}, full() {}, addressFull() {} },
  );
  const port = await web.listen();
  await echoRate(`echo ${STOMP_BYTES} bytes over WebSocket, a message a turn`, port, '/turn', STOMP_BYTES, 0x12345678);
  await echoRate(`echo ${STOMP_BYTES} bytes over WebSocket, a message each`, port, '/each', STOMP_BYTES, 0x12345678);
  await web.close();
}

/** The peer's side of an echo. It sends prebuilt raw frames to use as little CPU as possible. */
function peer(): void {
  const { port, path, frameBytes, mask } = workerData as {
    port: number;
    path: string | null;
    frameBytes: number;
    mask: number;
  };
  const count = Math.ceil(262144 / frameBytes);
  const block = path === null ? Buffer.alloc(count * frameBytes, 97) : maskedFrames(count, frameBytes, mask, true);
  const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
  let received = 0;
  let counting = false;
  const send = (): void => {
    while (socket.write(block));
  };
  socket.on('drain', send);
  socket.on('data', (chunk) => {
    if (counting) received += chunk.length;
  });
  const start = (): void => {
    send();
    setTimeout(() => {
      counting = true;
      setTimeout(() => {
        // With a message for each frame a header of four bytes is added to each; with a message a turn it is
        // negligible.
        parentPort!.postMessage(path === '/each' ? (received * frameBytes) / (frameBytes + 4) : received);
        socket.destroy();
      }, SECONDS * 1000);
    }, 500);
  };
  if (path === null) {
    socket.on('connect', start);
    return;
  }
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
  );
  socket.once('data', start);
}

if (!isMainThread) {
  peer();
} else {
  const all: Record<string, () => void | Promise<void>> = {
    outbox: benchOutbox,
    copy: benchCopy,
    unmask: benchUnmask,
    receive: benchReceive,
    send: benchSend,
    echo: benchEcho,
  };
  const asked = process.argv.slice(2).filter((word) => !word.startsWith('--'));
  for (const [name, bench] of Object.entries(all)) {
    if (asked.length === 0 || asked.includes(name)) await bench();
  }
  printFigures(figures);
}
