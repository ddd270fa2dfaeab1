// Clients whose liveness is tested without a clock: each is subscribed to its own echo, which comes after everything
// that the broker sent before.

import assert from 'node:assert/strict';
import { expectMethod, methodOf, openAmqp } from '../../support/raw-amqp.ts';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { openMqtt, readMqttPublish } from '../../support/raw-mqtt.ts';
import { expectStomp, openStomp, readStompFrame } from '../../support/raw-stomp.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';

const PROTOCOLS = ['amqp', 'mqtt', 'stomp'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export type Ports = Readonly<Record<Protocol, number | null>>;

export interface ClientOptions {
  /** AMQP: the client's capabilities. */
  readonly capabilities?: readonly string[];
  /** MQTT: whether the session ends with its connection. */
  readonly clean?: boolean;
}

/** The channel of an AMQP client's echo; the tests use channel 1. */
const ECHO_CHANNEL = 9;

export class EchoClients {
  private readonly ports: Ports;
  private readonly caller: RawClient;
  private readonly peers: RawClient[];

  private constructor(ports: Ports, caller: RawClient) {
    this.ports = ports;
    this.caller = caller;
    this.peers = [caller];
  }

  static async open(ports: Ports): Promise<EchoClients> {
    return new EchoClients(ports, await openAmqp(await tcp(ports.amqp!)));
  }

  async connect(protocol: Protocol, options: ClientOptions = {}): Promise<EchoClient> {
    const id = `client-${this.peers.length}`;
    const peer = await opened[protocol](await tcp(this.ports[protocol]!), id, options);
    this.peers.push(peer);
    await subscribed[protocol](peer, id);
    return new EchoClient(protocol, peer, id, this.caller);
  }

  async close(): Promise<void> {
    for (const peer of this.peers) await peer.close();
  }
}

export class EchoClient {
  readonly protocol: Protocol;
  readonly peer: RawClient;
  private readonly id: string;
  private readonly caller: RawClient;

  constructor(protocol: Protocol, peer: RawClient, id: string, caller: RawClient) {
    this.protocol = protocol;
    this.peer = peer;
    this.id = id;
    this.caller = caller;
  }

  send(...parts: Buffer[]): boolean {
    return this.peer.send(...parts);
  }

  /** The broker sends the echo next: the connection lives, and nothing else was sent before. */
  async saysNothing(): Promise<void> {
    this.caller.send(amqp.publish(1, 'amq.topic', `echo.${this.id}`, Buffer.from('echo')));
    await echoed[this.protocol](this.peer);
  }
}

const opened = {
  amqp: (socket: Awaited<ReturnType<typeof tcp>>, _id: string, options: ClientOptions) =>
    openAmqp(socket, options.capabilities === undefined ? {} : { capabilities: options.capabilities }),
  mqtt: (socket: Awaited<ReturnType<typeof tcp>>, id: string, options: ClientOptions) =>
    openMqtt(socket, id, { clean: options.clean ?? true }),
  stomp: (socket: Awaited<ReturnType<typeof tcp>>) => openStomp(socket),
} as const;

const subscribed = {
  async amqp(peer: RawClient, id: string): Promise<void> {
    peer.send(amqp.channelOpen(ECHO_CHANNEL));
    await expectMethod(peer, amqp.METHOD.channelOpenOk);
    peer.send(amqp.declareQueue(ECHO_CHANNEL, `echo-${id}`, { exclusive: true }));
    await expectMethod(peer, amqp.METHOD.queueDeclareOk);
    peer.send(amqp.bindQueue(ECHO_CHANNEL, `echo-${id}`, 'amq.topic', `echo.${id}`));
    await expectMethod(peer, amqp.METHOD.queueBindOk);
    peer.send(amqp.consume(ECHO_CHANNEL, `echo-${id}`, 'echo', true));
    await expectMethod(peer, amqp.METHOD.basicConsumeOk);
  },
  async mqtt(peer: RawClient, id: string): Promise<void> {
    peer.send(mqtt.subscribe(0xffff, `echo/${id}`, 0));
    assert.equal((await peer.take())[0]! >> 4, mqtt.PACKET.suback);
  },
  async stomp(peer: RawClient, id: string): Promise<void> {
    peer.send(stomp.subscribe('echo', `/topic/echo.${id}`, { receipt: 'echo' }));
    await expectStomp(peer, 'RECEIPT');
  },
} as const;

const echoed = {
  async amqp(peer: RawClient): Promise<void> {
    const deliver = await peer.take();
    assert.equal(methodOf(deliver).toString(16), amqp.METHOD.basicDeliver.toString(16), deliver.toString('latin1'));
    await peer.take();
    assert.equal((await peer.take()).toString('latin1', amqp.FRAME_HEAD_BYTES, amqp.FRAME_HEAD_BYTES + 4), 'echo');
  },
  async mqtt(peer: RawClient): Promise<void> {
    assert.equal(readMqttPublish(await peer.take()).body.toString(), 'echo');
  },
  async stomp(peer: RawClient): Promise<void> {
    const frame = readStompFrame(await peer.take());
    assert.deepEqual([frame.command, frame.body.toString()], ['MESSAGE', 'echo']);
  },
} as const;
