// Clients that behave normally while others misbehave: each sends itself numbered messages through the broker, one
// after another, and fails if one is missing, duplicated or out of order. They use the common client libraries.

import { Client } from '@stomp/stompjs';
import amqplib from 'amqplib';
import mqtt from 'mqtt';

export interface CanaryPorts {
  readonly amqp: number;
  readonly mqtt: number;
  readonly ws: number;
}

export class Canary {
  readonly name: string;
  exchanged: number;
  private readonly send: (text: string) => Promise<void>;
  private readonly quit: () => Promise<void>;
  private failure: Error | null;
  private arrived: (() => void) | null;

  constructor(name: string, send: (text: string) => Promise<void>, quit: () => Promise<void>) {
    this.name = name;
    this.exchanged = 0;
    this.send = send;
    this.quit = quit;
    this.failure = null;
    this.arrived = null;
  }

  /** Sends the next message; resolves when it is confirmed and received. */
  async exchange(): Promise<void> {
    const arrival = new Promise<void>((resolve) => {
      this.arrived = resolve;
    });
    await Promise.all([this.send(String(this.exchanged + 1)), arrival]);
    if (this.failure !== null) throw this.failure;
  }

  /** Called with each message of the subscription. */
  received(text: string): void {
    if (Number(text) !== this.exchanged + 1) {
      this.fail(new Error(`the ${this.name} canary got ${text} in place of ${this.exchanged + 1}`));
    }
    this.exchanged++;
    this.arrived?.();
  }

  fail(error: Error): void {
    this.failure ??= error;
    this.arrived?.();
  }

  async end(): Promise<void> {
    await this.quit();
    if (this.failure !== null) throw this.failure;
  }
}

export function startCanaries(ports: CanaryPorts): Promise<Canary[]> {
  return Promise.all([amqpCanary(ports.amqp), mqttCanary(ports.mqtt), stompCanary(ports.ws)]);
}

async function amqpCanary(port: number): Promise<Canary> {
  const connection = await amqplib.connect(`amqp://guest:guest@127.0.0.1:${port}`);
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('canary.amqp', { exclusive: true });
  const canary = new Canary(
    'amqp',
    async (text) => {
      channel.sendToQueue(queue, Buffer.from(text));
      await channel.waitForConfirms();
    },
    () => connection.close(),
  );
  connection.on('error', (error: Error) => canary.fail(error));
  channel.on('error', (error: Error) => canary.fail(error));
  await channel.consume(queue, (message) => {
    if (message === null) return canary.fail(new Error('the amqp canary was cancelled'));
    canary.received(message.content.toString());
    channel.ack(message);
  });
  return canary;
}

async function mqttCanary(port: number): Promise<Canary> {
  const client = await mqtt.connectAsync({
    host: '127.0.0.1',
    port,
    username: 'guest',
    password: 'guest',
    clientId: 'canary-mqtt',
    protocolVersion: 4,
    reconnectPeriod: 0,
  });
  const canary = new Canary(
    'mqtt',
    async (text) => {
      await client.publishAsync('canary/mqtt', text, { qos: 1 });
    },
    async () => {
      leaving = true;
      await client.endAsync();
    },
  );
  let leaving = false;
  client.on('error', (error: Error) => canary.fail(error));
  client.on('close', () => {
    if (!leaving) canary.fail(new Error('the mqtt canary was disconnected'));
  });
  client.on('message', (_topic: string, payload: Buffer) => canary.received(payload.toString()));
  await client.subscribeAsync('canary/mqtt', { qos: 1 });
  return canary;
}

async function stompCanary(port: number): Promise<Canary> {
  const client = new Client({
    brokerURL: `ws://127.0.0.1:${port}/stomp`,
    connectHeaders: { login: 'guest', passcode: 'guest', host: '/' },
    reconnectDelay: 0,
    heartbeatIncoming: 0,
    heartbeatOutgoing: 0,
  });
  let receipts = 0;
  const receipt = (start: (id: string) => void): Promise<void> =>
    new Promise((resolve) => {
      const id = `canary-${++receipts}`;
      client.watchForReceipt(id, () => resolve());
      start(id);
    });
  let leaving = false;
  const canary = new Canary(
    'stomp',
    (text) =>
      receipt((id) => client.publish({ destination: '/topic/canary.stomp', body: text, headers: { receipt: id } })),
    async () => {
      leaving = true;
      await client.deactivate();
    },
  );
  client.onStompError = (frame) => canary.fail(new Error(`the stomp canary got ERROR ${frame.headers.message}`));
  client.onWebSocketClose = () => {
    if (!leaving) canary.fail(new Error('the stomp canary was disconnected'));
  };
  await new Promise<void>((resolve) => {
    client.onConnect = () => resolve();
    client.activate();
  });
  await receipt((id) => {
    client.subscribe('/topic/canary.stomp', (message) => canary.received(message.body), { receipt: id });
  });
  return canary;
}
