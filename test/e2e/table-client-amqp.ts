// AMQP 0-9-1 in the notation of the cross-protocol tables. Lines: exchange, routing-key, the properties of class basic,
// `headers.NAME` in the notation of amqp-fields.ts, redelivered, body.

import assert from 'node:assert/strict';
import { argumentsOf, expectMethod, methodOf, openAmqp } from '../../support/raw-amqp.ts';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import * as amqp from '../../support/wire/amqp.ts';
import { encodeField, encodeTable, readFields } from '../../support/wire/amqp-fields.ts';
import { bodyOf, bodyText, type Line, lineOf, spacedLine, type TableClient, type Watcher } from './table-client.ts';

/** The properties in the order of their flags (§4.2.6.1 and class basic); the first one is bit 15. */
const PROPERTIES = [
  'content-type',
  'content-encoding',
  'headers',
  'delivery-mode',
  'priority',
  'correlation-id',
  'reply-to',
  'expiration',
  'message-id',
  'timestamp',
  'type',
  'user-id',
  'app-id',
  'cluster-id',
] as const;
/** Body frames have at most this size, well below the frame-max that `openAmqp` negotiates. */
const BODY_FRAME_BYTES = 100_000;
const OCTETS: readonly string[] = ['delivery-mode', 'priority'];

function encodeProperties(lines: readonly Line[]): Buffer {
  const parts: Buffer[] = [];
  let flags = 0;
  for (const [index, name] of PROPERTIES.entries()) {
    const value = name === 'headers' ? headersOf(lines) : lineOf(lines, name, '');
    if (value === '') continue;
    flags |= 1 << (15 - index);
    if (typeof value !== 'string') parts.push(value);
    else if (OCTETS.includes(name)) parts.push(amqp.octet(Number(value)));
    else if (name === 'timestamp') parts.push(encodeField(`T ${value}`).subarray(1));
    else parts.push(amqp.shortstr(value));
  }
  return Buffer.concat([amqp.short(flags), ...parts]);
}

function headersOf(lines: readonly Line[]): Buffer | '' {
  const headers = lines.filter(([name]) => name.startsWith('headers.'));
  if (headers.length === 0) return '';
  const fields = headers.map(([name, value]) => {
    const key = name.slice('headers.'.length);
    return `${key.startsWith('"') ? key : JSON.stringify(key)}: ${value}`;
  });
  return encodeTable(`{${fields.join(', ')}}`);
}

function readShortString(bytes: Buffer, at: number): [text: string, end: number] {
  const end = at + 1 + bytes[at]!;
  return [bytes.toString('utf8', at + 1, end), end];
}

function readProperties(bytes: Buffer, seen: Map<string, string>): void {
  const flags = bytes.readUInt16BE(0);
  let at = 2;
  for (const [index, name] of PROPERTIES.entries()) {
    if ((flags & (1 << (15 - index))) === 0) continue;
    if (name === 'headers') {
      const end = at + 4 + bytes.readUInt32BE(at);
      for (const [key, value] of readFields(bytes.subarray(at + 4, end))) seen.set(headerName(key), value);
      at = end;
    } else if (OCTETS.includes(name)) seen.set(name, String(bytes[at++]));
    else if (name === 'timestamp') {
      seen.set(name, String(bytes.readBigUInt64BE(at)));
      at += 8;
    } else {
      const [text, end] = readShortString(bytes, at);
      seen.set(name, text);
      at = end;
    }
  }
  assert.equal(at, bytes.length, 'the property list fills its frame');
}

function headerName(name: string): string {
  return `headers.${/^[^\s":\\]+$/.test(name) ? name : JSON.stringify(name)}`;
}

export class AmqpTableClient implements TableClient {
  private readonly port: number;
  private readonly publisher: RawClient;

  private constructor(port: number, publisher: RawClient) {
    this.port = port;
    this.publisher = publisher;
  }

  static async open(port: number): Promise<AmqpTableClient> {
    const publisher = await openAmqp(await tcp(port));
    publisher.send(amqp.confirmSelect(1));
    await expectMethod(publisher, amqp.METHOD.confirmSelectOk);
    return new AmqpTableClient(port, publisher);
  }

  line(text: string): Line {
    return spacedLine(text);
  }

  async publish(lines: readonly Line[]): Promise<void> {
    const body = bodyOf(lines);
    const address = [lineOf(lines, 'exchange', 'amq.topic'), lineOf(lines, 'routing-key', 'parts')];
    this.publisher.send(
      amqp.method(1, amqp.METHOD.basicPublish, amqp.short(0), ...address.map(amqp.shortstr), amqp.octet(0)),
      amqp.frame(
        amqp.FRAME.header,
        1,
        Buffer.concat([amqp.short(60), amqp.short(0), amqp.longlong(body.length), encodeProperties(lines)]),
      ),
    );
    for (let at = 0; at < body.length; at += BODY_FRAME_BYTES) {
      this.publisher.send(amqp.frame(amqp.FRAME.body, 1, body.subarray(at, at + BODY_FRAME_BYTES)));
    }
    await expectMethod(this.publisher, amqp.METHOD.basicAck);
  }

  async watch(address: readonly Line[]): Promise<Watcher> {
    const peer = await openAmqp(await tcp(this.port));
    const exchange = lineOf(address, 'exchange', '');
    const key = lineOf(address, 'routing-key', '');
    const queue = exchange === '' ? key : 'watched';
    // The queue of a STOMP /queue/ destination is durable and not exclusive.
    peer.send(amqp.declareQueue(1, queue, exchange === '' ? { durable: true } : { exclusive: true }));
    await expectMethod(peer, amqp.METHOD.queueDeclareOk);
    if (exchange !== '') {
      peer.send(amqp.bindQueue(1, queue, exchange, key));
      await expectMethod(peer, amqp.METHOD.queueBindOk);
    }
    peer.send(amqp.consume(1, queue, 'w', false));
    await expectMethod(peer, amqp.METHOD.basicConsumeOk);
    const take = async (answer: (tag: number) => Buffer): Promise<Map<string, string>> => {
      const { seen, tag } = await takeDelivery(peer);
      peer.send(answer(tag));
      return seen;
    };
    const next = () => take((tag) => amqp.ack(1, tag, false));
    return {
      next,
      nextAgain: async () => {
        await take((tag) => amqp.method(1, amqp.METHOD.basicReject, amqp.longlong(tag), amqp.octet(1)));
        return next();
      },
      close: () => peer.close(),
    };
  }

  close(): Promise<void> {
    return this.publisher.close();
  }
}

async function takeDelivery(peer: RawClient): Promise<{ seen: Map<string, string>; tag: number }> {
  const frame = await peer.take();
  assert.equal(methodOf(frame), amqp.METHOD.basicDeliver, frame.toString('latin1'));
  const args = argumentsOf(frame);
  const [, tagAt] = readShortString(args, 0);
  const [exchange, keyAt] = readShortString(args, tagAt + 9);
  const [routingKey] = readShortString(args, keyAt);
  const seen = new Map([
    ['exchange', exchange],
    ['routing-key', routingKey],
  ]);
  if (args[tagAt + 8] === 1) seen.set('redelivered', '1');
  const header = (await peer.take()).subarray(amqp.FRAME_HEAD_BYTES, -1);
  readProperties(header.subarray(12), seen);
  const body: Buffer[] = [];
  for (let left = Number(header.readBigUInt64BE(4)); left > 0; ) {
    const part = (await peer.take()).subarray(amqp.FRAME_HEAD_BYTES, -1);
    body.push(part);
    left -= part.length;
  }
  seen.set('body', bodyText(Buffer.concat(body)));
  return { seen, tag: Number(args.readBigUInt64BE(tagAt)) };
}
