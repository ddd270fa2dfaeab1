// Inputs that a broker must not ignore: each violates its protocol and must cause the protocol's error or a close,
// without further input from the client. Inputs that once caused a failure are added here.

import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import type { Frames } from './mutate.ts';

export interface Hostile {
  readonly rule: string;
  readonly frames: Frames;
}

const { METHOD, FRAME } = amqp;
const CLOSE_OK = amqp.method(0, METHOD.connectionCloseOk);

const amqpLogin = [amqp.PROTOCOL_HEADER, amqp.startOk('guest', 'guest'), amqp.tuneOk(16, 65_536, 0), amqp.open('/')];
const amqpChannel = [...amqpLogin, amqp.channelOpen(1)];

/** Inputs that end the connection; the client then sends close-ok. */
const fatal = (rule: string, ...frames: Buffer[]): Hostile => ({ rule, frames: [...amqpChannel, ...frames, CLOSE_OK] });
/** Inputs that end the channel; the client then closes the connection. */
const channelFatal = (rule: string, ...frames: Buffer[]): Hostile => ({
  rule,
  frames: [...amqpChannel, ...frames, amqp.connectionClose()],
});

const publishMethod = amqp.method(
  1,
  METHOD.basicPublish,
  amqp.short(0),
  amqp.shortstr(''),
  amqp.shortstr('q'),
  amqp.octet(0),
);

export const AMQP_HOSTILE: readonly Hostile[] = [
  { rule: 'another protocol header', frames: [Buffer.from('AMQP\x01\x01\x00\x0a', 'latin1')] },
  { rule: 'no protocol header', frames: [Buffer.from('GET / HTTP/1.1\r\n\r\n')] },
  {
    rule: 'a wrong password',
    frames: [amqp.PROTOCOL_HEADER, amqp.startOk('guest', 'wrong'), CLOSE_OK],
  },
  { rule: 'a virtual host that is not there', frames: [...amqpLogin.slice(0, 3), amqp.open('/none'), CLOSE_OK] },
  {
    rule: 'tune-ok above what was offered',
    frames: [...amqpLogin.slice(0, 2), amqp.tuneOk(16, 0xffff_ffff, 0), CLOSE_OK],
  },
  fatal('a frame end that is none', Buffer.from('01000100000004001400100f', 'hex')),
  fatal('a frame longer than negotiated', amqp.frame(FRAME.body, 1, Buffer.alloc(70_000))),
  fatal('a frame of 4 GiB', Buffer.from('010001ffffffff', 'hex'), Buffer.alloc(100)),
  fatal('an unknown frame type', amqp.frame(77, 1, Buffer.alloc(4))),
  fatal('a channel that was never opened', amqp.qos(7, 1)),
  fatal('a channel that is open already', amqp.channelOpen(1)),
  fatal('an unknown method', amqp.method(1, 0x00ff_00ff as never)),
  fatal('arguments that end early', amqp.method(1, METHOD.queueDeclare, amqp.short(0))),
  fatal('a string longer than its frame', amqp.method(1, METHOD.queueDeclare, amqp.short(0), amqp.octet(200))),
  fatal(
    'a table longer than its frame',
    amqp.method(1, METHOD.queueDeclare, amqp.short(0), amqp.shortstr('q'), amqp.octet(0), amqp.long(1000)),
  ),
  fatal(
    'a table with an unknown type',
    amqp.method(
      1,
      METHOD.queueDeclare,
      amqp.short(0),
      amqp.shortstr('q'),
      amqp.octet(4),
      amqp.longstr(Buffer.concat([amqp.shortstr('k'), Buffer.from('?x')])),
    ),
  ),
  fatal('a body without a header', publishMethod, amqp.frame(FRAME.body, 1, Buffer.alloc(1))),
  fatal('a method where content is due', publishMethod, amqp.qos(1, 1)),
  fatal(
    'more body than announced',
    publishMethod,
    amqp.contentHeader(1, 1),
    amqp.frame(FRAME.body, 1, Buffer.alloc(2)),
  ),
  fatal('content nobody announced', amqp.contentHeader(1, 1)),
  fatal('a heartbeat on a channel', amqp.frame(FRAME.heartbeat, 1, Buffer.alloc(0))),
  channelFatal('an exchange that is not there', amqp.publish(1, 'none', 'k', Buffer.from('x')), amqp.qos(1, 1)),
  channelFatal('a queue that is not there', amqp.checkQueue(1, 'none')),
  channelFatal('an ack of nothing', amqp.ack(1, 99, false)),
];

const mqttLogin = mqtt.connect('hostile', { user: 'guest', password: 'guest' });
const afterConnect = (rule: string, ...frames: Buffer[]): Hostile => ({ rule, frames: [mqttLogin, ...frames] });

export const MQTT_HOSTILE: readonly Hostile[] = [
  { rule: 'something before CONNECT [MQTT-3.1.0-1]', frames: [mqtt.pingreq()] },
  { rule: 'no MQTT', frames: [Buffer.from('GET / HTTP/1.1\r\n\r\n')] },
  { rule: 'another protocol name [MQTT-3.1.2-1]', frames: [Buffer.from('100e0004585858580402000000024142', 'hex')] },
  { rule: 'a reserved connect flag [MQTT-3.1.2-3]', frames: [Buffer.from('100e00044d5154540403000000024142', 'hex')] },
  {
    rule: 'a password without a user [MQTT-3.1.2-22]',
    frames: [Buffer.from('101000044d515454044200000002414200016b', 'hex')],
  },
  { rule: 'a wrong password', frames: [mqtt.connect('hostile', { user: 'guest', password: 'wrong' })] },
  afterConnect('a second CONNECT [MQTT-3.1.0-2]', mqttLogin),
  afterConnect('a remaining length of five bytes', Buffer.from('30ffffffffff01', 'hex')),
  afterConnect(
    'reserved flags of SUBSCRIBE [MQTT-3.8.1-1]',
    mqtt.packet(8, 0, Buffer.from('00010001610 0'.replaceAll(' ', ''), 'hex')),
  ),
  afterConnect('SUBSCRIBE without a filter [MQTT-3.8.3-3]', mqtt.packet(8, 2, Buffer.from('0001', 'hex'))),
  afterConnect('SUBSCRIBE at QoS 3', mqtt.packet(8, 2, Buffer.from('00010001 61 03'.replaceAll(' ', ''), 'hex'))),
  afterConnect('packet id 0 [MQTT-2.3.1-1]', mqtt.publish('a', Buffer.alloc(0), 1, 0)),
  afterConnect('PUBLISH at QoS 3 [MQTT-3.3.1-4]', mqtt.packet(3, 6, Buffer.from('0001610001', 'hex'))),
  afterConnect('a wildcard in a topic name [MQTT-3.3.2-2]', mqtt.publish('a/#', Buffer.alloc(0), 0, 0)),
  afterConnect('a topic of no bytes [MQTT-4.7.3-1]', mqtt.publish('', Buffer.alloc(0), 0, 0)),
  afterConnect('a topic that is not UTF-8 [MQTT-1.5.3-1]', mqtt.packet(3, 0, Buffer.from('0002c328', 'hex'))),
  afterConnect('U+0000 in a topic [MQTT-1.5.3-2]', mqtt.packet(3, 0, Buffer.from('0003610061', 'hex'))),
  afterConnect('a topic longer than its packet', mqtt.packet(3, 0, Buffer.from('ffff61', 'hex'))),
  afterConnect('a filter with # in the middle [MQTT-4.7.1-2]', mqtt.subscribe(1, 'a/#/b', 0)),
  afterConnect('a packet type that is reserved', mqtt.packet(15, 0)),
  afterConnect('a packet that only brokers send', mqtt.packet(2, 0, Buffer.from('0000', 'hex'))),
  afterConnect('flags on PINGREQ', mqtt.packet(12, 5)),
  afterConnect('a PUBACK without a packet id', mqtt.packet(4, 0)),
];

const stompLogin = stomp.connect('guest', 'guest');
const afterConnected = (rule: string, ...frames: (Buffer | string)[]): Hostile => ({
  rule,
  frames: [stompLogin, ...frames.map((frame) => (typeof frame === 'string' ? Buffer.from(frame) : frame))],
});

export const STOMP_HOSTILE: readonly Hostile[] = [
  { rule: 'something before CONNECT', frames: [stomp.send('/topic/a', Buffer.from('x'))] },
  { rule: 'a wrong password', frames: [stomp.connect('guest', 'wrong')] },
  { rule: 'no version in common', frames: [stomp.frame('CONNECT', { 'accept-version': '9.9', host: '/' })] },
  { rule: 'no STOMP', frames: [Buffer.from('GET / HTTP/1.1\r\n\r\n\x00')] },
  afterConnected('an unknown command', 'JUMP\n\n\x00'),
  afterConnected('a second CONNECT', stompLogin),
  afterConnected('SEND without a destination', 'SEND\n\nbody\x00'),
  afterConnected('a destination of no kind', stomp.send('/nowhere/x', Buffer.from('x'))),
  afterConnected('SUBSCRIBE without id and destination', 'SUBSCRIBE\nack:auto\n\n\x00'),
  afterConnected('an undefined escape', 'SEND\ndestination:/topic/a\nx:\\t\n\n\x00'),
  afterConnected('a header without a colon', 'SEND\ndestination\n\n\x00'),
  afterConnected('a length that is no number', 'SEND\ndestination:/topic/a\ncontent-length:abc\n\n\x00'),
  afterConnected('no NUL where the length ends', 'SEND\ndestination:/topic/a\ncontent-length:2\n\nabcdef\x00'),
  afterConnected('a header line of a megabyte', `SEND\nx:${'y'.repeat(1_000_000)}`),
  afterConnected('headers without end', `SEND\n${'a:b\n'.repeat(100_000)}`),
  afterConnected('a command without end', 'S'.repeat(1_000_000)),
  afterConnected('a length of a gigabyte', 'SEND\ndestination:/topic/a\ncontent-length:1073741824\n\nx'),
];
