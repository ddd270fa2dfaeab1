// Protects login by client certificate (SASL EXTERNAL over mutual TLS): which user it selects, which certificates are
// refused, and that it is offered only for a certificate of the broker's authority.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import amqplib from 'amqplib';
import { type Broker, createBroker } from '../../src/broker.ts';
import type { PartialConfig } from '../../src/config/schema.ts';
import { hasOpenssl, type Pair, TestAuthority } from '../../support/certificates.ts';

describe('EXTERNAL', { skip: hasOpenssl() ? false : 'openssl is not installed' }, () => {
  let authority: TestAuthority;
  let server: Pair;
  const brokers: Broker[] = [];

  before(() => {
    authority = new TestAuthority('Plant');
    server = authority.issue('/CN=localhost', 'server');
  });

  after(async () => {
    for (const broker of brokers) await broker.stop();
    authority.remove();
  });

  async function start(amqp: PartialConfig['amqp'] = {}): Promise<Broker> {
    const broker = await createBroker({
      amqp: { tlsPort: 0, ...amqp },
      tls: { ...server, caFile: authority.caFile },
    });
    brokers.push(broker);
    for (const user of ['device-7', 'CN=device-7,O=Plant']) {
      await broker.users.put(user, 'never used', []);
      broker.permissions.put('/', user, { configure: '.*', write: '.*', read: '.*' });
    }
    return broker;
  }

  function connect(broker: Broker, pair: Pair | null) {
    const certificate =
      pair === null ? {} : { cert: readFileSync(pair.certificateFile), key: readFileSync(pair.keyFile) };
    return amqplib.connect(`amqps://localhost:${broker.ports.amqps}`, {
      ca: [readFileSync(authority.caFile)],
      ...certificate,
      credentials: amqplib.credentials.external(),
    });
  }

  test('logs in the user of the common name', async () => {
    const broker = await start();
    const connection = await connect(broker, authority.issue('/O=Plant/CN=device-7', 'device'));
    const channel = await connection.createChannel();
    await channel.assertQueue('external', { exclusive: true });
    assert.deepEqual(
      [...broker.connections].map((each) => each.info().user),
      ['device-7'],
    );
    await connection.close();
  });

  test('logs in the user of the distinguished name if so configured', async () => {
    const broker = await start({ certificateLogin: 'distinguished_name' });
    const connection = await connect(broker, authority.issue('/O=Plant/CN=device-7', 'distinguished'));
    assert.equal([...broker.connections][0]!.info().user, 'CN=device-7,O=Plant');
    await connection.close();
  });

  test('refuses a certificate that names no user', async () => {
    const broker = await start();
    await assert.rejects(connect(broker, authority.issue('/CN=nobody', 'nobody')), /403|ACCESS_REFUSED/);
  });

  test('is not offered without a certificate, nor if it is off', async () => {
    const broker = await start();
    await assert.rejects(connect(broker, null), /mechanism/i);
    const off = await start({ certificateLogin: 'off' });
    await assert.rejects(connect(off, authority.issue('/O=Plant/CN=device-7', 'off')), /mechanism/i);
  });
});
