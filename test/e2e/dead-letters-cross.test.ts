// Dead letters across protocols: a dead letter keeps its properties and its x-death history for consumers of each
// protocol, whichever protocol published and rejected the message.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as dial, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import amqplib, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib';
import mqtt from 'mqtt';
import { type Broker, createBroker } from '../../src/broker.ts';
import * as stomp from '../../support/wire/stomp.ts';

interface Death {
  readonly queue: string;
  readonly reason: string;
  readonly exchange: string;
  readonly 'routing-keys': readonly string[];
}

let broker: Broker;
let connection: ChannelModel;
let channel: Channel;
let names = 0;

before(async () => {
  broker = await createBroker();
  connection = await amqplib.connect(`amqp://guest:guest@127.0.0.1:${broker.ports.amqp}`);
  channel = await connection.createChannel();
});

after(async () => {
  await connection.close();
  await broker.stop();
});

/** A queue, and its next dead letter. */
async function mortal(
  options: amqplib.Options.AssertQueue = {},
): Promise<{ queue: string; died: Promise<ConsumeMessage> }> {
  const [queue, dead] = [`mortal-${++names}`, `dead-${names}`];
  await channel.assertQueue(dead);
  await channel.assertQueue(queue, { deadLetterExchange: '', deadLetterRoutingKey: dead, ...options });
  const died = new Promise<ConsumeMessage>((resolve) => {
    void channel.consume(dead, (message) => resolve(message!), { noAck: true });
  });
  return { queue, died };
}

function deathOf(message: ConsumeMessage): Death {
  return (message.properties.headers!['x-death'] as Death[])[0]!;
}

/** A STOMP client that has logged in. */
async function stompClient(): Promise<{ socket: Socket; next: (command: string) => Promise<string> }> {
  const socket = dial(broker.ports.stomp!, '127.0.0.1');
  await once(socket, 'connect');
  let text = '';
  const next = async (command: string): Promise<string> => {
    for (;;) {
      const end = text.indexOf('\0');
      if (end >= 0) {
        const frame = text.slice(0, end).trimStart();
        text = text.slice(end + 1);
        assert.ok(frame.startsWith(`${command}\n`), frame);
        return frame;
      }
      text += String((await once(socket, 'data'))[0]);
    }
  };
  socket.write(stomp.connect('guest', 'guest'));
  await next('CONNECTED');
  return { socket, next };
}

const header = (frame: string, name: string): string | undefined =>
  frame
    .split('\n')
    .find((line) => line.startsWith(`${name}:`))
    ?.slice(name.length + 1);

describe('a dead letter', () => {
  test('is made by a NACK without requeue', async () => {
    const { queue, died } = await mortal();
    const { socket, next } = await stompClient();
    socket.write(stomp.subscribe('0', `/amq/queue/${queue}`, { ack: 'client-individual' }));
    channel.sendToQueue(queue, Buffer.from('unwanted'), { messageId: 'm', headers: { tenant: 'a' } });
    const id = header(await next('MESSAGE'), 'ack')!;
    socket.write(stomp.frame('NACK', { id, requeue: 'false' }));
    const message = await died;
    socket.destroy();
    assert.equal(message.content.toString(), 'unwanted');
    assert.equal(message.properties.messageId, 'm');
    assert.equal(message.properties.headers!.tenant, 'a');
    assert.deepEqual([deathOf(message).queue, deathOf(message).reason], [queue, 'rejected']);
  });

  test('of an MQTT publish is as persistent as the publish, and has its routing key in x-death', async () => {
    const { queue, died } = await mortal({ messageTtl: 5 });
    await channel.bindQueue(queue, 'amq.topic', 'sensors.oven');
    const device = await mqtt.connectAsync(`mqtt://guest:guest@127.0.0.1:${broker.ports.mqtt}`);
    await device.publishAsync('sensors/oven', '21.5', { qos: 1 });
    const message = await died;
    await device.endAsync();
    assert.equal(message.content.toString(), '21.5');
    assert.equal(message.properties.deliveryMode, 2);
    const { exchange, reason, 'routing-keys': keys } = deathOf(message);
    assert.deepEqual([exchange, reason, keys], ['amq.topic', 'expired', ['sensors.oven']]);
  });

  test('of a STOMP message keeps values too long for AMQP, and is delivered over STOMP', async () => {
    const { queue, died } = await mortal({ maxLength: 1 });
    const { socket, next } = await stompClient();
    const long = 'c'.repeat(300);
    socket.write(stomp.send(`/amq/queue/${queue}`, Buffer.from('first'), { 'correlation-id': long, kind: 'k' }));
    socket.write(stomp.send(`/amq/queue/${queue}`, Buffer.from('second')));
    const message = await died;
    assert.equal(message.content.toString(), 'first');
    assert.equal(message.properties.headers!['x-correlation-id'], long);
    assert.equal(message.properties.headers!.kind, 'k');
    assert.equal(deathOf(message).reason, 'maxlen');

    await channel.assertQueue('stomp-dead');
    await channel.assertQueue('to-stomp', { deadLetterExchange: '', deadLetterRoutingKey: 'stomp-dead' });
    socket.write(stomp.subscribe('1', '/amq/queue/stomp-dead'));
    channel.sendToQueue('to-stomp', Buffer.from('third'), { type: 't' });
    const got = await taken('to-stomp');
    channel.nack(got, false, false);
    const frame = await next('MESSAGE');
    assert.ok(frame.endsWith('third'));
    assert.equal(header(frame, 'type'), 't');
    assert.equal(header(frame, 'x-first-death-reason'), 'rejected');
    socket.destroy();
  });

  test('of a transaction is visible after its commit, and not before', async () => {
    const { queue, died } = await mortal();
    let settled = false;
    void died.then(() => {
      settled = true;
    });
    channel.sendToQueue(queue, Buffer.from('m'), { persistent: true });
    await channel.checkQueue(queue);
    const { socket, next } = await stompClient();
    socket.write(stomp.subscribe('0', `/amq/queue/${queue}`, { ack: 'client-individual' }));
    const id = header(await next('MESSAGE'), 'ack')!;
    socket.write(stomp.frame('BEGIN', { transaction: 't' }));
    socket.write(stomp.frame('NACK', { id, requeue: 'false', transaction: 't', receipt: 'nacked' }));
    await next('RECEIPT');
    await channel.checkQueue(queue);
    assert.ok(!settled);
    socket.write(stomp.frame('COMMIT', { transaction: 't' }));
    assert.equal(deathOf(await died).reason, 'rejected');
    socket.destroy();
  });
});

/** The next message of a queue; waits for it. */
async function taken(queue: string): Promise<amqplib.GetMessage> {
  for (;;) {
    const message = await channel.get(queue);
    if (message !== false) return message;
  }
}
