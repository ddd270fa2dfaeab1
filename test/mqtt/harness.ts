// An MQTT front-end on a core without sockets or disk; clients are byte streams in memory.

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

  /** A new front-end on the same core, which is a restart for MQTT sessions. */
  restartFrontEnd(): this {
    // Unacknowledged messages of the old sessions return to their queues.
    for (const queue of this.hosts.get('/')!.queues.values()) {
      queue.requeue([...(queue as unknown as { outstanding: Iterable<QueueEntry> }).outstanding]);
    }
    this.frontEnd = this.makeFrontEnd();
    this.frontEnd.recover(this.hosts);
    return this;
  }

  /** A client that has sent nothing yet. */
  open(): Client {
    return new Client(this);
  }

  /** A connected client, whose CONNACK was read; `present` is its session present flag. */
  async connect(clientId: string, fields: bytes.ConnectFields = {}, clean = true): Promise<Client> {
    const client = this.open();
    client.send(bytes.connect({ clientId, user: 'guest', password: 'guest', ...fields }, clean));
    await this.settle();
    const [connack, ...rest] = client.take();
    client.present = connack === '20020100';
    client.early = rest;
    return client;
  }

  /** As `connect`, for MQTT 5. Throws if CONNECT is refused. */
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

/** The reason code of an MQTT 5 CONNACK or DISCONNECT. */
export function reasonOf(hex: string | undefined): string {
  if (hex === undefined) return 'nothing';
  const bytes = Buffer.from(hex, 'hex');
  if (bytes[0] === 0x20) return `connack ${bytes[2]} ${bytes[3]!.toString(16)}`;
  return bytes[0] === 0xe0 ? `disconnect ${(bytes[2] ?? 0).toString(16)}` : hex;
}

/** The client's end of a connection; it records the broker's packets in hex. */
export class Client {
  readonly transport: MemoryTransport;
  readonly handler: TransportHandler;
  present: boolean;
  /** The MQTT 5 CONNACK in hex. */
  connack: string;
  /** Packets that came with it. */
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

  /** Breaks the connection without DISCONNECT. */
  drop(): void {
    this.transport.destroy();
  }

  /** The packets received since the last call, in hex. */
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
