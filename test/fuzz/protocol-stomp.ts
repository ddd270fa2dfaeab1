// STOMP 1.2 for the fuzzer: hand-written conversations, and the meaning of the broker's answers.

import * as stomp from '../../support/wire/stomp.ts';
import type { Frames } from './mutate.ts';
import type { FuzzProtocol, Inspection } from './protocol.ts';
import type { Random } from './random.ts';

const STATES = ['nothing', 'connected', 'receipted', 'delivered'] as const;

const COMMANDS = [
  'CONNECT',
  'STOMP',
  'SEND',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'ACK',
  'NACK',
  'BEGIN',
  'COMMIT',
  'ABORT',
  'DISCONNECT',
] as const;

const HEADERS = [
  'id',
  'destination',
  'ack',
  'receipt',
  'content-length',
  'content-type',
  'transaction',
  'x-own',
  'persistent',
];

export const STOMP: FuzzProtocol = {
  name: 'stomp',
  states: STATES,
  handshakeFrames: 1,
  conversations: (id) => [topic(id), queue(id), exchange(id), escapes(id), transaction(id)],
  lengthField,
  randomFrame,
  inspect,
};

const connect = (): Buffer => stomp.connect('guest', 'guest');
const goodbye = (): Buffer => stomp.frame('DISCONNECT', { receipt: 'goodbye' });

function topic(id: number): Frames {
  const destination = `/topic/fuzz.${id}.*`;
  return [
    connect(),
    stomp.subscribe('0', destination, { receipt: 'subscribed' }),
    stomp.send(`/topic/fuzz.${id}.a`, Buffer.from('first'), { receipt: 'r1', 'content-type': 'text/plain' }),
    stomp.send(`/topic/fuzz.${id}.b`, Buffer.from([0, 1, 2, 0]), { receipt: 'r2' }),
    Buffer.from('\n\r\n\n'),
    stomp.frame('UNSUBSCRIBE', { id: '0', receipt: 'r3' }),
    goodbye(),
  ];
}

function queue(id: number): Frames {
  const destination = `/queue/fuzz.stomp.${id}`;
  const temporary = { durable: 'false', 'auto-delete': 'true', exclusive: 'false' };
  return [
    connect(),
    stomp.subscribe('q', destination, { ack: 'client', 'prefetch-count': '1', receipt: 's', ...temporary }),
    stomp.send(destination, Buffer.from('kept'), { ...temporary, persistent: 'true', receipt: 'r1', priority: '3' }),
    stomp.frame('SEND', { destination, ...temporary, expiration: '60000' }, 'without a length'),
    stomp.frame('ACK', { id: 'T_nobody' }),
    goodbye(),
  ];
}

function exchange(id: number): Frames {
  const destination = `/exchange/amq.direct/fuzz.${id}`;
  return [
    connect(),
    stomp.subscribe('x', destination, { receipt: 's' }),
    stomp.send(destination, Buffer.alloc(5000, 'x'), {
      'correlation-id': 'c',
      'reply-to': '/temp-queue/answers',
      receipt: 'r',
    }),
    stomp.frame('NACK', { id: 'nobody', receipt: 'n' }),
    goodbye(),
  ];
}

function escapes(id: number): Frames {
  const destination = `/topic/fuzz.${id}.esc`;
  return [
    connect(),
    stomp.subscribe('e', destination, { receipt: 'a\\cb' }),
    stomp.send(destination, Buffer.from('Ä漢😀'), { 'x-own': 'line\\nbreak\\\\colon\\c', 'x-ü': 'ü', receipt: 'r' }),
    Buffer.from(`SEND\r\ndestination:${destination}\r\nreceipt:crlf\r\n\r\nbody\x00`),
    goodbye(),
  ];
}

function transaction(id: number): Frames {
  const destination = `/topic/fuzz.${id}.tx`;
  return [
    connect(),
    stomp.subscribe('t', destination, { receipt: 's' }),
    stomp.send(destination, Buffer.from('before'), { receipt: 'r' }),
    stomp.frame('BEGIN', { transaction: 'tx' }),
    stomp.send(destination, Buffer.from('inside'), { transaction: 'tx' }),
    stomp.frame('COMMIT', { transaction: 'tx', receipt: 'committed' }),
    goodbye(),
  ];
}

function lengthField(frame: Buffer): { offset: number; bytes: number } | null {
  const at = frame.indexOf('content-length:');
  if (at === -1) return null;
  const offset = at + 'content-length:'.length;
  return { offset, bytes: Math.max(1, frame.indexOf('\n', offset) - offset) };
}

function randomFrame(random: Random): Buffer {
  const lines = [random.chance(0.9) ? random.pick(COMMANDS) : random.bytes(random.int(12)).toString('latin1')];
  for (let count = random.int(6); count > 0; count--) {
    const value = random.chance(0.5)
      ? random.pick(['1', '/topic/a', 'auto', '\\c', '99999999999'])
      : random.bytes(9).toString('latin1');
    lines.push(`${random.pick(HEADERS)}:${value}`);
  }
  return Buffer.from(`${lines.join('\n')}\n\n${random.chance(0.5) ? 'body' : ''}\x00`, 'latin1');
}

function inspect(answer: Buffer): Inspection {
  let depth = 0;
  let error: string | null = null;
  for (let at = 0; at < answer.length; ) {
    if (answer[at] === 10 || answer[at] === 13) {
      at++;
      continue;
    }
    const headEnd = answer.indexOf('\n\n', at);
    if (headEnd === -1) throw new Error(`the answer ends within a frame's headers at ${at}`);
    const lines = answer.toString('utf8', at, headEnd).split('\n');
    const length = lines.find((line) => line.startsWith('content-length:'))?.slice('content-length:'.length);
    const body = headEnd + 2;
    const end = length === undefined ? answer.indexOf(0, body) : body + Number(length);
    if (end === -1 || answer[end] !== 0) throw new Error(`no NUL after the frame at ${at}`);
    switch (lines[0]) {
      case 'CONNECTED':
        depth = Math.max(depth, 1);
        break;
      case 'RECEIPT':
        depth = Math.max(depth, 2);
        break;
      case 'MESSAGE':
        depth = Math.max(depth, 3);
        break;
      case 'ERROR':
        error = lines.find((line) => line.startsWith('message:'))?.slice('message:'.length) ?? 'ERROR';
        break;
      default:
        throw new Error(`a broker does not send ${lines[0]}`);
    }
    at = end + 1;
  }
  return { state: STATES[depth]!, error };
}
