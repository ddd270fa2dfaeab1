// Request and reply over AMQP. A requester keeps a window of outstanding requests with `amq.rabbitmq.reply-to` as their
// reply address. A service answers each through the default exchange, as RPC servers do.

import * as amqp from '../../support/wire/amqp.ts';
import { CHANNEL, call, eachFrame, failOnClose, openChannel } from './amqp.ts';
import type { LoadSocket } from './load-socket.ts';
import { Publisher } from './publisher.ts';
import { Receiver } from './receiver.ts';
import type { Job } from './workload.ts';

const DIRECT_REPLY = 'amq.rabbitmq.reply-to';
/** property-flags of a header with reply-to only. */
const REPLY_TO_FLAG = 0x0200;
const HEADER_BYTES = 12;

/** The requester. A reply counts as the confirm of its request. */
export async function publish(job: Job, _index: number, fail: (error: Error) => void): Promise<() => void> {
  const { workload, name } = job;
  const link = await openChannel(job, fail);
  await call(link, amqp.consume(CHANNEL, DIRECT_REPLY, 'replies', true), amqp.METHOD.basicConsumeOk);
  const body = Buffer.alloc(workload.bytes, 'x');
  const bytes = withReplyTo(name, body);
  const template = { bytes, bodyOffset: bytes.length - 1 - workload.bytes, idOffset: -1 };
  const publisher = new Publisher(link, template, workload, new Float64Array(job.counters));
  link.use((buffer, end) => {
    let replies = 0;
    const done = eachFrame(buffer, end, (start) => {
      if (buffer[start] === amqp.FRAME.body) replies++;
      else if (buffer[start] === amqp.FRAME.method) failOnClose(buffer, start, buffer.readUInt32BE(start + 7));
    });
    if (replies > 0) publisher.confirmed(replies);
    return done;
  });
  return () => publisher.start();
}

/** The service. */
export async function consume(job: Job, _index: number, fail: (error: Error) => void): Promise<void> {
  const link = await openChannel(job, fail);
  await call(link, amqp.declareQueue(CHANNEL, job.name, { autoDelete: true }), amqp.METHOD.queueDeclareOk);
  await call(link, amqp.consume(CHANNEL, job.name, 'service', true), amqp.METHOD.basicConsumeOk);
  serve(link, job);
}

function serve(link: LoadSocket, job: Job): void {
  const receiver = new Receiver(job);
  /** All requests of a run have the same reply address, so the publish frame is encoded once. */
  let address: Buffer = Buffer.alloc(0);
  let reply: Buffer = address;
  link.use((buffer, end) => {
    const replies: Buffer[] = [];
    const done = eachFrame(buffer, end, (start) => {
      const type = buffer[start];
      if (type === amqp.FRAME.header) {
        const at = start + amqp.FRAME_HEAD_BYTES + HEADER_BYTES;
        const length = buffer[at + 2]!;
        if (buffer.readUInt16BE(at) !== REPLY_TO_FLAG) throw new Error('a request without its reply address alone');
        if (buffer.compare(address, 0, address.length, at + 3, at + 3 + length) !== 0) {
          address = Buffer.from(buffer.subarray(at + 3, at + 3 + length));
          reply = amqp.publish(CHANNEL, '', address.toString(), Buffer.alloc(job.workload.bytes, 'y'));
        }
      } else if (type === amqp.FRAME.body) {
        receiver.received(buffer, start + amqp.FRAME_HEAD_BYTES);
        replies.push(reply);
      } else if (type === amqp.FRAME.method) failOnClose(buffer, start, buffer.readUInt32BE(start + 7));
    });
    if (replies.length > 0) link.write(Buffer.concat(replies));
    return done;
  });
}

function withReplyTo(queue: string, body: Buffer): Buffer {
  const { method, frame, short, shortstr, octet, longlong, METHOD, FRAME } = amqp;
  const properties = [short(REPLY_TO_FLAG), shortstr(DIRECT_REPLY)];
  return Buffer.concat([
    method(CHANNEL, METHOD.basicPublish, short(0), shortstr(''), shortstr(queue), octet(0)),
    frame(FRAME.header, CHANNEL, Buffer.concat([short(60), short(0), longlong(body.length), ...properties])),
    frame(FRAME.body, CHANNEL, body),
  ]);
}
