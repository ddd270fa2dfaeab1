// Protects request and reply across protocols: a service answers to the reply-to of its own protocol as usual,
// whichever protocol the requester speaks.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { Client } from '@stomp/stompjs';
import amqplib, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib';
import mqtt, { type MqttClient } from 'mqtt';
import { type Broker, createBroker } from '../../src/broker.ts';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { expectStomp, headerOf, openStomp } from '../../support/raw-stomp.ts';
import * as stomp from '../../support/wire/stomp.ts';

let broker: Broker;
let connection: ChannelModel;
let channel: Channel;

before(async () => {
  broker = await createBroker();
  connection = await amqplib.connect(`amqp://127.0.0.1:${broker.ports.amqp}`);
  channel = await connection.createChannel();
});

after(async () => {
  await connection.close();
  await broker.stop();
});

/** A usual AMQP RPC server: answers through the default exchange, with the request's correlation id. */
async function serveAmqp(queue: string): Promise<void> {
  await channel.assertQueue(queue);
  await channel.consume(queue, (request) => {
    const { replyTo, correlationId } = request!.properties;
    channel.sendToQueue(replyTo as string, Buffer.from(request!.content.toString().toUpperCase()), {
      correlationId: correlationId as string,
      contentType: 'text/plain',
    });
    channel.ack(request!);
  });
}

/** A STOMP service: answers to the destination in reply-to. */
async function serveStomp(queue: string): Promise<RawClient> {
  const service = await openStomp(await tcp(broker.ports.stomp!));
  service.send(stomp.subscribe('requests', `/queue/${queue}`, { receipt: 'serving' }));
  await expectStomp(service, 'RECEIPT');
  return service;
}

async function answerOne(service: RawClient): Promise<void> {
  const request = await expectStomp(service, 'MESSAGE');
  const answer = Buffer.from(request.body.toString().toUpperCase());
  const correlation = headerOf(request, 'correlation-id')!;
  service.send(stomp.send(headerOf(request, 'reply-to')!, answer, { 'correlation-id': correlation, kind: 'answer' }));
}

test('a STOMP requester with a temporary queue is answered by an AMQP service', async () => {
  await serveAmqp('upper');
  const requester = await openStomp(await tcp(broker.ports.stomp!));
  for (const [id, text] of ['größe', 'second'].entries()) {
    const headers = { 'reply-to': '/temp-queue/answers', 'correlation-id': `c\\c${id}` };
    requester.send(stomp.send('/queue/upper', Buffer.from(text), headers));
    const reply = await expectStomp(requester, 'MESSAGE');
    assert.equal(reply.body.toString(), text.toUpperCase());
    assert.equal(headerOf(reply, 'subscription'), '/temp-queue/answers');
    assert.equal(headerOf(reply, 'correlation-id'), `c\\c${id}`);
    assert.equal(headerOf(reply, 'content-type'), 'text/plain');
  }
  await requester.close();
});

test('a browser library over WebSocket is answered by an AMQP service', async () => {
  await serveAmqp('upper-ws');
  const client = new Client({
    brokerURL: `ws://127.0.0.1:${broker.ports.ws}/stomp`,
    connectHeaders: { login: 'guest', passcode: 'guest' },
    reconnectDelay: 0,
  });
  const reply = await new Promise<string>((resolve, reject) => {
    client.onStompError = (frame) => reject(new Error(frame.body));
    // Replies come on a subscription that the broker created, so the library has no callback for them.
    client.onUnhandledMessage = (message) => resolve(`${message.headers['correlation-id']} ${message.body}`);
    client.onConnect = () => {
      const headers = { 'reply-to': '/temp-queue/answers', 'correlation-id': '7' };
      client.publish({ destination: '/queue/upper-ws', body: 'hello', headers });
    };
    client.activate();
  });
  assert.equal(reply, '7 HELLO');
  await client.deactivate();
});

test('an AMQP requester with an exclusive queue is answered by a STOMP service', async () => {
  const service = await serveStomp('lower');
  const { queue: answers } = await channel.assertQueue('', { exclusive: true });
  const replies = new Promise<ConsumeMessage>((resolve) => {
    channel.consume(answers, (message) => resolve(message!), { noAck: true });
  });
  channel.sendToQueue('lower', Buffer.from('größe'), { replyTo: answers, correlationId: 'c:1' });
  await answerOne(service);
  const reply = await replies;
  assert.equal(reply.content.toString(), 'GRÖSSE');
  assert.equal(reply.properties.correlationId, 'c:1');
  assert.equal(reply.properties.headers?.kind, 'answer');
  await service.close();
});

test('an AMQP requester without a queue (direct reply-to) is answered by a STOMP service', async () => {
  const service = await serveStomp('direct');
  const requesting = await connection.createChannel();
  const replies = new Promise<ConsumeMessage>((resolve) => {
    requesting
      .consume('amq.rabbitmq.reply-to', (message) => resolve(message!), { noAck: true })
      .then(() => {
        requesting.sendToQueue('direct', Buffer.from('hello'), {
          replyTo: 'amq.rabbitmq.reply-to',
          correlationId: '1',
        });
      });
  });
  await answerOne(service);
  const reply = await replies;
  assert.deepEqual([reply.content.toString(), reply.properties.correlationId], ['HELLO', '1']);
  await requesting.close();
  await service.close();
});

test('a STOMP requester is answered by a STOMP service', async () => {
  const service = await serveStomp('both');
  const requester = await openStomp(await tcp(broker.ports.stomp!));
  const headers = { 'reply-to': '/temp-queue/answers', 'correlation-id': '1' };
  requester.send(stomp.send('/queue/both', Buffer.from('hello'), headers));
  await answerOne(service);
  const reply = await expectStomp(requester, 'MESSAGE');
  assert.deepEqual([reply.body.toString(), headerOf(reply, 'kind')], ['HELLO', 'answer']);
  await requester.close();
  await service.close();
});

test('a reply to a disconnected requester is dropped, and the service continues', async () => {
  const service = await serveStomp('gone');
  const requester = await openStomp(await tcp(broker.ports.stomp!));
  requester.send(
    stomp.send('/queue/gone', Buffer.from('1'), { 'reply-to': '/temp-queue/answers', 'correlation-id': '1' }),
  );
  const request = await expectStomp(service, 'MESSAGE');
  const goodbye = once(requester.socket, 'close');
  requester.send(stomp.frame('DISCONNECT', { receipt: 'bye' }));
  await goodbye;
  service.send(stomp.send(headerOf(request, 'reply-to')!, Buffer.from('late'), { receipt: 'sent' }));
  assert.equal(headerOf(await expectStomp(service, 'RECEIPT'), 'receipt-id'), 'sent');
  await service.close();
});

/** An MQTT 5 client and the messages that it received. */
async function connectMqtt(): Promise<{ client: MqttClient; next(): Promise<{ body: string; correlation: Buffer }> }> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.ports.mqtt}`, {
    protocolVersion: 5,
    username: 'guest',
    password: 'guest',
    reconnectPeriod: 0,
  });
  return {
    client,
    next: () =>
      new Promise((resolve) => {
        client.once('message', (_topic, payload, packet) => {
          const correlation = packet.properties?.correlationData ?? Buffer.alloc(0);
          resolve({ body: payload.toString(), correlation });
        });
      }),
  };
}

/** An MQTT 5 service: answers to the response topic, with the request's correlation data. */
async function serveMqtt(topic: string): Promise<MqttClient> {
  const { client } = await connectMqtt();
  await client.subscribeAsync(topic, { qos: 1 });
  client.on('message', (_topic, payload, packet) => {
    const { responseTopic, correlationData } = packet.properties ?? {};
    client.publish(responseTopic!, payload.toString().toUpperCase(), {
      qos: 1,
      properties: { correlationData: correlationData!, userProperties: { kind: 'answer' } },
    });
  });
  return client;
}

const CORRELATION = Buffer.from([0, 255, 1, 254]);

async function askOverMqtt(request: string, responses: string): Promise<void> {
  const { client, next } = await connectMqtt();
  await client.subscribeAsync(responses, { qos: 1 });
  const reply = next();
  await client.publishAsync(request, 'größe', {
    qos: 1,
    properties: { responseTopic: responses, correlationData: CORRELATION },
  });
  assert.deepEqual(await reply, { body: 'GRÖSSE', correlation: CORRELATION });
  await client.endAsync();
}

test('an MQTT 5 requester is answered by an AMQP service, with its correlation data as it was', async () => {
  await serveAmqp('upper-mqtt');
  await channel.bindQueue('upper-mqtt', 'amq.topic', 'ask.amqp');
  await askOverMqtt('ask/amqp', 'responses/1.5/a b');
});

test('an MQTT 5 requester is answered by a STOMP service', async () => {
  const service = await openStomp(await tcp(broker.ports.stomp!));
  service.send(stomp.subscribe('requests', '/topic/ask.stomp', { receipt: 'serving' }));
  await expectStomp(service, 'RECEIPT');
  const answering = answerOne(service);
  await askOverMqtt('ask/stomp', 'responses/2');
  await answering;
  await service.close();
});

test('an MQTT 5 requester is answered by an MQTT 5 service', async () => {
  const service = await serveMqtt('ask/mqtt');
  await askOverMqtt('ask/mqtt', 'responses/3');
  await service.endAsync();
});

test('an AMQP requester is answered by an MQTT 5 service, at a queue and at a direct reply-to', async () => {
  const service = await serveMqtt('ask/from-amqp');
  const requesting = await connection.createChannel();
  const { queue: own } = await requesting.assertQueue('answers/1+#%', { exclusive: true });
  for (const queue of [own, 'amq.rabbitmq.reply-to']) {
    const replies = new Promise<ConsumeMessage>((resolve) => {
      requesting
        .consume(queue, (message) => resolve(message!), { noAck: true })
        .then(() => {
          requesting.publish('amq.topic', 'ask.from-amqp', Buffer.from('größe'), {
            replyTo: queue,
            correlationId: 'c:1',
            persistent: true,
          });
        });
    });
    const reply = await replies;
    assert.equal(reply.content.toString(), 'GRÖSSE');
    assert.equal(reply.properties.correlationId, 'c:1');
    assert.equal(reply.properties.headers?.kind, 'answer');
  }
  await requesting.close();
  await service.endAsync();
});

test('a STOMP requester is answered by an MQTT 5 service', async () => {
  const service = await serveMqtt('ask/from-stomp');
  const requester = await openStomp(await tcp(broker.ports.stomp!));
  const headers = { 'reply-to': '/temp-queue/answers', 'correlation-id': 'c1', persistent: 'true' };
  requester.send(stomp.send('/topic/ask.from-stomp', Buffer.from('hello'), headers));
  const reply = await expectStomp(requester, 'MESSAGE');
  assert.deepEqual([reply.body.toString(), headerOf(reply, 'correlation-id')], ['HELLO', 'c1']);
  assert.equal(headerOf(reply, 'kind'), 'answer');
  await requester.close();
  await service.endAsync();
});
