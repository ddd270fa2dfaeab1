// Attacks that make the broker work for long on a few kilobytes.

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

const NO_WAIT = 1;

function bind(queue: string, exchange: string, key: string, args = amqp.table({}), channel = 1): Buffer {
  const where = [amqp.shortstr(queue), amqp.shortstr(exchange), amqp.shortstr(key)];
  return amqp.method(channel, amqp.METHOD.queueBind, amqp.short(0), ...where, amqp.octet(NO_WAIT), args);
}

/** basic.publish with a header table and a body of one byte. */
function publishWithHeaders(exchange: string, key: string, headers: Buffer): Buffer {
  const head = Buffer.concat([amqp.short(60), amqp.short(0), amqp.longlong(1), amqp.short(0x2000), headers]);
  return Buffer.concat([
    amqp.method(1, amqp.METHOD.basicPublish, amqp.short(0), amqp.shortstr(exchange), amqp.shortstr(key), amqp.octet(0)),
    amqp.frame(amqp.FRAME.header, 1, head),
    amqp.frame(amqp.FRAME.body, 1, Buffer.from('x')),
  ]);
}

export const TIME: readonly Attack[] = [
  {
    name: 'publishes with 1,000 CC keys to a topic exchange with 4,096 overlapping patterns',
    async run({ ports }) {
      const BITS = 12;
      const KEYS = 1000;
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(amqp.declareQueue(1, 'eve-cc', { exclusive: true }), amqp.declareExchange(1, 'eve-cc-x', 'topic'));
      await answeredAmqp(client);
      const binds: Buffer[] = [];
      for (let i = 0; i < 1 << BITS; i++) {
        const words = Array.from({ length: BITS }, (_, bit) => ((i >> bit) & 1 ? 'a' : '*'));
        binds.push(bind('eve-cc', 'eve-cc-x', `${words.join('.')}.#`));
      }
      client.send(...binds);
      await answeredAmqp(client);
      const keys = Array.from({ length: KEYS }, (_, i) => amqp.longstr(`${'a.'.repeat(BITS)}${i}`));
      const list = Buffer.concat(keys.flatMap((key) => [Buffer.from('S'), key]));
      const headers = amqp.longstr(Buffer.concat([amqp.shortstr('CC'), Buffer.from('A'), amqp.longstr(list)]));
      client.send(publishWithHeaders('eve-cc-x', 'a', headers));
      await answeredAmqp(client);
      client.destroy();
    },
  },
  {
    name: 'names a $SYS filter 10,000 times in one SUBSCRIBE',
    async run({ ports }) {
      const client = await attackMqtt(ports.mqtt, 'alice', 'eve-sys', []);
      const filters = Array.from({ length: 10_000 }, (): [string, number] => ['$SYS/broker/version', 0]);
      client.send(subscribe5(1, [], ...filters));
      await untilPacket(client, mqtt.PACKET.suback);
      client.destroy();
    },
  },
  {
    name: 'subscribes to thousands of wildcards while retained messages wait for their commit',
    async run({ ports }) {
      const publisher = await attackMqtt(ports.mqtt, 'alice', 'eve-retainer', []);
      const subscriber = await attackMqtt(ports.mqtt, 'alice', 'eve-searcher', []);
      const retained = (payload: string): Buffer =>
        Buffer.concat(Array.from({ length: 20_000 }, (_, i) => publish5(`eve/r/${i}`, payload, { retain: true })));
      const filters = Array.from({ length: 5_000 }, (_, i): [string, number] => [`eve/+/+/${i}`, 0]);
      publisher.send(retained('x'));
      subscriber.send(subscribe5(1, [], ...filters));
      await untilPacket(subscriber, mqtt.PACKET.suback);
      publisher.send(retained(''), mqtt.pingreq());
      await untilPacket(publisher, mqtt.PACKET.pingresp);
      publisher.destroy();
      subscriber.destroy();
    },
  },
  {
    name: 'builds a chain of 10,000 exchanges, changes its end and publishes at its beginning',
    async run({ ports }) {
      const EXCHANGES = 10_000;
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(amqp.declareQueue(1, 'eve-end', { exclusive: true }));
      await answeredAmqp(client);
      const built: Buffer[] = [];
      const noWaitTransient = amqp.octet(0x10 | 0x04);
      for (let i = 0; i < EXCHANGES; i++) {
        const names = [amqp.short(0), amqp.shortstr(`eve-chain-${i}`), amqp.shortstr('fanout')];
        built.push(amqp.method(1, amqp.METHOD.exchangeDeclare, ...names, noWaitTransient, amqp.table({})));
        if (i === 0) continue;
        const link = [amqp.shortstr(`eve-chain-${i}`), amqp.shortstr(`eve-chain-${i - 1}`), amqp.shortstr('')];
        built.push(
          amqp.method(1, amqp.METHOD.exchangeBind, amqp.short(0), ...link, amqp.octet(NO_WAIT), amqp.table({})),
        );
      }
      client.send(...built);
      await answeredAmqp(client);
      for (let i = 0; i < 20; i++) {
        client.send(bind('eve-end', `eve-chain-${EXCHANGES - 1}`, `k${i}`));
        client.send(amqp.publish(1, 'eve-chain-0', `r${i}`, Buffer.from('x')));
      }
      await answeredAmqp(client);
      // The chain ends with its queue: each exchange deletes itself when its last binding is gone.
      client.send(amqp.deleteQueue(1, 'eve-end'));
      await answeredAmqp(client);
      client.destroy();
    },
  },
  {
    name: 'consumes its queue 50,000 times and takes no message',
    async run({ ports }) {
      const CONSUMERS = 50_000;
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(amqp.declareQueue(1, 'eve-consumers', { exclusive: true }), amqp.qos(1, 1));
      const consumes = Array.from({ length: CONSUMERS }, (_, i) => {
        const named = [amqp.short(0), amqp.shortstr('eve-consumers'), amqp.shortstr(`t${i}`)];
        return amqp.method(1, amqp.METHOD.basicConsume, ...named, amqp.octet(8), amqp.table({}));
      });
      client.send(...consumes);
      await untilMethod(client, amqp.METHOD.basicQosOk);
      client.send(...Array.from({ length: CONSUMERS }, () => amqp.publish(1, '', 'eve-consumers', Buffer.from('x'))));
      client.send(...Array.from({ length: 20 }, () => amqp.publish(1, '', 'eve-consumers', Buffer.from('y'))));
      client.send(amqp.checkQueue(1, 'eve-consumers'));
      await untilMethod(client, amqp.METHOD.queueDeclareOk);
      client.destroy();
    },
  },
  {
    name: 'returns 30,000 deliveries with one basic.nack, five times',
    async run({ ports }) {
      const MESSAGES = 30_000;
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(amqp.declareQueue(1, 'eve-nack', { exclusive: true }));
      client.send(...Array.from({ length: MESSAGES }, () => amqp.publish(1, '', 'eve-nack', Buffer.from('x'))));
      client.send(amqp.consume(1, 'eve-nack', 'c', false));
      let tag = 0;
      for (let round = 0; round < 5; round++) {
        for (let got = 0; got < MESSAGES; ) {
          const frame = await client.nextFrame();
          if (frame === null) return;
          if (frame.method !== amqp.METHOD.basicDeliver) continue;
          got++;
          tag++;
        }
        client.send(amqp.method(1, amqp.METHOD.basicNack, amqp.longlong(tag), amqp.octet(3)));
      }
      await answeredAmqp(client);
      client.destroy();
    },
  },
  {
    name: 'commits a transaction of 100,000 publishes, then one of as many acknowledgements',
    async run({ ports }) {
      const MESSAGES = 100_000;
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(amqp.declareQueue(1, 'eve-commit', { exclusive: true }), amqp.method(1, amqp.METHOD.txSelect));
      client.send(...Array.from({ length: MESSAGES }, () => amqp.publish(1, '', 'eve-commit', Buffer.from('x'))));
      client.send(amqp.method(1, amqp.METHOD.txCommit));
      await untilMethod(client, amqp.METHOD.txCommitOk);
      client.send(...Array.from({ length: MESSAGES }, () => amqp.get(1, 'eve-commit', false)));
      client.send(amqp.ack(1, 0, true), amqp.method(1, amqp.METHOD.txCommit));
      await untilMethod(client, amqp.METHOD.txCommitOk);
      client.destroy();
    },
  },
  {
    name: 'commits a STOMP transaction of thousands of messages',
    async run({ ports }) {
      const client = await attackStomp(ports.stomp, 'eve');
      client.send(stomp.frame('BEGIN', { transaction: 't' }));
      const sends = Array.from({ length: 20_000 }, () =>
        stomp.send('/topic/eve.t', Buffer.from('x'), { transaction: 't' }),
      );
      client.send(...sends, stomp.frame('COMMIT', { transaction: 't' }));
      await answeredStomp(client);
      client.destroy();
    },
  },
  {
    name: 'leaves 50,000 bindings and its queue behind when it disconnects',
    async run({ ports }) {
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(
        amqp.declareQueue(1, 'eve-leaving', { exclusive: true }),
        amqp.declareExchange(1, 'eve-left', 'topic'),
      );
      client.send(...Array.from({ length: 50_000 }, (_, i) => bind('eve-leaving', 'eve-left', `k${i}.*.#`)));
      await answeredAmqp(client);
      await client.close();
    },
  },
  {
    name: 'binds 5,000 times with one key and different arguments, and unbinds',
    async run({ ports }) {
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(
        amqp.declareQueue(1, 'eve-same', { exclusive: true }),
        amqp.declareExchange(1, 'eve-same-x', 'direct'),
      );
      const args = Array.from({ length: 5_000 }, (_, i) => amqp.table({ n: i, text: 'x'.repeat(100) }));
      client.send(...args.map((each) => bind('eve-same', 'eve-same-x', 'k', each)));
      await answeredAmqp(client);
      const where = [amqp.shortstr('eve-same'), amqp.shortstr('eve-same-x'), amqp.shortstr('k')];
      client.send(...args.map((each) => amqp.method(1, amqp.METHOD.queueUnbind, amqp.short(0), ...where, each)));
      await answeredAmqp(client);
      client.destroy();
    },
  },
  {
    name: 'publishes thousands of header fields to an exchange with thousands of headers bindings',
    async run({ ports }) {
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(amqp.declareQueue(1, 'eve-headers', { exclusive: true }));
      client.send(amqp.declareExchange(1, 'eve-headers-x', 'headers'));
      const wide = Array.from({ length: 100 }, (_, i) => `"f${i}": I 1`).join(', ');
      const args = Array.from({ length: 2_000 }, (_, i) => encodeTable(`{"x-match": S "all", ${wide}, "n": I ${i}}`));
      client.send(...args.map((each, i) => bind('eve-headers', 'eve-headers-x', `k${i}`, each)));
      await answeredAmqp(client);
      const fields = Array.from({ length: 3_000 }, (_, i) => `"f${i}": I 1`).join(', ');
      const message = publishWithHeaders('eve-headers-x', '', encodeTable(`{${fields}}`));
      client.send(...Array.from({ length: 50 }, () => message));
      await answeredAmqp(client);
      client.destroy();
    },
  },
  {
    name: 'holds 5,000 overlapping subscriptions with identifiers, and publishes what all match',
    async run({ ports }) {
      const client = await attackMqtt(ports.mqtt, 'alice', 'eve-overlap', []);
      const words = (i: number): string =>
        ['eve', ...Array.from({ length: 13 }, (_, bit) => ((i >> bit) & 1 ? '+' : 'a'))].join('/');
      for (let i = 0; i < 5_000; i++) client.send(subscribe5(i + 1, [p.subscriptionId(i + 1)], [words(i), 0]));
      client.send(mqtt.pingreq());
      await untilPacket(client, mqtt.PACKET.pingresp);
      const publisher = await attackMqtt(ports.mqtt, 'alice', 'eve-overlap-publisher', []);
      for (let i = 0; i < 100; i++) publisher.send(publish5(words(0), 'x', { qos: 1, id: i + 1 }));
      for (let i = 0; i < 100; i++) if ((await untilPacket(publisher, mqtt.PACKET.puback)) === null) break;
      client.destroy();
      publisher.destroy();
    },
  },
  {
    name: 'purges a queue of 200,000 messages',
    async run({ ports }) {
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(amqp.declareQueue(1, 'eve-purge', { exclusive: true }));
      client.send(...Array.from({ length: 200_000 }, () => amqp.publish(1, '', 'eve-purge', Buffer.alloc(0))));
      client.send(amqp.method(1, amqp.METHOD.queuePurge, amqp.short(0), amqp.shortstr('eve-purge'), amqp.octet(0)));
      await untilMethod(client, amqp.METHOD.queuePurgeOk);
      client.destroy();
    },
  },
];
