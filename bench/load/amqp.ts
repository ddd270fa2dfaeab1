// AMQP 0-9-1 load generator: publishes batches, and counts deliveries by frame length without decoding them.

import * as amqp from '../../support/wire/amqp.ts';
import { LoadSocket } from './load-socket.ts';
import { Publisher, type Template } from './publisher.ts';
import { Receiver } from './receiver.ts';
import { type Job, oneWay } from './workload.ts';

export const CHANNEL = 1;
const FRAME_BYTES = 131_072;
/** Type, channel, size and end octet. */
const FRAME_OVERHEAD_BYTES = 8;

export async function publish(job: Job, _index: number, fail: (error: Error) => void): Promise<() => void> {
  const { workload } = job;
  const link = await openChannel(job, fail);
  if (workload.window > 0) await call(link, amqp.confirmSelect(CHANNEL), amqp.METHOD.confirmSelectOk);
  const publisher = new Publisher(link, template(job), workload, new Float64Array(job.counters));
  let confirmedTo = 0;
  link.use((buffer, end) => {
    let confirmed = 0;
    const done = eachFrame(buffer, end, (start) => {
      if (buffer[start] !== amqp.FRAME.method) return;
      const id = buffer.readUInt32BE(start + 7);
      if (id === amqp.METHOD.basicAck || id === amqp.METHOD.basicNack) {
        const tag = Number(buffer.readBigUInt64BE(start + 11));
        const multiple = buffer[start + 19] === 1;
        confirmed += multiple ? tag - confirmedTo : 1;
        if (tag > confirmedTo) confirmedTo = tag;
      } else {
        failOnClose(buffer, start, id);
      }
    });
    if (confirmed > 0) publisher.confirmed(confirmed);
    return done;
  });
  return () => publisher.start();
}

export async function consume(job: Job, index: number, fail: (error: Error) => void): Promise<void> {
  const { workload } = job;
  const link = await openChannel(job, fail);
  await subscribe(link, job, index);
  const receiver = new Receiver(job);
  const { ackEvery } = workload;
  let tag = 0;
  let acked = 0;
  /** Whether a body frame of the current delivery was seen: a large body has several. */
  let begun = true;
  link.use((buffer, end) => {
    const done = eachFrame(buffer, end, (start) => {
      const type = buffer[start];
      if (type === amqp.FRAME.header) begun = false;
      else if (type === amqp.FRAME.body && !begun) {
        begun = true;
        // Delivery tags start at 1 and increase by 1, because the channel has one consumer.
        tag++;
        receiver.received(buffer, start + amqp.FRAME_HEAD_BYTES);
      } else if (type === amqp.FRAME.method) {
        failOnClose(buffer, start, buffer.readUInt32BE(start + 7));
      }
    });
    if (ackEvery > 0 && tag - acked >= ackEvery) {
      for (; tag - acked >= ackEvery; acked += ackEvery) link.write(amqp.ack(CHANNEL, acked + ackEvery, true));
    }
    return done;
  });
}

/** A connection with one open channel. */
export async function openChannel(job: Job, fail: (error: Error) => void): Promise<LoadSocket> {
  const link = new LoadSocket(job.port, fail, job.role === 'consume' && oneWay(job.workload));
  await call(link, amqp.PROTOCOL_HEADER, amqp.METHOD.connectionStart);
  await call(link, amqp.startOk('guest', 'guest'), amqp.METHOD.connectionTune);
  link.write(amqp.tuneOk(2047, FRAME_BYTES, 0));
  await call(link, amqp.open('/'), amqp.METHOD.connectionOpenOk);
  await call(link, amqp.channelOpen(CHANNEL), amqp.METHOD.channelOpenOk);
  return link;
}

async function subscribe(link: LoadSocket, job: Job, index: number): Promise<void> {
  const { workload, name } = job;
  const shared = workload.address === 'queue';
  const queue = shared ? name : `${name}.${index}`;
  const flags = shared ? { durable: workload.durable, autoDelete: true } : { exclusive: true, autoDelete: true };
  await call(link, amqp.declareQueue(CHANNEL, queue, flags), amqp.METHOD.queueDeclareOk);
  if (!shared) {
    const bind = amqp.bindQueue(CHANNEL, queue, `amq.${workload.address}`, `${name}.key`);
    await call(link, bind, amqp.METHOD.queueBindOk);
  }
  if (workload.prefetch > 0) await call(link, amqp.qos(CHANNEL, workload.prefetch), amqp.METHOD.basicQosOk);
  const noAck = workload.ackEvery === 0;
  await call(link, amqp.consume(CHANNEL, queue, 'bench', noAck), amqp.METHOD.basicConsumeOk);
}

function template(job: Job): Template {
  const { workload, name } = job;
  const body = Buffer.alloc(workload.bytes, 'x');
  const exchange = workload.address === 'queue' ? '' : `amq.${workload.address}`;
  const key = workload.address === 'queue' ? name : `${name}.key`;
  const { short, shortstr, octet } = amqp;
  const head = Buffer.concat([
    amqp.method(CHANNEL, amqp.METHOD.basicPublish, short(0), shortstr(exchange), shortstr(key), octet(0)),
    amqp.contentHeader(CHANNEL, workload.bytes, workload.durable ? 2 : 1),
  ]);
  const frames: Buffer[] = [];
  for (let at = 0; at < body.length; at += FRAME_BYTES - FRAME_OVERHEAD_BYTES) {
    frames.push(amqp.frame(amqp.FRAME.body, CHANNEL, body.subarray(at, at + FRAME_BYTES - FRAME_OVERHEAD_BYTES)));
  }
  const bytes = Buffer.concat([head, ...frames]);
  return { bytes, bodyOffset: head.length + amqp.FRAME_HEAD_BYTES, idOffset: -1 };
}

export function call(link: LoadSocket, bytes: Buffer, answer: amqp.MethodId): Promise<void> {
  return link.request(bytes, amqp.frameBytes, (buffer, start) => {
    if (buffer[start] !== amqp.FRAME.method) return false;
    const id = buffer.readUInt32BE(start + 7);
    failOnClose(buffer, start, id);
    return id === answer;
  });
}

export function eachFrame(buffer: Buffer, end: number, onFrame: (start: number) => void): number {
  let at = 0;
  for (;;) {
    const bytes = amqp.frameBytes(buffer, at, end);
    if (bytes === 0 || at + bytes > end) return at;
    onFrame(at);
    at += bytes;
  }
}

export function failOnClose(buffer: Buffer, start: number, id: number): void {
  if (id !== amqp.METHOD.connectionClose && id !== amqp.METHOD.channelClose) return;
  const code = buffer.readUInt16BE(start + 11);
  const text = buffer.toString('utf8', start + 14, start + 14 + buffer[start + 13]!);
  throw new Error(`the broker closed with ${code} ${text}`);
}
