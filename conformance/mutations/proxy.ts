// A broker that breaks one rule: a proxy on its own port in front of a real broker. It splits both byte streams of each
// connection into packets, passes them to the mutation, and forwards the result. Without a mutation it changes nothing.

import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Endpoint } from '../check.ts';
import type { Hooks, Link, Mutation, Packet, PacketFormat, Splitter } from './mutation.ts';
import { TCP, type Transport } from './transport.ts';

/** The proxy's interface for running checks through it. */
export interface BreakingProxy {
  /** The broker's endpoint with the proxy's address. */
  readonly endpoint: Endpoint;
  /** Whether the mutation has changed anything: otherwise a failed check has another cause. */
  readonly acted: boolean;
  /** Resolves when the mutation has changed something. */
  readonly acting: Promise<void>;
  /** Stops the mutation, so that the ended check can clean up. */
  relent(): void;
  stop(): Promise<void>;
}

/** Listens on loopback; forwards everything unchanged if `mutation` is null. */
export async function startProxy<P extends Packet>(
  format: PacketFormat<P>,
  mutation: Mutation<P> | null,
  endpoint: Endpoint,
  transport: Transport = TCP,
): Promise<BreakingProxy> {
  const proxy = new MutatingProxy(format, mutation, endpoint, transport);
  await proxy.listen();
  return proxy;
}

class MutatingProxy<P extends Packet> implements BreakingProxy {
  endpoint: Endpoint;
  acted: boolean;
  readonly acting: Promise<void>;
  private readonly touched: () => void;
  private readonly format: PacketFormat<P>;
  private readonly target: Endpoint;
  private readonly transport: Transport;
  private readonly server: Server;
  private readonly sockets: Set<Socket>;
  private readonly hooks: ((link: Link<P>) => Hooks<P>) | null;
  private relents: boolean;

  constructor(format: PacketFormat<P>, mutation: Mutation<P> | null, target: Endpoint, transport: Transport) {
    this.endpoint = target;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.acted = false;
    this.acting = promise;
    this.touched = () => {
      this.acted = true;
      resolve();
    };
    this.format = format;
    this.target = target;
    this.transport = transport;
    this.server = transport.createServer((socket) => this.accept(socket));
    this.sockets = new Set();
    this.hooks = mutation === null ? null : mutation.begin(target);
    this.relents = false;
  }

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    const { address, port } = this.server.address() as AddressInfo;
    this.endpoint = { ...this.target, host: address, port };
  }

  relent(): void {
    this.relents = true;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private accept(client: Socket): void {
    const broker = this.transport.connect(this.target, client);
    const link = new ProxiedLink<P>(client, broker, this.touched);
    const hooks = this.hooks === null || this.relents ? {} : this.hooks(link);
    const active = (): Hooks<P> => (this.relents ? {} : hooks);
    this.tie(client, broker);
    this.tie(broker, client);
    const fromClient = this.format.client();
    client.on('data', (data: Buffer) => {
      let chunk: Buffer | null = data;
      const { clientChunk } = active();
      if (clientChunk !== undefined) chunk = clientChunk(data);
      if (chunk !== data) this.touched();
      if (chunk !== null) this.pass(fromClient, chunk, active().fromClient, (packets) => link.forward(packets));
      link.flush();
    });
    const fromBroker = this.format.broker();
    broker.on('data', (chunk: Buffer) => {
      this.pass(fromBroker, chunk, active().fromBroker, (packets) => link.backward(packets));
      link.flush();
    });
  }

  private pass(
    splitter: Splitter<P>,
    chunk: Buffer,
    hook: ((packet: P) => readonly P[]) | undefined,
    send: (packets: readonly P[]) => void,
  ): void {
    for (const packet of splitter.split(chunk)) {
      const packets = hook === undefined ? [packet] : hook(packet);
      if (packets.length !== 1 || packets[0] !== packet) this.touched();
      send(packets);
    }
  }

  /** When one side ends, ends the other after its pending bytes. */
  private tie(socket: Socket, other: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('end', () => other.end());
    socket.on('close', () => {
      this.sockets.delete(socket);
      other.end();
    });
  }
}

class ProxiedLink<P extends Packet> implements Link<P> {
  private readonly client: Socket;
  private readonly broker: Socket;
  private readonly touched: () => void;
  private readonly toClientNow: Buffer[];
  private readonly toBrokerNow: Buffer[];
  private ends: boolean;

  constructor(client: Socket, broker: Socket, touched: () => void) {
    this.client = client;
    this.broker = broker;
    this.touched = touched;
    this.toClientNow = [];
    this.toBrokerNow = [];
    this.ends = false;
  }

  toClient(...packets: readonly P[]): void {
    this.touched();
    this.backward(packets);
  }

  toBroker(...packets: readonly P[]): void {
    this.touched();
    this.forward(packets);
  }

  end(): void {
    this.touched();
    this.ends = true;
  }

  forward(packets: readonly P[]): void {
    for (const { bytes } of packets) this.toBrokerNow.push(bytes);
  }

  backward(packets: readonly P[]): void {
    if (this.ends) return;
    for (const { bytes } of packets) this.toClientNow.push(bytes);
  }

  flush(): void {
    write(this.client, this.toClientNow);
    write(this.broker, this.toBrokerNow);
    if (!this.ends) return;
    this.client.end();
    this.broker.end();
  }
}

function write(socket: Socket, buffers: Buffer[]): void {
  if (buffers.length > 0 && socket.writable) socket.write(Buffer.concat(buffers));
  buffers.length = 0;
}
