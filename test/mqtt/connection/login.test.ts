// Login and permissions over real sockets: user names with a virtual host, client certificates, and topic permissions
// with the client's name.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import mqtt, { type IClientOptions } from 'mqtt';
import { type Broker, createBroker } from '../../../src/broker.ts';
import type { PartialConfig } from '../../../src/config/schema.ts';
import { hasOpenssl, type Pair, TestAuthority } from '../../../support/certificates.ts';

const ALL = { configure: '.*', write: '.*', read: '.*' };
const OPTIONS: IClientOptions = { reconnectPeriod: 0, protocolVersion: 5 };
const GUEST: IClientOptions = { username: 'guest', password: 'guest' };
const NOT_AUTHORIZED = 0x87;

function user(broker: Broker): readonly (string | null)[] {
  return [...broker.connections].map((each) => `${each.info().user} in ${each.info().vhost}`);
}

test('a user name may name the virtual host, cut at the last colon', async () => {
  const broker = await createBroker();
  broker.hosts.create('plant:1');
  broker.permissions.put('plant:1', 'guest', ALL);
  const url = `mqtt://127.0.0.1:${broker.ports.mqtt}`;
  const client = await mqtt.connectAsync(url, { ...OPTIONS, username: 'plant:1:guest', password: 'guest' });
  assert.deepEqual(user(broker), ['guest in plant:1']);
  await client.endAsync();
  await assert.rejects(mqtt.connectAsync(url, { ...OPTIONS, username: 'plant:guest', password: 'guest' }));
  await broker.stop();
});

test('topic permissions hold for publish, subscription and will, by client id', async () => {
  const broker = await createBroker();
  const pattern = '^devices\\.{client_id}\\.';
  broker.permissions.topics.put('/', 'guest', 'amq.topic', { write: pattern, read: pattern });
  const url = `mqtt://127.0.0.1:${broker.ports.mqtt}`;
  const client = await mqtt.connectAsync(url, { ...OPTIONS, ...GUEST, clientId: 'fw.1' });
  const code = (work: Promise<unknown>) =>
    work.then(
      () => 0,
      (error: { code: number }) => error.code,
    );
  assert.equal(await code(client.publishAsync('devices/fw.1/x', 'own', { qos: 1 })), 0);
  assert.equal(await code(client.publishAsync('devices/fw/1/x', 'other', { qos: 1 })), NOT_AUTHORIZED);
  const granted = await client
    .subscribeAsync(['devices/fw.1/#', 'devices/+/x', '#'], { qos: 1 })
    .catch((error) => error);
  assert.match(String(granted), /unspecified|not authorized/i);
  assert.equal(broker.hosts.get('/')!.exchange('amq.topic').bindingCount, 1);
  await client.endAsync();
  await broker.stop();
});

test("a client id with somebody else's session is refused to who may not configure its queue", async () => {
  const broker = await createBroker();
  for (const name of ['dev', 'bob', 'boss']) await broker.users.put(name, name, []);
  broker.permissions.put('/', 'dev', ALL);
  broker.permissions.put('/', 'boss', ALL);
  broker.permissions.put('/', 'bob', { configure: '', write: '', read: '' });
  const url = `mqtt://127.0.0.1:${broker.ports.mqtt}`;
  const as = (name: string, options: IClientOptions = {}) =>
    mqtt.connectAsync(url, { ...OPTIONS, clientId: 'meter', username: name, password: name, ...options });
  const session: IClientOptions = { clean: false, properties: { sessionExpiryInterval: 3600 } };
  const will = { topic: 'meter/dead', payload: Buffer.from('will'), qos: 1 as const, retain: false };
  const watcher = await as('boss', { clientId: 'watcher' });
  const wills: string[] = [];
  watcher.on('message', (topic) => wills.push(topic));
  await watcher.subscribeAsync('meter/dead', { qos: 1 });

  const online = await as('dev', { ...session, will });
  await online.subscribeAsync('meter/#', { qos: 1 });
  for (const clean of [true, false]) {
    await assert.rejects(as('bob', { clean }), { code: NOT_AUTHORIZED });
    await assert.rejects(as('bob', { clean, protocolVersion: 4 }), { code: 5 });
  }
  assert.equal(online.connected, true);
  await online.endAsync();

  await watcher.publishAsync('meter/x', 'kept', { qos: 1 });
  await assert.rejects(as('bob'), { code: NOT_AUTHORIZED });
  const again = mqtt.connect(url, { ...OPTIONS, clientId: 'meter', username: 'dev', password: 'dev', ...session });
  const payload = await new Promise<string>((resolve) =>
    again.once('message', (_topic, body) => resolve(String(body))),
  );
  assert.equal(payload, 'kept');
  assert.deepEqual(wills, [], 'the will was not sent');
  await again.endAsync();
  // Who may delete the queue may take the session over.
  await (await as('boss')).endAsync();
  await watcher.endAsync();
  await broker.stop();
});

describe('a client certificate', { skip: hasOpenssl() ? false : 'openssl is not installed' }, () => {
  let authority: TestAuthority;
  let server: Pair;

  before(() => {
    authority = new TestAuthority('Plant');
    server = authority.issue('/CN=localhost', 'server');
  });

  after(() => authority.remove());

  async function logins(
    config: PartialConfig['mqtt'],
    subject: string,
    options: IClientOptions = {},
    users: readonly string[] = ['device-7', 'CN=device-7,O=Plant'],
  ) {
    const broker = await createBroker({
      mqtt: { tlsPort: 0, ...config },
      tls: { ...server, caFile: authority.caFile },
    });
    for (const name of users) {
      await broker.users.put(name, 'never used', []);
      broker.permissions.put('/', name, ALL);
    }
    const pair = authority.issue(subject, 'client');
    try {
      const client = await mqtt.connectAsync(`mqtts://localhost:${broker.ports.mqtts}`, {
        ...OPTIONS,
        ...options,
        ca: [readFileSync(authority.caFile)],
        cert: readFileSync(pair.certificateFile),
        key: readFileSync(pair.keyFile),
      });
      const who = user(broker);
      await client.endAsync();
      return who;
    } finally {
      await broker.stop();
    }
  }

  test('logs in the user of its common name or its subject', async () => {
    assert.deepEqual(await logins({ certificateLogin: 'common_name' }, '/O=Plant/CN=device-7'), ['device-7 in /']);
    const whole = await logins({ certificateLogin: 'distinguished_name' }, '/O=Plant/CN=device-7');
    assert.deepEqual(whole, ['CN=device-7,O=Plant in /']);
  });

  test('names nobody else by special characters or by an attribute that stands twice', async () => {
    for (const subject of ['/CN=device-7,O=Plant', '/O=Plant/CN=device-7/CN=other', '/O=Plant/O=Other/CN=device-7']) {
      await assert.rejects(logins({ certificateLogin: 'distinguished_name' }, subject), subject);
    }
    const escaped = 'CN=device-7\\,O=Plant';
    assert.deepEqual(await logins({ certificateLogin: 'distinguished_name' }, '/CN=device-7,O=Plant', {}, [escaped]), [
      `${escaped} in /`,
    ]);
    const both = 'CN=other,CN=device-7,O=Plant';
    assert.deepEqual(
      await logins({ certificateLogin: 'distinguished_name' }, '/O=Plant/CN=device-7/CN=other', {}, [both]),
      [`${both} in /`],
    );
  });

  test('that names no user is refused, not accepted as anonymous', async () => {
    await assert.rejects(logins({ certificateLogin: 'common_name' }, '/CN=nobody'));
  });

  test('is ignored if that is off, or if CONNECT has a user name', async () => {
    assert.deepEqual(await logins({}, '/CN=device-7'), ['anonymous in /']);
    assert.deepEqual(await logins({ certificateLogin: 'common_name' }, '/CN=device-7', GUEST), ['guest in /']);
  });
});
