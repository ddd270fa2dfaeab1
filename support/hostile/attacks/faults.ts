// Attacks that aim at an exception in the broker: sizes, depths, extremes of numbers, a clock that jumps.

import { tcp } from '../../raw-client.ts';
import * as amqp from '../../wire/amqp.ts';
import { encodeTable } from '../../wire/amqp-fields.ts';
import * as mqtt from '../../wire/mqtt.ts';
import { p, publish5, subscribe5 } from '../../wire/mqtt5.ts';
import * as stomp from '../../wire/stomp.ts';
import type { Attack } from '../attack.ts';
import {
  answeredAmqp,
  answeredStomp,
  attackAmqp,
  attackMqtt,
  attackStomp,
  untilMethod,
  untilPacket,
} from '../attacker.ts';

const DAY_MS = 86_400_000;
const LONGEST_EXPIRY_S = 0xffff_ffff;
const SESSION_S = 3600;
const DEEP_WORDS = 32_000;
const LONG_KEY = `eve.${'k'.repeat(65_380)}`;
/** Names that mean something to a plain JavaScript object. */
const HOSTILE_NAMES = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'valueOf'];

export const FAULTS: readonly Attack[] = [
  {
    name: 'makes a STOMP subscriber receive heads of 64 KiB',
    async run({ ports }) {
      const owner = await attackAmqp(ports.amqp, 'eve');
      owner.send(amqp.declareQueue(1, 'eve-long'));
      await owner.expect(amqp.METHOD.queueDeclareOk);
      owner.send(amqp.bindQueue(1, 'eve-long', 'amq.topic', 'eve.#'));
      await untilMethod(owner, amqp.METHOD.queueBindOk);
      const publisher = await attackStomp(ports.stomp, 'eve');
      for (let i = 0; i < 3; i++) publisher.send(stomp.send(`/topic/${LONG_KEY}`, Buffer.from('x')));
      await answeredStomp(publisher);
      const subscriber = await attackStomp(ports.stomp, 'eve');
      subscriber.send(stomp.subscribe('1', '/amq/queue/eve-long'));
      await answeredStomp(subscriber);
      for (let i = 0; i < 3; i++) publisher.send(stomp.send(`/topic/${LONG_KEY}`, Buffer.from('x')));
      await answeredStomp(publisher);
      await answeredStomp(subscriber);
      owner.send(amqp.deleteQueue(1, 'eve-long'));
      await answeredAmqp(owner);
      for (const client of [owner, publisher, subscriber]) client.destroy();
    },
  },
  {
    name: 'binds and publishes topics of 32,000 words',
    async run({ ports }) {
      const key = Array(DEEP_WORDS).fill('a').join('.');
      const owner = await attackAmqp(ports.amqp, 'eve');
      owner.send(amqp.declareExchange(1, 'eve-deep', 'topic'));
      await owner.expect(amqp.METHOD.exchangeDeclareOk);
      const client = await attackStomp(ports.stomp, 'eve');
      client.send(stomp.subscribe('1', `/exchange/eve-deep/${key}`, { 'x-queue-name': 'eve-deep-q' }));
      await answeredStomp(client);
      owner.send(
        amqp.declareQueue(
          1,
          'eve-ttl',
          { exclusive: true },
          encodeTable(
            `{"x-message-ttl": I 0, "x-dead-letter-exchange": S "eve-deep", "x-dead-letter-routing-key": S "${key}"}`,
          ),
        ),
        amqp.publish(1, '', 'eve-ttl', Buffer.from('x')),
      );
      await answeredAmqp(owner);
      client.send(stomp.send(`/exchange/eve-deep/${key}`, Buffer.from('x')));
      await answeredStomp(client);
      for (const each of [owner, client]) each.destroy();
    },
  },
  {
    name: 'publishes with the longest expiry while the clock jumps both ways',
    async run({ ports, moveClock }) {
      const properties = [p.sessionExpiry(SESSION_S)];
      const subscriber = await attackMqtt(ports.mqtt, 'alice', 'eve-clock', properties);
      subscriber.send(subscribe5(1, [], ['eve/clock', 1]));
      await untilPacket(subscriber, mqtt.PACKET.suback);
      subscriber.destroy();
      const publisher = await attackMqtt(ports.mqtt, 'alice', 'eve-clock-publisher', []);
      const steps = [-1500, DAY_MS, -2 * DAY_MS, DAY_MS + 1500];
      for (let i = 0; i < steps.length; i++) {
        const expiry = { qos: 1, id: i + 1, properties: [p.messageExpiry(LONGEST_EXPIRY_S)] };
        publisher.send(publish5('eve/clock', 'x', expiry));
        await untilPacket(publisher, mqtt.PACKET.puback);
        await moveClock(steps[i]!);
        const again = await attackMqtt(ports.mqtt, 'alice', 'eve-clock', properties);
        again.send(mqtt.pingreq());
        await untilPacket(again, mqtt.PACKET.pingresp);
        again.destroy();
      }
      publisher.destroy();
    },
  },
  {
    name: 'uses names of JavaScript object members for fields, headers and properties',
    async run({ ports }) {
      const client = await attackAmqp(ports.amqp, 'eve');
      const fields = HOSTILE_NAMES.map((name) => `"${name}": F {"${name}": S "x"}`).join(', ');
      client.send(amqp.declareQueue(1, 'eve-names', { exclusive: true }, encodeTable(`{${fields}}`)));
      await untilMethod(client, amqp.METHOD.queueDeclareOk);
      client.destroy();
      const frames = await attackStomp(ports.stomp, 'eve');
      const headers = Object.fromEntries(HOSTILE_NAMES.map((name) => [`${name}`, 'x']));
      frames.send(stomp.send('/topic/eve.names', Buffer.from('x'), headers));
      frames.send(Buffer.from('SEND\ndestination:/topic/eve.names\n__proto__:x\n\nx\0'));
      await answeredStomp(frames);
      frames.destroy();
      const packets = await attackMqtt(ports.mqtt, 'alice', 'eve-names', []);
      const properties = HOSTILE_NAMES.map((name) => p.user(name, 'x'));
      packets.send(publish5('eve/__proto__', 'x', { qos: 1, id: 1, properties }));
      await untilPacket(packets, mqtt.PACKET.puback);
      packets.destroy();
    },
  },
  {
    name: 'lets dead letters fan out over every path of a complete graph',
    async run({ ports }) {
      const QUEUES = 9;
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(amqp.declareExchange(1, 'eve-graph', 'fanout'));
      const args = encodeTable('{"x-message-ttl": I 0, "x-dead-letter-exchange": S "eve-graph"}');
      for (let i = 0; i < QUEUES; i++) {
        client.send(amqp.declareQueue(1, `eve-graph-${i}`, { exclusive: true }, args));
        client.send(amqp.bindQueue(1, `eve-graph-${i}`, 'eve-graph', ''));
      }
      await answeredAmqp(client);
      client.send(amqp.publish(1, 'eve-graph', '', Buffer.from('x')));
      // Each declaration is answered in a turn of its own: the dead letters that one message causes have their turns too.
      for (let i = 0; i < 500; i++) {
        client.send(amqp.checkQueue(1, 'eve-graph-0'));
        await untilMethod(client, amqp.METHOD.queueDeclareOk);
      }
      client.destroy();
    },
  },
  {
    name: 'nests a field table as deep as a frame allows',
    async run({ ports }) {
      const LEVELS = 20_000;
      const client = await attackAmqp(ports.amqp, 'eve');
      let table = Buffer.alloc(0);
      const levels: Buffer[] = [];
      for (let i = 0; i < LEVELS; i++) {
        levels.push(Buffer.concat([amqp.shortstr(''), Buffer.from('F'), amqp.long((LEVELS - i - 1) * 6)]));
      }
      table = Buffer.concat(levels);
      client.send(amqp.declareQueue(1, 'eve-nested', { exclusive: true }, amqp.longstr(table)));
      await untilMethod(client, amqp.METHOD.queueDeclareOk);
      client.destroy();
    },
  },
  {
    name: 'connects over MQTT and sends every number at its largest',
    async run({ ports }) {
      const socket = await tcp(ports.mqtt);
      socket.destroy();
      const client = await attackMqtt(ports.mqtt, 'alice', 'eve-numbers', [
        p.sessionExpiry(LONGEST_EXPIRY_S),
        p.receiveMaximum(65_535),
        p.topicAliasMaximum(65_535),
      ]);
      client.send(subscribe5(65_535, [p.subscriptionId(268_435_455)], ['eve/numbers', 2]));
      await untilPacket(client, mqtt.PACKET.suback);
      client.send(
        publish5('eve/numbers', 'x', { qos: 1, id: 65_535, properties: [p.messageExpiry(LONGEST_EXPIRY_S)] }),
      );
      await untilPacket(client, mqtt.PACKET.publish);
      client.destroy();
    },
  },
];
