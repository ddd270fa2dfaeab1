// An MQTT front-end on a core without sockets and without a disk: clients are byte streams in memory.

import { MqttFrontEnd } from '../../protocols/mqtt/front-end.ts';
import type { MqttLimits } from '../../protocols/mqtt/limits.ts';
import type { MqttOptions } from '../../protocols/mqtt/options.ts';
import type { QueueEntry } from '../../src/core/queue/queue-entry.ts';
import type { TransportHandler } from '../../src/net/transport.ts';
import { type Connect5, connect5 } from '../../support/wire/mqtt5.ts';
import { MemoryTransport } from '../support/memory-transport.ts';
import { type CoreOptions, ProtocolHarness } from '../support/protocol-harness.ts';
import * as bytes from './bytes.ts';

export interface HarnessOptions extends CoreOptions {
  readonly options?: Partial<MqttOptions>;
  readonly limits?: Partial<MqttLimits>;
}

export class Harness extends ProtocolHarness {
  frontEnd: MqttFrontEnd;
  private readonly makeFrontEnd: () => MqttFrontEnd;

  constructor(given: HarnessOptions = {}) {
    super(given);
    this.makeFrontEnd = () =>
      new MqttFrontEnd(this.context, this.ticker, this.store.packets, given.options, given.limits);
    this.frontEnd = this.makeFrontEnd();
  }

  /** A front-end that has seen nobody, on the same core: what a restart is for sessions. */
  restartFrontEnd(): this {
    // What sessions that are no more held on to is in its queue again.
    for (const queue of this.hosts.get('/')!.queues.values()) {
      queue.requeue([...(queue as unknown as { outstanding: Iterable<QueueEntry> }).outstanding]);
    }
    this.frontEnd = this.makeFrontEnd();
    this.frontEnd.recover(this.hosts);
    return this;
  }

  /** A client that has not said anything. */
  open(): Client {
    return new Client(this);
  }

  /** A connected client. Its CONNACK is taken off; `present` tells what it said. */
  async connect(clientId: string, fields: bytes.ConnectFields = {}, clean = true): Promise<Client> {
    const client = this.open();
    client.send(bytes.connect({ clientId, user: 'guest', password: 'guest', ...fields }, clean));
    await this.settle();
    const [connack, ...rest] = client.take();
    client.present = connack === '20020100';
    client.early = rest;
    return client;
  }

  /** As `connect`, of MQTT 5. Throws where it is refused. */
  async connect5(clientId: string, fields: Connect5 = {}): Promise<Client> {
    const client = this.open();
    client.send(connect5({ clientId, ...fields }));
    await this.settle();
    const [connack = '', ...rest] = client.take();
    client.connack = connack;
    client.early = rest;
    const said = reasonOf(client.connack);
    if (!said.startsWith('connack') || !said.endsWith(' 0')) throw new Error(`CONNECT was answered with ${said}`);
    client.present = said === 'connack 1 0';
    return client;
  }
}

/** What a CONNACK or DISCONNECT of MQTT 5 says first. */
export function reasonOf(hex: string | undefined): string {
  if (hex === undefined) return 'nothing';
  const bytes = Buffer.from(hex, 'hex');
  if (bytes[0] === 0x20) return `connack ${bytes[2]} ${bytes[3]!.toString(16)}`;
  return bytes[0] === 0xe0 ? `disconnect ${(bytes[2] ?? 0).toString(16)}` : hex;
}

/** One end of a connection: what the broker sends is kept as packets in hex. */
export class Client {
  readonly transport: MemoryTransport;
  readonly handler: TransportHandler;
  present: boolean;
  /** The CONNACK of MQTT 5, in hex. */
  connack: string;
  /** Packets that came right behind it. */
  early: string[];

  constructor(harness: Harness) {
    this.transport = new MemoryTransport(harness);
    this.handler = harness.frontEnd.accept(this.transport);
    this.transport.handler = this.handler;
    this.present = false;
    this.connack = '';
    this.early = [];
  }

  get closed(): boolean {
    return this.transport.ended;
  }

  send(...packets: Buffer[]): void {
    this.transport.receive(Buffer.concat(packets));
  }

  /** The client's side goes away without a word. */
  drop(): void {
    this.transport.destroy();
  }

  /** The packets that came since the last call, in hex. */
  take(): string[] {
    const stream = Buffer.concat(this.transport.written.splice(0).map(({ bytes }) => bytes));
    const packets = this.early.splice(0);
    let at = 0;
    while (at < stream.length) {
      let length = 0;
      let shift = 0;
      let body = at + 1;
      do length |= (stream[body]! & 127) << (7 * shift++);
      while (stream[body++]! > 127);
      packets.push(stream.toString('hex', at, body + length));
      at = body + length;
    }
    return packets;
  }
}
