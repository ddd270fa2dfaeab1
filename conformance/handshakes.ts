// The first words of each protocol, written down byte by byte from the specifications: a greeting that must be answered,
// and one that must be refused.

import assert from 'node:assert/strict';
import type { Check } from './check.ts';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

const AMQP_HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);

/** AMQP 0-9-1 §4.2.2 and §2.2.4. */
export function amqpChecks({ user, password }: Credentials): Check[] {
  return [
    {
      rule: 'AMQP: a protocol header of another version is answered with ours, and the end (§4.2.2)',
      async run(wire) {
        wire.send(Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 1, 0, 0]));
        assert.deepEqual(await wire.takeAll(), AMQP_HEADER);
      },
    },
    {
      rule: 'AMQP: start, start-ok, tune, tune-ok, open, open-ok, close, close-ok (§2.2.4)',
      async run(wire) {
        const response = Buffer.from(`\0${user}\0${password}`);
        wire.send(AMQP_HEADER);
        const start = await method(wire);
        assert.deepEqual(start.id, [10, 10]);
        assert.deepEqual([...start.args.subarray(0, 2)], [0, 9], 'version 0-9');
        assert.ok(start.args.includes('PLAIN'));
        wire.send(
          frame(10, 11, Buffer.concat([uint32(0), short('PLAIN'), uint32(response.length), response, short('en_US')])),
        );
        const tune = await method(wire);
        assert.deepEqual(tune.id, [10, 30]);
        wire.send(frame(10, 31, tune.args));
        wire.send(frame(10, 40, Buffer.concat([short('/'), short(''), Buffer.from([0])])));
        assert.deepEqual((await method(wire)).id, [10, 41]);
        wire.send(frame(10, 50, Buffer.concat([Buffer.from([0, 200]), short('bye'), uint32(0)])));
        assert.deepEqual((await method(wire)).id, [10, 51]);
      },
    },
  ];
}

/** MQTT 3.1.1. */
export function mqttChecks({ user, password }: Credentials): Check[] {
  const connect = (level: number): Buffer => {
    // Flags: user name, password, clean session [MQTT-3.1.2].
    const fields = [long('MQTT'), Buffer.from([level, 0xc2, 0, 60]), long('conformance'), long(user), long(password)];
    const body = Buffer.concat(fields);
    return Buffer.concat([Buffer.from([0x10, body.length]), body]);
  };
  return [
    {
      rule: 'MQTT: CONNECT is answered with CONNACK 0, PINGREQ with PINGRESP [MQTT-3.2.2, MQTT-3.12.4-1]',
      async run(wire) {
        wire.send(connect(4));
        assert.deepEqual([...(await wire.take(4))], [0x20, 2, 0, 0]);
        wire.send(Buffer.from([0xc0, 0]));
        assert.deepEqual([...(await wire.take(2))], [0xd0, 0]);
      },
    },
    {
      rule: 'MQTT: what comes before CONNECT ends the connection without a word [MQTT-3.1.0-1]',
      async run(wire) {
        wire.send(Buffer.from([0xc0, 0]));
        assert.equal((await wire.takeAll()).length, 0);
      },
    },
  ];
}

/** STOMP 1.2. */
export function stompChecks({ user, password }: Credentials): Check[] {
  const connect = (versions: string): string =>
    `CONNECT\naccept-version:${versions}\nhost:/\nlogin:${user}\npasscode:${password}\n\n\0`;
  return [
    {
      rule: 'STOMP: CONNECT is answered with CONNECTED and version 1.2, DISCONNECT with its receipt',
      async run(wire) {
        wire.send(connect('1.2'));
        const connected = (await wire.takeThrough(0)).toString();
        assert.match(connected, /^CONNECTED\r?\n/);
        assert.match(connected, /\nversion:1\.2\r?\n/);
        wire.send('DISCONNECT\nreceipt:77\n\n\0');
        assert.match((await wire.takeThrough(0)).toString().trimStart(), /^RECEIPT\r?\nreceipt-id:77\r?\n/);
      },
    },
    {
      rule: 'STOMP: an unknown command is answered with ERROR, and the end',
      async run(wire) {
        wire.send(connect('1.2'));
        await wire.takeThrough(0);
        wire.send('SHOUT\n\n\0');
        assert.match((await wire.takeAll()).toString().trimStart(), /^ERROR\r?\n/);
      },
    },
  ];
}

/** A method frame on channel 0 (§4.2.3). */
function frame(classId: number, methodId: number, args: Buffer): Buffer {
  const payload = Buffer.concat([Buffer.from([0, classId, 0, methodId]), args]);
  return Buffer.concat([Buffer.from([1, 0, 0]), uint32(payload.length), payload, Buffer.from([0xce])]);
}

async function method(wire: Parameters<Check['run']>[0]): Promise<{ id: [number, number]; args: Buffer }> {
  const header = await wire.take(7);
  assert.deepEqual([...header.subarray(0, 3)], [1, 0, 0], 'a method frame on channel 0');
  const payload = await wire.take(header.readUInt32BE(3) + 1);
  assert.equal(payload.at(-1), 0xce, 'the end of a frame');
  return { id: [payload.readUInt16BE(0), payload.readUInt16BE(2)], args: payload.subarray(4, -1) };
}

function short(text: string): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);
}

function long(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
