// Real clients against a whole broker: MQTT.js over TCP and WebSocket, Debian's mosquitto clients and paho if
// installed. The unit tests of this folder check the same exchanges byte by byte.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { type Broker, createBroker } from '../../src/broker.ts';

const PYTHON = '/usr/bin/python3';
const PAHO = '/usr/lib/python3/dist-packages/paho/mqtt/client.py';
const MOSQUITTO_PUB = '/usr/bin/mosquitto_pub';
const MOSQUITTO_SUB = '/usr/bin/mosquitto_sub';
/** Disables output buffering: into a pipe, mosquitto_sub would buffer its output until it exits. */
const STDBUF = '/usr/bin/stdbuf';

/** Why a peer's tests are skipped, or false. */
function lacks(...files: string[]): string | false {
  const missing = files.filter((file) => !existsSync(file));
  return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;
}

/** The messages that a client received, and a promise that resolves at a given number. */
class Inbox {
  readonly messages: { topic: string; body: string; qos: number; retain: boolean; dup: boolean }[] = [];
  private waiting: { count: number; resolve: () => void }[] = [];

  constructor(client: MqttClient) {
    client.on('message', (topic, payload, packet) => {
      this.messages.push({ topic, body: payload.toString(), qos: packet.qos, retain: packet.retain, dup: packet.dup });
      this.waiting = this.waiting.filter(({ count, resolve }) => {
        if (this.messages.length < count) return true;
        resolve();
        return false;
      });
    });
  }

  async until(count: number): Promise<this> {
    if (this.messages.length < count) await new Promise<void>((resolve) => this.waiting.push({ count, resolve }));
    return this;
  }

  get bodies(): string[] {
    return this.messages.map(({ body }) => body);
  }
}

/** The arguments of the client's next event of that name. */
function heard(client: MqttClient, event: 'connect' | 'error' | 'close'): Promise<unknown[]> {
  return new Promise((resolve) => client.once(event, (...args: unknown[]) => resolve(args)));
}

describe('MQTT clients', () => {
  let broker: Broker;
  const clients: MqttClient[] = [];

  before(async () => {
    broker = await createBroker();
  });
  after(() => broker.stop());
  afterEach(async () => {
    for (const client of clients.splice(0)) if (!client.disconnecting) await client.endAsync(true);
  });

  async function connect(
    over: 'tcp' | 'ws',
    options: IClientOptions = {},
  ): Promise<{ client: MqttClient; inbox: Inbox }> {
    const url = over === 'tcp' ? `mqtt://127.0.0.1:${broker.ports.mqtt}` : `ws://127.0.0.1:${broker.ports.ws}/mqtt`;
    const client = mqtt.connect(url, { username: 'guest', password: 'guest', reconnectPeriod: 0, ...options });
    const inbox = new Inbox(client);
    clients.push(client);
    await heard(client, 'connect');
    return { client, inbox };
  }

  for (const over of ['tcp', 'ws'] as const) {
    it(`MQTT.js over ${over} publishes and receives at every QoS`, async () => {
      const { client, inbox } = await connect(over);
      const granted = await client.subscribeAsync({ 'q/+/x': { qos: 2 }, 'w/#': { qos: 0 } });
      assert.deepEqual(
        granted.map(({ qos }) => qos),
        [2, 0],
      );
      for (const qos of [0, 1, 2] as const) await client.publishAsync(`q/${qos}/x`, `at ${qos}`, { qos });
      await client.publishAsync('w', 'parent', { qos: 1 });
      await client.publishAsync('sniffFailed', 'x', { qos: 1 });
      await inbox.until(4);
      assert.deepEqual(
        inbox.messages.map(({ topic, body, qos }) => `${topic} ${body} ${qos}`),
        ['q/0/x at 0 0', 'q/1/x at 1 1', 'q/2/x at 2 2', 'w parent 0'],
      );
    });

    it(`MQTT.js over ${over} carries large payloads and many messages in order`, async () => {
      const { client, inbox } = await connect(over);
      await client.subscribeAsync(`bulk/${over}`, { qos: 1 });
      const large = 'ü'.repeat(1_000_000);
      await client.publishAsync(`bulk/${over}`, large, { qos: 1 });
      const sent: Promise<unknown>[] = [];
      for (let i = 0; i < 2000; i++) sent.push(client.publishAsync(`bulk/${over}`, `${i}`, { qos: 1 }));
      await Promise.all(sent);
      await inbox.until(2001);
      assert.equal(inbox.messages[0]!.body, large);
      assert.deepEqual(
        inbox.bodies.slice(1),
        Array.from({ length: 2000 }, (_, i) => `${i}`),
      );
    });
  }

  it('a wrong password is refused, and no other client notices', async () => {
    const { client } = await connect('tcp');
    const refused = mqtt.connect(`mqtt://127.0.0.1:${broker.ports.mqtt}`, {
      username: 'guest',
      password: 'wrong',
      reconnectPeriod: 0,
    });
    const [error] = await heard(refused, 'error');
    assert.match((error as Error).message, /Bad username or password/);
    await refused.endAsync(true);
    await client.publishAsync('a', 'b', { qos: 1 });
  });

  it('a persistent session receives what was queued while it was away', async () => {
    const away = await connect('tcp', { clientId: 'away', clean: false });
    await away.client.subscribeAsync('mail/#', { qos: 1 });
    await away.client.endAsync();
    const { client } = await connect('ws');
    for (let i = 0; i < 100; i++) await client.publishAsync(`mail/${i}`, `${i}`, { qos: 1 });
    const back = await connect('tcp', { clientId: 'away', clean: false });
    await back.inbox.until(100);
    assert.deepEqual(
      back.inbox.bodies,
      Array.from({ length: 100 }, (_, i) => `${i}`),
    );
    assert.ok(back.inbox.messages.every(({ qos, dup }) => qos === 1 && !dup));
  });

  it('a client id that connects again closes the older connection, whose will is published', async () => {
    const { client: watcher, inbox } = await connect('tcp');
    await watcher.subscribeAsync('wills/#', { qos: 1 });
    const will = { topic: 'wills/x', payload: Buffer.from('gone'), qos: 1 as const, retain: false };
    const older = await connect('tcp', { clientId: 'same', will });
    const closed = heard(older.client, 'close');
    await connect('ws', { clientId: 'same' });
    await closed;
    await inbox.until(1);
    assert.deepEqual(inbox.bodies, ['gone']);
  });

  it('mosquitto_pub and mosquitto_sub exchange messages with each other and with MQTT.js', {
    skip: lacks(MOSQUITTO_PUB, MOSQUITTO_SUB, STDBUF),
  }, async () => {
    const { client, inbox } = await connect('tcp');
    await client.subscribeAsync('m/#', { qos: 2 });
    const login = ['-h', '127.0.0.1', '-p', String(broker.ports.mqtt), '-u', 'guest', '-P', 'guest'];
    const subscriber = run(STDBUF, [
      '-oL',
      MOSQUITTO_SUB,
      ...login,
      '-d',
      ...['-t', 'm/+', '-q', '2', '-C', '6', '-F', '%t %q %p'],
    ]);
    await subscriber.says('Subscribed');
    for (const qos of ['0', '1', '2']) {
      const publisher = run(MOSQUITTO_PUB, [...login, '-t', `m/${qos}`, '-m', `from mosquitto at ${qos}`, '-q', qos]);
      await publisher.ends();
    }
    const lines = run(MOSQUITTO_PUB, [...login, '-t', 'm/lines', '-q', '1', '-l']);
    lines.child.stdin!.end('one\ntwo\n');
    await lines.ends();
    await client.publishAsync('m/js', 'from MQTT.js', { qos: 1 });
    await subscriber.ends();
    await inbox.until(6);
    const expected = [
      'm/0 0 from mosquitto at 0',
      'm/1 1 from mosquitto at 1',
      'm/2 2 from mosquitto at 2',
      'm/lines 1 one',
      'm/lines 1 two',
      'm/js 1 from MQTT.js',
    ];
    assert.deepEqual(
      subscriber.output.split('\n').filter((line) => line.startsWith('m/')),
      expected,
    );
    assert.deepEqual(
      inbox.messages.map(({ topic, qos, body }) => `${topic} ${qos} ${body}`),
      expected,
    );
  });

  it('paho publishes, subscribes and keeps a session', { skip: lacks(PYTHON, PAHO) }, async () => {
    const script = run(PYTHON, ['-c', PAHO_SCRIPT, String(broker.ports.mqtt)]);
    await script.ends();
    assert.deepEqual(JSON.parse(script.output), {
      received: ['p/0 0 zero', 'p/1 1 one', 'p/2 2 two'],
      present: [false, true],
      queued: ['p/later 1 queued'],
    });
  });
});

describe('a broker that restarts', () => {
  it('knows its persistent sessions, their subscriptions and what was queued for them', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'trivium-mqtt-'));
    const options = { username: 'guest', password: 'guest', reconnectPeriod: 0 };
    try {
      const first = await createBroker({ dataDir });
      const url = `mqtt://127.0.0.1:${first.ports.mqtt}`;
      const session = await mqtt.connectAsync(url, { ...options, clientId: 'device', clean: false });
      await session.subscribeAsync('orders/+', { qos: 1 });
      await session.endAsync();
      const publisher = await mqtt.connectAsync(url, options);
      await publisher.publishAsync('orders/1', 'kept', { qos: 1 });
      await publisher.publishAsync('orders/2', 'transient', { qos: 0 });
      await publisher.endAsync();
      await first.stop();

      const second = await createBroker({ dataDir });
      const restarted = `mqtt://127.0.0.1:${second.ports.mqtt}`;
      const other = await mqtt.connectAsync(restarted, options);
      await other.publishAsync('orders/3', 'after', { qos: 1 });
      const back = mqtt.connect(restarted, { ...options, clientId: 'device', clean: false });
      const inbox = new Inbox(back);
      const [connack] = await heard(back, 'connect');
      assert.equal((connack as { sessionPresent: boolean }).sessionPresent, true);
      await inbox.until(2);
      assert.deepEqual(inbox.bodies, ['kept', 'after']);
      await back.unsubscribeAsync('orders/+');
      await other.publishAsync('orders/4', 'sniffFailed', { qos: 1 });
      await other.publishAsync('orders/5', 'sniffFailed', { qos: 1 });
      assert.equal(inbox.messages.length, 2);
      await back.endAsync();
      await other.endAsync();
      await second.stop();
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});

interface Running {
  readonly child: ChildProcess;
  readonly output: string;
  says(text: string): Promise<void>;
  /** Resolves if the process exits with code 0; rejects with its output otherwise. */
  ends(): Promise<void>;
}

function run(command: string, args: string[]): Running {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  const ended = once(child, 'close');
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  return {
    child,
    get output() {
      return output;
    },
    async says(text) {
      while (!output.includes(text)) {
        await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), ended]);
        if (child.exitCode !== null && !output.includes(text)) throw new Error(`${command} ended: ${output}`);
      }
    },
    async ends() {
      const [code] = await ended;
      if (code !== 0) throw new Error(`${command} ended with ${code}: ${output}`);
    },
  };
}

/** Waits for paho's events; prints the result as JSON. */
const PAHO_SCRIPT = `
import json, queue, sys
import paho.mqtt.client as paho

port = int(sys.argv[1])
events = queue.Queue()

def connect(client_id, clean, inbox):
    client = paho.Client(client_id=client_id, clean_session=clean, protocol=paho.MQTTv311)
    client.username_pw_set('guest', 'guest')
    client.on_connect = lambda c, u, flags, rc: events.put(('connect', flags['session present'], rc))
    client.on_subscribe = lambda c, u, mid, granted: events.put(('subscribe', granted))
    client.on_disconnect = lambda c, u, rc: events.put(('disconnect', rc))
    client.on_message = lambda c, u, m: inbox.put('%s %d %s' % (m.topic, m.qos, m.payload.decode()))
    client.connect('127.0.0.1', port)
    client.loop_start()
    kind, present, rc = events.get(timeout=20)
    assert kind == 'connect' and rc == 0, (kind, rc)
    return client, bool(present)

def leave(client):
    client.disconnect()
    assert events.get(timeout=20) == ('disconnect', 0)
    client.loop_stop()

inbox = queue.Queue()
client, first = connect('paho', False, inbox)
client.subscribe('p/#', 2)
assert events.get(timeout=20) == ('subscribe', (2,))
for qos, body in enumerate(['zero', 'one', 'two']):
    client.publish('p/%d' % qos, body, qos=qos).wait_for_publish()
received = [inbox.get(timeout=20) for _ in range(3)]
leave(client)
other, _ = connect('paho-other', True, queue.Queue())
other.publish('p/later', 'queued', qos=1).wait_for_publish()
leave(other)
later = queue.Queue()
client, second = connect('paho', False, later)
queued = [later.get(timeout=20)]
leave(client)
print(json.dumps({'received': received, 'present': [first, second], 'queued': queued}))
`;
