// STOMP 1.2 load generator over TCP or WebSocket. Finds the end of a frame by content-length, without scanning the
// body.

import * as stomp from '../../support/wire/stomp.ts';
import { message, OPCODE } from '../../support/wire/websocket.ts';
import { LoadSocket, type Scan } from './load-socket.ts';
import { Publisher } from './publisher.ts';
import { Receiver } from './receiver.ts';
import { unwrap, upgrade } from './websocket.ts';
import { type Job, oneWay } from './workload.ts';

const LF = 10;
const CR = 13;
const LETTER = { E: 69, M: 77, R: 82 } as const;
const CONTENT_LENGTH = Buffer.from('content-length:', 'latin1');

export async function publish(job: Job, _index: number, fail: (error: Error) => void): Promise<() => void> {
  const { workload } = job;
  const link = await openSession(job, fail);
  const headers = workload.window > 0 ? { receipt: 'r' } : {};
  const send = stomp.send(destinationOf(job), Buffer.alloc(workload.bytes, 'x'), headers);
  const bytes = link.web ? message(OPCODE.binary, send) : send;
  const bodyOffset = bytes.length - 1 - workload.bytes;
  const counters = new Float64Array(job.counters);
  const publisher = new Publisher(link.socket, { bytes, bodyOffset, idOffset: -1 }, workload, counters);
  link.use((buffer, end) => {
    let confirmed = 0;
    const done = eachFrame(buffer, end, (start) => {
      if (buffer[start] === LETTER.R) confirmed++;
      else failOnError(buffer, start);
    });
    if (confirmed > 0) publisher.confirmed(confirmed);
    return done;
  });
  return () => publisher.start();
}

export async function consume(job: Job, index: number, fail: (error: Error) => void): Promise<void> {
  const link = await openSession(job, fail);
  await link.request(
    stomp.subscribe(`s${index}`, destinationOf(job), { ack: 'auto', receipt: 'subscribed' }),
    LETTER.R,
  );
  const receiver = new Receiver(job);
  link.use((buffer, end) =>
    eachFrame(buffer, end, (start, body) => {
      if (buffer[start] === LETTER.M) receiver.received(buffer, body);
      else failOnError(buffer, start);
    }),
  );
}

/** A STOMP connection over either transport. */
class StompLink {
  readonly socket: LoadSocket;
  readonly web: boolean;

  constructor(socket: LoadSocket, web: boolean) {
    this.socket = socket;
    this.web = web;
  }

  use(scan: Scan): void {
    this.socket.use(this.web ? unwrap(scan) : scan);
  }

  /** Sends a frame and resolves with the first answer whose command starts with `letter`. */
  request(frame: Buffer, letter: number): Promise<void> {
    return new Promise((resolve) => {
      this.use((buffer, end) =>
        eachFrame(buffer, end, (start) => {
          failOnError(buffer, start);
          if (buffer[start] === letter) resolve();
        }),
      );
      this.socket.write(this.web ? message(OPCODE.text, frame) : frame);
    });
  }
}

async function openSession(job: Job, fail: (error: Error) => void): Promise<StompLink> {
  const socket = new LoadSocket(job.port, fail, job.role === 'consume' && oneWay(job.workload));
  const web = job.workload[job.role === 'publish' ? 'publisher' : 'consumer'] === 'webstomp';
  if (web) await upgrade(socket, job.path, 'v12.stomp');
  const link = new StompLink(socket, web);
  await link.request(stomp.connect('guest', 'guest'), 'C'.charCodeAt(0));
  return link;
}

function destinationOf(job: Job): string {
  return job.workload.address === 'queue' ? `/queue/${job.name}` : `/topic/${job.name}.key`;
}

/** Calls `onFrame` for each complete frame and returns the offset of the first incomplete one. */
function eachFrame(buffer: Buffer, end: number, onFrame: (start: number, body: number) => void): number {
  let at = 0;
  for (;;) {
    while (at < end && (buffer[at] === LF || buffer[at] === CR)) at++;
    const start = at;
    let line = start;
    let length = -1;
    // Finds the empty line that ends the headers. A loop, because `indexOf` costs more for lines of 20 bytes.
    for (let i = start; ; i++) {
      if (i >= end) return start;
      if (buffer[i] !== LF) continue;
      const empty = i === line || (i === line + 1 && buffer[line] === CR);
      if (!empty && isContentLength(buffer, line)) length = decimal(buffer, line + CONTENT_LENGTH.length, i);
      line = i + 1;
      if (empty) break;
    }
    let next = line + length + 1;
    if (length === -1) {
      const zero = buffer.indexOf(0, line);
      if (zero === -1) return start;
      next = zero + 1;
    }
    if (next > end) return start;
    onFrame(start, line);
    at = next;
  }
}

function isContentLength(buffer: Buffer, line: number): boolean {
  if (buffer[line] !== CONTENT_LENGTH[0] || buffer[line + 8] !== CONTENT_LENGTH[8]) return false;
  return CONTENT_LENGTH.compare(buffer, line, line + CONTENT_LENGTH.length) === 0;
}

function decimal(buffer: Buffer, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = buffer[i]! - 48;
    if (digit >= 0 && digit <= 9) value = value * 10 + digit;
  }
  return value;
}

function failOnError(buffer: Buffer, start: number): void {
  if (buffer[start] !== LETTER.E) return;
  throw new Error(`the broker answered ${buffer.toString('utf8', start, Math.min(buffer.length, start + 200))}`);
}
