// Attacks that make the broker keep more than they send, or more than anybody should be able to make it keep.

import { constants, createDeflateRaw } from 'node:zlib';
import { RawClient, tcp } from '../../raw-client.ts';
import * as amqp from '../../wire/amqp.ts';
import * as mqtt from '../../wire/mqtt.ts';
import { p, publish5 } from '../../wire/mqtt5.ts';
import * as stomp from '../../wire/stomp.ts';
import { upgradeRequest } from '../../wire/websocket.ts';
import type { Attack } from '../attack.ts';
import { answeredAmqp, attackAmqp, attackMqtt, attackStomp, openMany, untilMethod } from '../attacker.ts';

const MIB = 1024 * 1024;

/** Field table content of `count` fields without a name, each one byte (3 bytes on the wire). */
function tinyFields(count: number): Buffer {
  const bytes = Buffer.alloc(count * 3);
  for (let i = 0; i < count; i++) {
    bytes[3 * i + 1] = 0x62;
    bytes[3 * i + 2] = 1;
  }
  return bytes;
}

/** Writes `times` times, as far as the broker reads; stops when it has closed. */
async function pour(client: RawClient, chunk: Buffer, times: number): Promise<void> {
  for (let i = 0; i < times && !client.closed; i++) {
    if (client.send(chunk)) continue;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        client.socket.off('drain', done);
        client.socket.off('close', done);
        clearTimeout(timer);
        resolve();
      };
      // A broker that reads no more is right, too: what it does not read costs it nothing.
      const timer = setTimeout(() => {
        times = 0;
        done();
      }, 250);
      client.socket.once('drain', done);
      client.socket.once('close', done);
    });
  }
}

export const MEMORY: readonly Attack[] = [
  {
    name: 'sends a body of 128 MiB before it has logged in over STOMP',
    async run({ ports }) {
      const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(ports.stomp)));
      const head = Buffer.from(`SEND\ndestination:/queue/x\ncontent-length:${128 * MIB}\n\n`);
      await Promise.all(
        clients.map(async (client) => {
          client.send(head);
          await pour(client, Buffer.alloc(MIB, 'a'), 100);
        }),
      );
      for (const client of clients) client.destroy();
    },
  },
  {
    name: 'sends client properties of thousands of tiny fields on 1,500 connections',
    async run({ ports }) {
      const startOk = amqp.method(
        0,
        amqp.METHOD.connectionStartOk,
        amqp.longstr(tinyFields(2600)),
        amqp.shortstr('PLAIN'),
        amqp.longstr('\0nobody\0wrong'),
        amqp.shortstr('en_US'),
      );
      const sockets = await openMany(1500, async () => {
        const socket = await tcp(ports.amqp);
        socket.write(Buffer.concat([amqp.PROTOCOL_HEADER, startOk]));
        return socket;
      });
      for (const socket of sockets) socket.destroy();
    },
  },
  {
    name: 'binds its queue with 128 KiB of arguments, 60 times',
    async run({ ports }) {
      const client = await attackAmqp(ports.amqp, 'eve');
      client.send(
        amqp.declareQueue(1, 'eve-args', { exclusive: true }),
        amqp.declareExchange(1, 'eve-args-x', 'fanout'),
      );
      await answeredAmqp(client);
      const args = amqp.longstr(tinyFields(43_000));
      for (let i = 0; i < 60 && !client.closed; i++) {
        const where = [amqp.shortstr('eve-args'), amqp.shortstr('eve-args-x'), amqp.shortstr(`k${i}`)];
        client.send(amqp.method(1, amqp.METHOD.queueBind, amqp.short(0), ...where, amqp.octet(0), args));
        await untilMethod(client, amqp.METHOD.queueBindOk);
      }
      client.destroy();
    },
  },
  {
    name: 'begins a body on each of 400 channels without any permission',
    async run({ ports }) {
      const CHANNELS = 400;
      const client = await attackAmqp(ports.amqp, 'bob', CHANNELS);
      const part = Buffer.alloc(128 * 1024 - 8, 'a');
      for (let channel = 1; channel <= CHANNELS && !client.closed; channel++) {
        const head = [amqp.short(0), amqp.shortstr('amq.topic'), amqp.shortstr('k'), amqp.octet(0)];
        client.send(amqp.method(channel, amqp.METHOD.basicPublish, ...head), amqp.contentHeader(channel, 2 * MIB));
        await pour(client, amqp.frame(amqp.FRAME.body, channel, part), 8);
      }
      client.destroy();
    },
  },
  {
    name: 'fills AMQP transactions and never commits',
    async run({ ports }) {
      const CHANNELS = 8;
      const client = await attackAmqp(ports.amqp, 'eve', CHANNELS);
      client.send(amqp.declareQueue(1, 'eve-tx', { exclusive: true }));
      await answeredAmqp(client);
      const publishes = Buffer.concat(
        Array.from({ length: 500 }, () => amqp.publish(1, '', 'eve-tx', Buffer.alloc(0))),
      );
      for (let channel = 1; channel <= CHANNELS && !client.closed; channel++) {
        client.send(amqp.method(channel, amqp.METHOD.txSelect));
        for (let at = 0; at < publishes.length; ) {
          publishes.writeUInt16BE(channel, at + 1);
          at += amqp.frameBytes(publishes, at, publishes.length);
        }
        await pour(client, Buffer.from(publishes), 50);
      }
      client.destroy();
    },
  },
  {
    name: 'fills STOMP transactions and never commits',
    async run({ ports }) {
      const client = await attackStomp(ports.stomp, 'eve');
      const sends = Buffer.concat(
        Array.from({ length: 1000 }, (_, i) =>
          stomp.send('/topic/eve.t', Buffer.from('x'), { transaction: `t${i % 10}`, k: i }),
        ),
      );
      for (let i = 0; i < 10; i++) client.send(stomp.frame('BEGIN', { transaction: `t${i}` }));
      await pour(client, sends, 100);
      client.destroy();
    },
  },
  {
    name: 'sends a WebSocket message in fragments that never end',
    async run({ ports }) {
      const clients = await Promise.all(Array.from({ length: 8 }, () => upgraded(ports.ws, '')));
      const part = 256 * 1024;
      const head = Buffer.alloc(14);
      head[0] = 0x00;
      head[1] = 0x80 | 127;
      head.writeUInt32BE(part, 6);
      const first = Buffer.from(head);
      first[0] = 0x02;
      await Promise.all(
        clients.map(async (client) => {
          client.send(first, Buffer.alloc(part, 'a'));
          await pour(client, Buffer.concat([head, Buffer.alloc(part, 'a')]), 200);
        }),
      );
      for (const client of clients) client.destroy();
    },
  },
  {
    name: 'sends compressed WebSocket messages that become a thousand times as long',
    async run({ ports }) {
      const deflated = await deflate(Buffer.alloc(64 * MIB));
      const head = Buffer.alloc(14);
      head[0] = 0xc0 | 0x02;
      head[1] = 0x80 | 127;
      head.writeUInt32BE(deflated.length, 6);
      const clients = await Promise.all(Array.from({ length: 4 }, () => upgraded(ports.ws, 'permessage-deflate')));
      await Promise.all(
        clients.map(async (client) => {
          await pour(client, Buffer.concat([head, deflated]), 4);
          await client.restBytes();
        }),
      );
    },
  },
  {
    name: 'keeps thousands of MQTT user properties in a retained message and a will',
    async run({ ports }) {
      const properties = Array.from({ length: 8_000 }, () => p.user('', ''));
      const clients = [];
      for (let i = 0; i < 20; i++) {
        const client = await attackMqtt(ports.mqtt, 'alice', `eve-properties-${i}`, []);
        client.send(publish5(`eve/properties/${i}`, 'x', { qos: 1, id: 1, retain: true, properties }));
        client.send(publish5(`eve/properties/${i}`, '', { qos: 1, id: 2, retain: true }));
        client.send(mqtt.pingreq());
        await client.next();
        clients.push(client);
      }
      for (const client of clients) client.destroy();
    },
  },
];

/** A WebSocket to `/stomp`, without a login. */
async function upgraded(port: number, extension: string): Promise<RawClient> {
  const client = await RawClient.connect(port);
  const request = upgradeRequest('/stomp', 'v12.stomp').toString('latin1');
  const asked =
    extension === '' ? request : request.replace('\r\n\r\n', `\r\nSec-WebSocket-Extensions: ${extension}\r\n\r\n`);
  client.send(Buffer.from(asked, 'latin1'));
  await client.untilBytes(Buffer.from('\r\n\r\n'));
  return client;
}

/** One message as permessage-deflate sends it [RFC 7692 §7.2.1]. */
function deflate(bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stream = createDeflateRaw();
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part)).on('error', reject);
    stream.write(bytes);
    stream.flush(constants.Z_SYNC_FLUSH, () => resolve(Buffer.concat(parts).subarray(0, -4)));
  });
}
