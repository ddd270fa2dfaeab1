// Real MQTT 5 clients against a whole broker: MQTT.js over TCP and WebSocket, Debian's mosquitto clients and paho if
// installed.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { type Broker, createBroker } from '../../src/broker.ts';

const run = promisify(execFile);

const PYTHON = '/usr/bin/python3';
const PAHO = '/usr/lib/python3/dist-packages/paho/mqtt/client.py';
const MOSQUITTO_PUB = '/usr/bin/mosquitto_pub';
const MOSQUITTO_SUB = '/usr/bin/mosquitto_sub';
const STDBUF = '/usr/bin/stdbuf';

function lacks(...files: string[]): string | false {
  const missing = files.filter((file) => !existsSync(file));
  return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;
}

/** The next `count` messages. */
function messages(client: MqttClient, count: number): Promise<IPublishPacket[]> {
  const packets: IPublishPacket[] = [];
  return new Promise((resolve) => {
    client.on('message', (_topic, _payload, packet) => {
      packets.push(packet);
      if (packets.length === count) resolve(packets);
    });
  });
}

describe('MQTT 5 clients', () => {
  let broker: Broker;

  before(async () => {
    broker = await createBroker();
  });
  after(() => broker.stop());

  function connect(over: 'tcp' | 'ws', options: IClientOptions = {}): Promise<MqttClient> {
    const url = over === 'tcp' ? `mqtt://127.0.0.1:${broker.ports.mqtt}` : `ws://127.0.0.1:${broker.ports.ws}/mqtt`;
    const login = { username: 'guest', password: 'guest', reconnectPeriod: 0 };
    return mqtt.connectAsync(url, { ...login, protocolVersion: 5, ...options });
  }

  for (const over of ['tcp', 'ws'] as const) {
    it(`MQTT.js over ${over} exchanges properties, aliases and options`, async () => {
      const client = await connect(over, { properties: { topicAliasMaximum: 5 }, autoAssignTopicAlias: true });
      const granted = await client.subscribeAsync(`js/${over}/#`, {
        qos: 2,
        rap: true,
        properties: { subscriptionIdentifier: 7 },
      });
      assert.equal(granted[0]!.qos, 2);
      const received = messages(client, 6);
      const properties = {
        payloadFormatIndicator: true,
        messageExpiryInterval: 100,
        contentType: 'text/plain',
        responseTopic: 'answers',
        correlationData: Buffer.from([0, 255]),
        userProperties: { k: ['1', '2'], l: '3' },
      };
      for (let i = 0; i < 6; i++) {
        await client.publishAsync(`js/${over}/a`, `${i}`, { qos: (i % 3) as 0 | 1 | 2, retain: i === 5, properties });
      }
      for (const [i, packet] of (await received).entries()) {
        const got = packet.properties!;
        assert.deepEqual([packet.payload.toString(), packet.qos, packet.retain], [`${i}`, i % 3, i === 5]);
        assert.deepEqual({ ...got.userProperties }, properties.userProperties);
        assert.deepEqual(
          [
            got.contentType,
            got.responseTopic,
            got.correlationData,
            got.messageExpiryInterval,
            got.payloadFormatIndicator,
          ],
          ['text/plain', 'answers', Buffer.from([0, 255]), 100, true],
        );
        assert.equal(got.subscriptionIdentifier, 7);
      }
      await client.publishAsync(`js/${over}/a`, '', { retain: true });
      await client.endAsync();
    });
  }

  it('MQTT.js keeps a session as long as it asked for, and hears of a takeover', async () => {
    const options = { clientId: 'kept', clean: false, properties: { sessionExpiryInterval: 60 } };
    const first = await connect('tcp', options);
    await first.subscribeAsync('kept/#', { qos: 2 });
    const told = new Promise<number | undefined>((resolve) => {
      first.once('disconnect', (packet) => resolve(packet.reasonCode));
    });
    const second = mqtt.connect(`mqtt://127.0.0.1:${broker.ports.mqtt}`, {
      username: 'guest',
      password: 'guest',
      reconnectPeriod: 0,
      protocolVersion: 5,
      ...options,
    });
    const [connack] = (await once(second as never, 'connect')) as [{ sessionPresent: boolean }];
    assert.equal(connack.sessionPresent, true);
    assert.equal(await told, 0x8e);
    const received = messages(second, 1);
    await second.publishAsync('kept/x', 'x', { qos: 2 });
    assert.equal((await received)[0]!.qos, 2);
    await second.endAsync();
  });

  it('mosquitto_pub and mosquitto_sub exchange properties', {
    skip: lacks(MOSQUITTO_PUB, MOSQUITTO_SUB, STDBUF),
  }, async () => {
    const login = ['-V', 'mqttv5', '-h', '127.0.0.1', '-p', String(broker.ports.mqtt), '-u', 'guest', '-P', 'guest'];
    const subscriber = spawn(
      STDBUF,
      [
        '-oL',
        MOSQUITTO_SUB,
        ...login,
        ...['-d', '-t', 'm5/#', '-q', '2', '-C', '2', '-F', 'got %t %q %p %C %R %D %F %P'],
        ...['-D', 'subscribe', 'subscription-identifier', '9'],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const closed = once(subscriber, 'close');
    let output = '';
    subscriber.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    while (!output.includes('Subscribed')) await once(subscriber.stdout, 'data');
    const properties = [
      ...['content-type', 'text/plain', 'response-topic', 'answers', 'correlation-data', 'c1'],
      ...['payload-format-indicator', '1'],
    ];
    const flags: string[] = [];
    for (let i = 0; i < properties.length; i += 2) flags.push('-D', 'publish', properties[i]!, properties[i + 1]!);
    const user = ['-D', 'publish', 'user-property', 'b', '1', '-D', 'publish', 'user-property', 'a', '2'];
    for (const qos of ['1', '2']) {
      await run(MOSQUITTO_PUB, [...login, '-t', 'm5/x', '-m', `at ${qos}`, '-q', qos, ...flags, ...user]);
    }
    await closed;
    assert.deepEqual(
      output.split('\n').filter((line) => line.startsWith('got ')),
      ['1', '2'].map((qos) => `got m5/x ${qos} at ${qos} text/plain answers c1 1 b:1 a:2`),
    );
  });

  it('members of a shared subscription of mosquitto_sub share', {
    skip: lacks(MOSQUITTO_SUB, STDBUF),
  }, async () => {
    const login = ['-h', '127.0.0.1', '-p', String(broker.ports.mqtt), '-u', 'guest', '-P', 'guest'];
    const members = ['mqttv311', 'mqttv5'].map((version) => {
      const flags = ['-V', version, ...login, '-d', '-t', '$share/g/s5/+', '-q', '1', '-C', '5', '-F', 'got %p'];
      const child = spawn(STDBUF, ['-oL', MOSQUITTO_SUB, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
      const member = { child, output: '' };
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        member.output += text;
      });
      return member;
    });
    for (const member of members) {
      while (!member.output.includes('Subscribed')) await once(member.child.stdout, 'data');
    }
    const publisher = await connect('tcp');
    const closed = members.map(({ child }) => once(child, 'close'));
    for (let i = 0; i < 10; i++) await publisher.publishAsync('s5/x', `${i}`, { qos: 1 });
    await Promise.all(closed);
    const got = members.map(({ output }) => output.split('\n').filter((line) => line.startsWith('got ')));
    assert.deepEqual(got.flat().sort(), Array.from({ length: 10 }, (_, i) => `got ${i}`).sort());
    await publisher.endAsync();
  });

  it('paho exchanges properties and keeps a session', { skip: lacks(PYTHON, PAHO) }, async () => {
    const { stdout } = await run(PYTHON, ['-c', PAHO_SCRIPT, String(broker.ports.mqtt)]);
    assert.deepEqual(JSON.parse(stdout), {
      granted: ['Granted QoS 2'],
      present: [false, true],
      received: [
        [
          'p5/0',
          0,
          'zero',
          'text/plain',
          'answers',
          'c',
          [
            ['b', '1'],
            ['a', '2'],
            ['b', '1'],
          ],
          [3],
        ],
        [
          'p5/1',
          1,
          'one',
          'text/plain',
          'answers',
          'c',
          [
            ['b', '1'],
            ['a', '2'],
            ['b', '1'],
          ],
          [3],
        ],
        [
          'p5/2',
          2,
          'two',
          'text/plain',
          'answers',
          'c',
          [
            ['b', '1'],
            ['a', '2'],
            ['b', '1'],
          ],
          [3],
        ],
      ],
    });
  });
});

/** Waits for paho's events; prints the result as JSON. */
const PAHO_SCRIPT = `
import json, queue, sys
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port = int(sys.argv[1])
events = queue.Queue()
inbox = queue.Queue()

def properties(kind, **values):
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made

def connect():
    client = paho.Client(client_id='paho-5', protocol=paho.MQTTv5)
    client.username_pw_set('guest', 'guest')
    client.on_connect = lambda c, u, flags, rc, props: events.put((bool(flags['session present']), str(rc)))
    client.on_subscribe = lambda c, u, mid, granted, props: events.put([str(code) for code in granted])
    client.on_message = lambda c, u, m: inbox.put([m.topic, m.qos, m.payload.decode(), m.properties.ContentType,
        m.properties.ResponseTopic, m.properties.CorrelationData.decode(), m.properties.UserProperty,
        m.properties.SubscriptionIdentifier])
    client.connect('127.0.0.1', port, clean_start=False,
        properties=properties(PacketTypes.CONNECT, SessionExpiryInterval=100))
    client.loop_start()
    present, rc = events.get(timeout=20)
    assert rc == 'Success', rc
    return client, present

client, first = connect()
client.subscribe('p5/#', options=paho.SubscribeOptions(qos=2),
    properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=3))
granted = events.get(timeout=20)
for qos, body in enumerate(['zero', 'one', 'two']):
    client.publish('p5/%d' % qos, body, qos=qos, properties=properties(PacketTypes.PUBLISH, ContentType='text/plain',
        ResponseTopic='answers', CorrelationData=b'c', UserProperty=[('b', '1'), ('a', '2'), ('b', '1')])).wait_for_publish()
received = [inbox.get(timeout=20) for _ in range(3)]
client.disconnect()
client.loop_stop()
client, second = connect()
client.disconnect()
client.loop_stop()
print(json.dumps({'granted': granted, 'present': [first, second], 'received': received}))
`;
