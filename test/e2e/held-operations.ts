// The operations whose answers wait for durability: the request as bytes, and the expected answer.

import assert from 'node:assert/strict';
import { methodOf } from '../../support/raw-amqp.ts';
import { headerOf, readStompFrame } from '../../support/raw-stomp.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import type { Protocol } from './echo.ts';

const { METHOD } = amqp;
const BODY = Buffer.from('body');

/** A durable direct exchange. */
export function declareExchange(name: string): Buffer {
  const durable = amqp.octet(2);
  return amqp.method(
    1,
    METHOD.exchangeDeclare,
    amqp.short(0),
    amqp.shortstr(name),
    amqp.shortstr('direct'),
    durable,
    amqp.table({}),
  );
}

/** Methods that the wire helpers have no name for. */
const MORE = {
  txSelect: 0x005a000a,
  txCommit: 0x005a0014,
  txCommitOk: 0x005a0015,
  exchangeDelete: 0x00280014,
  exchangeDeleteOk: 0x00280015,
  exchangeBind: 0x0028001e,
  exchangeBindOk: 0x0028001f,
  queueUnbind: 0x00320032,
  queueUnbindOk: 0x00320033,
} as const;

function plainMethod(id: number, ...fields: Buffer[]): Buffer {
  return amqp.frame(amqp.FRAME.method, 1, Buffer.concat([amqp.long(id), ...fields]));
}

const names = (...texts: string[]) => texts.map(amqp.shortstr);

/** An operation that waits for the disk, and its answer. */
export interface Operation {
  readonly what: string;
  readonly protocol: Protocol;
  readonly clean?: boolean;
  /** Requests to send first, while commits still complete. */
  readonly first?: readonly Buffer[];
  readonly firstAnswers?: number;
  readonly send: readonly Buffer[];
  readonly answer: (unit: Buffer) => void;
}

const method = (id: number) => (unit: Buffer) => assert.equal(methodOf(unit).toString(16), id.toString(16));
const packet = (type: number) => (unit: Buffer) => assert.equal(unit[0]! >> 4, type);
/** Asserts that a frame is this receipt. */
export const receipt = (id: string) => (unit: Buffer) => {
  const frame = readStompFrame(unit);
  assert.deepEqual([frame.command, headerOf(frame, 'receipt-id')], ['RECEIPT', id]);
};

export const OPERATIONS: readonly Operation[] = [
  {
    what: 'basic.ack of a persistent message',
    protocol: 'amqp',
    first: [amqp.confirmSelect(1)],
    firstAnswers: 1,
    send: [amqp.publish(1, '', 'q', BODY, 2)],
    answer: method(METHOD.basicAck),
  },
  {
    what: 'queue.declare-ok',
    protocol: 'amqp',
    send: [amqp.declareQueue(1, 'new queue', { durable: true })],
    answer: method(METHOD.queueDeclareOk),
  },
  {
    what: 'exchange.declare-ok',
    protocol: 'amqp',
    send: [declareExchange('new exchange')],
    answer: method(METHOD.exchangeDeclareOk),
  },
  {
    what: 'queue.bind-ok',
    protocol: 'amqp',
    send: [amqp.bindQueue(1, 'q', 'x', 'new key')],
    answer: method(METHOD.queueBindOk),
  },
  {
    what: 'exchange.bind-ok',
    protocol: 'amqp',
    send: [
      plainMethod(
        MORE.exchangeBind,
        amqp.short(0),
        ...names('x', 'amq.topic', 'new key'),
        amqp.octet(0),
        amqp.table({}),
      ),
    ],
    answer: method(MORE.exchangeBindOk),
  },
  {
    what: 'queue.unbind-ok',
    protocol: 'amqp',
    send: [plainMethod(MORE.queueUnbind, amqp.short(0), ...names('q', 'x', 'bound'), amqp.table({}))],
    answer: method(MORE.queueUnbindOk),
  },
  {
    what: 'queue.purge-ok',
    protocol: 'amqp',
    first: [amqp.confirmSelect(1), amqp.publish(1, '', 'q', BODY, 2)],
    firstAnswers: 2,
    send: [amqp.method(1, METHOD.queuePurge, amqp.short(0), amqp.shortstr('q'), amqp.octet(0))],
    answer: method(METHOD.queuePurgeOk),
  },
  {
    what: 'queue.delete-ok',
    protocol: 'amqp',
    send: [amqp.deleteQueue(1, 'q')],
    answer: method(METHOD.queueDeleteOk),
  },
  {
    what: 'exchange.delete-ok',
    protocol: 'amqp',
    send: [plainMethod(MORE.exchangeDelete, amqp.short(0), amqp.shortstr('x'), amqp.octet(0))],
    answer: method(MORE.exchangeDeleteOk),
  },
  {
    what: 'tx.commit-ok',
    protocol: 'amqp',
    first: [plainMethod(MORE.txSelect)],
    firstAnswers: 1,
    send: [amqp.publish(1, '', 'q', BODY, 2), plainMethod(MORE.txCommit)],
    answer: method(MORE.txCommitOk),
  },
  {
    what: 'tx.commit-ok of acknowledgements',
    protocol: 'amqp',
    first: [
      plainMethod(MORE.txSelect),
      amqp.publish(1, '', 'q', BODY, 2),
      plainMethod(MORE.txCommit),
      amqp.get(1, 'q', false),
    ],
    // select-ok, commit-ok, get-ok with its header and body
    firstAnswers: 5,
    send: [amqp.ack(1, 1, false), plainMethod(MORE.txCommit)],
    answer: method(MORE.txCommitOk),
  },
  {
    what: 'PUBACK',
    protocol: 'mqtt',
    send: [mqtt.publish('held', BODY, 1, 5)],
    answer: packet(mqtt.PACKET.puback),
  },
  {
    what: 'PUBREC',
    protocol: 'mqtt',
    send: [mqtt.publish('held', BODY, 2, 6)],
    answer: packet(mqtt.PACKET.pubrec),
  },
  {
    what: 'SUBACK of a persistent session',
    protocol: 'mqtt',
    clean: false,
    send: [mqtt.subscribe(7, 'new', 1)],
    answer: packet(mqtt.PACKET.suback),
  },
  {
    what: 'UNSUBACK of a persistent session',
    protocol: 'mqtt',
    clean: false,
    first: [mqtt.subscribe(8, 'old', 1)],
    firstAnswers: 1,
    send: [mqtt.unsubscribe(9, 'old')],
    answer: packet(11),
  },
  {
    what: 'RECEIPT of a persistent SEND',
    protocol: 'stomp',
    send: [stomp.send('/queue/q', BODY, { persistent: 'true', receipt: 'r' })],
    answer: receipt('r'),
  },
  {
    what: 'RECEIPT of a SEND that declares its queue',
    protocol: 'stomp',
    send: [stomp.send('/queue/new-by-send', BODY, { receipt: 'r' })],
    answer: receipt('r'),
  },
  {
    what: 'RECEIPT of a COMMIT',
    protocol: 'stomp',
    first: [
      stomp.frame('BEGIN', { transaction: 't' }),
      stomp.send('/queue/q', BODY, { persistent: 'true', transaction: 't', receipt: 'sent' }),
    ],
    firstAnswers: 1,
    send: [stomp.frame('COMMIT', { transaction: 't', receipt: 'committed' })],
    answer: receipt('committed'),
  },
  {
    what: 'RECEIPT of a durable SUBSCRIBE',
    protocol: 'stomp',
    send: [stomp.subscribe('d', '/topic/durable', { durable: 'true', receipt: 'r' })],
    answer: receipt('r'),
  },
  {
    what: 'RECEIPT of an UNSUBSCRIBE that deletes its queue',
    protocol: 'stomp',
    first: [stomp.subscribe('d', '/topic/durable', { durable: 'true', receipt: 'subscribed' })],
    firstAnswers: 1,
    send: [stomp.frame('UNSUBSCRIBE', { id: 'd', durable: 'true', receipt: 'r' })],
    answer: receipt('r'),
  },
];
