// A durable queue with a long backlog: filled with confirms and without a consumer, killed, reopened, and consumed. The
// clients send prebuilt bytes, so that the measurement is of the broker.

import { setTimeout as delay } from 'node:timers/promises';
import { BrokerProcess } from './broker-process.ts';
import { RawClient } from './raw-client.ts';
import * as amqp from './wire/amqp.ts';

const BODY_BYTES = 1024;
/** Messages in one write, and the maximum of unconfirmed ones. */
const BATCH = 250;
const WINDOW = 2000;
const PREFETCH = 1000;
const ACK_EVERY = 100;
/** A queue that fits into memory, for comparison, and how often it is filled and consumed. */
const SHORT = 20_000;
const SHORT_ROUNDS = 8;
const SAMPLE_MS = 100;
const { METHOD } = amqp;

export interface BacklogFigures {
  readonly publishedPerS: number;
  /** From the start of the new process until it reports the number of messages in the queue. */
  readonly readyMs: number;
  readonly recovered: number;
  readonly consumedPerS: number;
  readonly shortConsumedPerS: number;
  readonly mostRssAnonMib: number;
}

/** Throws if a message is missing, damaged, duplicated or out of order. */
export async function runBacklog(messages: number): Promise<BacklogFigures> {
  const broker = await BrokerProcess.start();
  const memory = new MemoryWatch(broker);
  try {
    const shortConsumedPerS = await shortQueueRate(broker);
    const publisher = await openChannel(broker);
    await declare(publisher, 'backlog');
    const publishedPerS = await publish(publisher, 'backlog', messages);
    await broker.kill();
    const spawned = performance.now();
    await broker.restart();
    const consumer = await openChannel(broker);
    const recovered = await countOf(consumer, 'backlog');
    const readyMs = performance.now() - spawned;
    const consumedPerS = await consume(consumer, 'backlog', messages);
    const left = await countOf(await openChannel(broker), 'backlog');
    if (left !== 0) throw new Error(`${left} messages are left in the queue`);
    const mostRssAnonMib = await memory.end();
    return { publishedPerS, readyMs, recovered, consumedPerS, shortConsumedPerS, mostRssAnonMib };
  } finally {
    await memory.end();
    await broker.end();
  }
}

/** Samples the broker's anonymous memory throughout. */
class MemoryWatch {
  private readonly broker: BrokerProcess;
  private readonly stop: AbortController;
  private readonly watching: Promise<void>;
  private most: number;

  constructor(broker: BrokerProcess) {
    this.broker = broker;
    this.stop = new AbortController();
    this.most = 0;
    this.watching = this.watch();
  }

  async end(): Promise<number> {
    this.stop.abort();
    await this.watching;
    return this.most;
  }

  private async watch(): Promise<void> {
    while (!this.stop.signal.aborted) {
      // Between the kill and the restart there is no process to sample.
      this.most = Math.max(this.most, await this.broker.statusMib('RssAnon').catch(() => 0));
      await delay(SAMPLE_MS, undefined, { signal: this.stop.signal }).catch(() => {});
    }
  }
}

async function shortQueueRate(broker: BrokerProcess): Promise<number> {
  let rate = 0;
  for (let round = 0; round < SHORT_ROUNDS; round++) {
    const channel = await openChannel(broker);
    await declare(channel, 'short');
    await publish(channel, 'short', SHORT);
    // The first rounds warm up the compiler; the best round counts.
    rate = Math.max(rate, await consume(channel, 'short', SHORT));
    channel.destroy();
  }
  return rate;
}

async function openChannel(broker: BrokerProcess): Promise<RawClient> {
  const client = await RawClient.connect(broker.endpoints.amqp);
  client.send(amqp.PROTOCOL_HEADER);
  await answer(client, METHOD.connectionStart);
  client.send(amqp.startOk('guest', 'guest'));
  await answer(client, METHOD.connectionTune);
  client.send(amqp.tuneOk(16, 131_072, 0), amqp.open('/'), amqp.channelOpen(1), amqp.confirmSelect(1));
  await answer(client, METHOD.confirmSelectOk);
  return client;
}

async function declare(client: RawClient, queue: string): Promise<void> {
  client.send(amqp.declareQueue(1, queue, { durable: true }));
  await answer(client, METHOD.queueDeclareOk);
}

/** Number of ready messages in the queue. */
async function countOf(client: RawClient, queue: string): Promise<number> {
  client.send(amqp.checkQueue(1, queue));
  const frames = await answer(client, METHOD.queueDeclareOk);
  // The method ends with message count, consumer count and the frame's end.
  return frames.readUInt32BE(frames.length - 9);
}

/** Publishes with confirms; resolves with the rate when all are confirmed. */
async function publish(client: RawClient, queue: string, messages: number): Promise<number> {
  const one = amqp.publish(1, '', queue, Buffer.alloc(BODY_BYTES), 2);
  const bodyOffset = one.length - 1 - BODY_BYTES;
  let sent = 0;
  let confirmed = 0;
  const send = () => {
    while (sent < messages && sent - confirmed < WINDOW) {
      const count = Math.min(BATCH, messages - sent);
      const batch = Buffer.concat(Array.from({ length: count }, () => one));
      for (let i = 0; i < count; i++) writeBody(batch, i * one.length + bodyOffset, sent + i);
      sent += count;
      client.send(batch);
    }
  };
  const started = performance.now();
  send();
  await client.drain(
    (received) =>
      eachFrame(received, (at) => {
        const id = received[at] === amqp.FRAME.method ? received.readUInt32BE(at + 7) : 0;
        if (id === METHOD.basicNack) throw new Error('a publish was refused');
        if (id !== METHOD.basicAck) return;
        const tag = Number(received.readBigUInt64BE(at + 11));
        confirmed = received[at + 19] === 1 ? tag : confirmed + 1;
        send();
      }),
    () => confirmed === messages,
  );
  return (messages / (performance.now() - started)) * 1000;
}

/** Consumes `count` messages, acknowledges every hundredth, and checks each body; resolves with the rate. */
async function consume(client: RawClient, queue: string, messages: number): Promise<number> {
  let next = 0;
  let acknowledged = 0;
  const started = performance.now();
  client.send(amqp.qos(1, PREFETCH), amqp.consume(1, queue, 'all', false));
  await client.drain(
    (received) => {
      const done = eachFrame(received, (at) => {
        if (received[at] === amqp.FRAME.body) checkBody(received, at + amqp.FRAME_HEAD_BYTES, next++);
      });
      const due = next === messages ? next : next - (next % ACK_EVERY);
      if (due > acknowledged) client.send(amqp.ack(1, (acknowledged = due), true));
      return done;
    },
    () => next === messages,
  );
  const rate = (messages / (performance.now() - started)) * 1000;
  client.send(amqp.method(1, METHOD.basicCancel, amqp.shortstr('all'), amqp.octet(0)));
  await answer(client, METHOD.basicCancelOk);
  return rate;
}

/** The message's number, then bytes derived from it, so that a wrong or torn body is detected. */
function writeBody(buffer: Buffer, at: number, index: number): void {
  buffer.writeUInt32BE(index, at);
  buffer.fill(index % 251, at + 4, at + BODY_BYTES);
}

const patterns = Array.from({ length: 251 }, (_, byte) => Buffer.alloc(BODY_BYTES - 4, byte));

function checkBody(buffer: Buffer, at: number, index: number): void {
  const found = buffer.readUInt32BE(at);
  if (found !== index) throw new Error(`message ${found} came in place of ${index}`);
  const pattern = patterns[index % 251]!;
  if (pattern.compare(buffer, at + 4, at + BODY_BYTES) !== 0)
    throw new Error(`the body of message ${index} is damaged`);
}

/** Waits for the frame of that method; returns all bytes up to its end. */
function answer(client: RawClient, id: amqp.MethodId): Promise<Buffer> {
  return client.until((received) => {
    let end = 0;
    eachFrame(received, (at, next) => {
      if (end === 0 && received[at] === amqp.FRAME.method && received.readUInt32BE(at + 7) === id) end = next;
    });
    return end;
  });
}

/** Calls `onFrame` with start and end of each complete frame; returns the end of the last one. */
function eachFrame(received: Buffer, onFrame: (at: number, next: number) => void): number {
  for (let at = 0; ; ) {
    const bytes = amqp.frameBytes(received, at, received.length);
    if (bytes === 0 || at + bytes > received.length) return at;
    onFrame(at, at + bytes);
    at += bytes;
  }
}
