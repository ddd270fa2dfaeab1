// Enhanced authentication of MQTT 5 (§4.12): AUTH packets between CONNECT and CONNACK and afterwards, with the broker's
// SCRAM-SHA-256.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { SCRAM_METHOD, ScramExchange } from '../../../src/auth/scram.ts';
import { Users } from '../../../src/auth/users.ts';
import { auth5, connect5, p } from '../../../support/wire/mqtt5.ts';
import { RecordedDefinitions } from '../../support/recorded-definitions.ts';
import { ScramClient } from '../../support/scram-client.ts';
import { PINGREQ } from '../bytes.ts';
import { type Client, Harness, reasonOf } from '../harness.ts';

const users = new Users(new RecordedDefinitions(), {
  passwordHashes: 1,
  passwordQueue: 9,
  passwordQueuePerAddress: 100,
  passwordCost: 10,
});

before(async () => {
  await users.put('anna', 'secret', []);
  await users.put('bert', 'secret', []);
});

function harness(): Harness {
  return new Harness({
    exchange: (method) =>
      method === SCRAM_METHOD
        ? new ScramExchange(
            (user) => users.scram(user),
            (user) => ({ user, tags: [] }),
          )
        : null,
  });
}

function begin(scram: ScramClient): Buffer {
  const properties = [p.authenticationMethod(SCRAM_METHOD), p.authenticationData(scram.first())];
  return connect5({ user: null, password: null, properties });
}

/** The authentication data of a packet. */
function dataOf(hex: string): Buffer {
  const packet = Buffer.from(hex, 'hex');
  const method = Buffer.concat([Buffer.from([21, 0, SCRAM_METHOD.length]), Buffer.from(SCRAM_METHOD)]);
  assert.ok(packet.includes(method), 'the method is in every packet of the exchange');
  const at = packet.indexOf(22, packet.indexOf(method) + method.length);
  return packet.subarray(at + 3, at + 3 + packet.readUInt16BE(at + 1));
}

function answer(reason: number, data: Buffer): Buffer {
  return auth5(reason, [p.authenticationMethod(SCRAM_METHOD), p.authenticationData(data)]);
}

async function opened(broker: Harness, user = 'anna'): Promise<Client> {
  const client = broker.open();
  const scram = new ScramClient(user, 'secret');
  client.send(begin(scram));
  await broker.settle();
  const [challenge] = client.take();
  assert.equal(Buffer.from(challenge!, 'hex')[2], 0x18);
  client.send(answer(0x18, scram.final(dataOf(challenge!))));
  await broker.settle();
  const [connack] = client.take();
  assert.equal(reasonOf(connack), 'connack 0 0');
  assert.ok(scram.verifies(dataOf(connack!)));
  return client;
}

describe('enhanced authentication', () => {
  it('lets a client in that proves its password', async () => {
    const broker = harness();
    const client = await opened(broker);
    assert.equal([...broker.connections][0]!.info().user, 'anna');
    client.send(PINGREQ);
    await broker.settle();
    assert.deepEqual(client.take(), ['d000']);
  });

  it('refuses a wrong password, a wrong packet and a wrong method', async () => {
    const broker = harness();
    const wrong = broker.open();
    const scram = new ScramClient('anna', 'wrong');
    wrong.send(begin(scram));
    await broker.settle();
    wrong.send(answer(0x18, scram.final(dataOf(wrong.take()[0]!))));
    await broker.settle();
    assert.equal(reasonOf(wrong.take()[0]), 'connack 0 87');
    assert.ok(wrong.closed);
    for (const [packet, reason] of [
      [PINGREQ, '82'],
      [auth5(0x18, [p.authenticationMethod('OTHER'), p.authenticationData('x')]), '82'],
      [auth5(0x19, [p.authenticationMethod(SCRAM_METHOD), p.authenticationData('x')]), '82'],
      [auth5(0x42, []), '82'],
      [auth5(0x18, [p.contentType('x')]), '81'],
      [answer(0x18, Buffer.from('nonsense')), '87'],
    ] as const) {
      const client = broker.open();
      client.send(begin(new ScramClient('anna', 'secret')));
      await broker.settle();
      client.take();
      client.send(packet);
      await broker.settle();
      assert.equal(reasonOf(client.take()[0]), `connack 0 ${reason}`);
      assert.ok(client.closed);
    }
    assert.equal(broker.connections.size, 0);
  });

  it('ends the connection if the answer exceeds the maximum packet size of the client', async () => {
    const broker = harness();
    const client = broker.open();
    const first = new ScramClient('anna', 'secret').first();
    const method = [p.authenticationMethod(SCRAM_METHOD), p.authenticationData(first)];
    client.send(connect5({ properties: [...method, p.maximumPacket(60)] }));
    await broker.settle();
    assert.equal(reasonOf(client.take()[0]), 'connack 0 95');
    assert.ok(client.closed);
  });

  it('has a time limit between two packets', async () => {
    const broker = harness();
    const client = broker.open();
    client.send(begin(new ScramClient('anna', 'secret')));
    await broker.settle();
    broker.tick(30);
    await broker.settle();
    assert.ok(client.closed);
  });

  it('is repeated by a client that wants to, while other packets pass', async () => {
    const broker = harness();
    const client = await opened(broker);
    const scram = new ScramClient('anna', 'secret');
    client.send(answer(0x19, scram.first()), PINGREQ);
    await broker.settle();
    const [challenge, pong] = client.take();
    assert.equal(pong, 'd000');
    client.send(answer(0x18, scram.final(dataOf(challenge!))));
    await broker.settle();
    const [success] = client.take();
    assert.equal(Buffer.from(success!, 'hex')[2], 0);
    assert.ok(scram.verifies(dataOf(success!)));
  });

  it('that fails when repeated, or names another user, ends the connection', async () => {
    const broker = harness();
    for (const [user, password] of [
      ['anna', 'wrong'],
      ['bert', 'secret'],
    ] as const) {
      const client = await opened(broker);
      const scram = new ScramClient(user, password);
      client.send(answer(0x19, scram.first()));
      await broker.settle();
      client.send(answer(0x18, scram.final(dataOf(client.take()[0]!))));
      await broker.settle();
      assert.equal(reasonOf(client.take()[0]), 'disconnect 87');
    }
  });

  it('is a protocol error of a client that named no method', async () => {
    const broker = harness();
    const client = await broker.connect5('c');
    client.send(answer(0x19, Buffer.from('x')));
    await broker.settle();
    assert.equal(reasonOf(client.take()[0]), 'disconnect 82');
  });
});
