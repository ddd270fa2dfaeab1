// MQTT 3.1.1 load generator: publishes in batches, and writes all acknowledgements of one read at once.

import * as mqtt from '../../support/wire/mqtt.ts';
import { LoadSocket } from './load-socket.ts';
import { Publisher } from './publisher.ts';
import { Receiver } from './receiver.ts';
import { type Job, oneWay } from './workload.ts';

const { PACKET } = mqtt;
/** PUBACK, PUBREC, PUBREL and PUBCOMP: type, remaining length 2, packet id. */
const ACK_BYTES = 4;

export async function publish(job: Job, index: number, fail: (error: Error) => void): Promise<() => void> {
  const { workload } = job;
  const link = await openSession(job, `${job.name}-publisher-${index}`, fail);
  const bytes = mqtt.publish(topicOf(job), Buffer.alloc(workload.bytes, 'x'), workload.qos, 1);
  const bodyOffset = bytes.length - workload.bytes;
  const idOffset = workload.qos > 0 ? bodyOffset - 2 : -1;
  const publisher = new Publisher(link, { bytes, bodyOffset, idOffset }, workload, new Float64Array(job.counters));
  const answers = new Answers(link);
  link.use((buffer, end) => {
    let confirmed = 0;
    const done = eachPacket(buffer, end, (start, payload) => {
      const type = buffer[start]! >> 4;
      if (type === PACKET.puback || type === PACKET.pubcomp) confirmed++;
      else if (type === PACKET.pubrec) answers.add((PACKET.pubrel << 4) | 2, buffer, payload);
    });
    answers.flush();
    if (confirmed > 0) publisher.confirmed(confirmed);
    return done;
  });
  return () => publisher.start();
}

export async function consume(job: Job, index: number, fail: (error: Error) => void): Promise<void> {
  const link = await openSession(job, `${job.name}-${index}`, fail);
  const subscribe = mqtt.subscribe(1, topicOf(job), job.workload.qos);
  await link.request(subscribe, packetBytes, (buffer, start) => buffer[start]! >> 4 === PACKET.suback);
  const receiver = new Receiver(job);
  const answers = new Answers(link);
  link.use((buffer, end) => {
    const done = eachPacket(buffer, end, (start, payload) => {
      const head = buffer[start]!;
      if (head >> 4 === PACKET.publish) {
        const qos = (head >> 1) & 3;
        const afterTopic = payload + 2 + buffer.readUInt16BE(payload);
        if (qos > 0) answers.add((qos === 1 ? PACKET.puback : PACKET.pubrec) << 4, buffer, afterTopic);
        receiver.received(buffer, qos > 0 ? afterTopic + 2 : afterTopic);
      } else if (head >> 4 === PACKET.pubrel) {
        answers.add(PACKET.pubcomp << 4, buffer, payload);
      }
    });
    answers.flush();
    return done;
  });
}

async function openSession(job: Job, clientId: string, fail: (error: Error) => void): Promise<LoadSocket> {
  const link = new LoadSocket(job.port, fail, job.role === 'consume' && oneWay(job.workload));
  await link.request(
    mqtt.connect(clientId, { user: 'guest', password: 'guest', clean: !job.workload.kept }),
    packetBytes,
    (buffer, start) => {
      if (buffer[start]! >> 4 !== PACKET.connack) throw new Error('the broker answered CONNECT with something else');
      if (buffer[start + 3] !== 0) throw new Error(`the broker refused the session with ${buffer[start + 3]}`);
      return true;
    },
  );
  return link;
}

/** The MQTT topic for the routing key of the other protocols, so that an AMQP or STOMP consumer gets the messages. */
function topicOf(job: Job): string {
  return `${job.name.replaceAll('.', '/')}/key`;
}

/** Collects acknowledgements while a read is scanned and sends them in one write. */
class Answers {
  private readonly link: LoadSocket;
  private bytes: Buffer;
  private length: number;

  constructor(link: LoadSocket) {
    this.link = link;
    this.bytes = Buffer.allocUnsafeSlow(65_536);
    this.length = 0;
  }

  /** Adds an acknowledgement for the packet id at `idOffset`. */
  add(head: number, buffer: Buffer, idOffset: number): void {
    const { bytes, length } = this;
    bytes[length] = head;
    bytes[length + 1] = 2;
    bytes[length + 2] = buffer[idOffset]!;
    bytes[length + 3] = buffer[idOffset + 1]!;
    this.length += ACK_BYTES;
    if (this.length + ACK_BYTES > bytes.length) this.flush();
  }

  flush(): void {
    if (this.length === 0) return;
    // A copy, because the socket may keep the buffer.
    this.link.write(Buffer.from(this.bytes.subarray(0, this.length)));
    this.length = 0;
  }
}

function eachPacket(buffer: Buffer, end: number, onPacket: (start: number, payload: number) => void): number {
  let at = 0;
  for (;;) {
    const head = headBytes(buffer, at, end);
    if (head === 0) return at;
    const next = at + head + remaining(buffer, at);
    if (next > end) return at;
    onPacket(at, at + head);
    at = next;
  }
}

function packetBytes(buffer: Buffer, at: number, end: number): number {
  const head = headBytes(buffer, at, end);
  return head === 0 ? 0 : head + remaining(buffer, at);
}

/** Bytes before the payload (2 to 5), or 0 if more bytes are needed. */
function headBytes(buffer: Buffer, at: number, end: number): number {
  for (let i = at + 1; i < end; i++) if (buffer[i]! < 0x80) return i + 1 - at;
  return 0;
}

function remaining(buffer: Buffer, at: number): number {
  let value = 0;
  for (let i = at + 1, shift = 0; ; i++, shift += 7) {
    value |= (buffer[i]! & 0x7f) << shift;
    if (buffer[i]! < 0x80) return value;
  }
}
