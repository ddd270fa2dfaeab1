// Mutations of MQTT over WebSocket. Their proxy terminates the WebSocket on both sides and forwards whole messages.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { Endpoint } from '../../check.ts';
import type { Mutation } from '../../mutations/mutation.ts';
import type { BreakingProxy } from '../../mutations/proxy.ts';
import { encodeReason } from '../wire/packets.ts';
import type { MqttPacket } from './packets.ts';

interface Message {
  readonly data: Buffer;
  readonly binary: boolean;
}

interface WebSocketMutation extends Pick<Mutation<MqttPacket>, 'id' | 'breaks' | 'withholds'> {
  /** The subprotocol to select from those that the client offers; false selects none. */
  readonly select?: (offered: ReadonlySet<string>) => string | false;
  readonly fromClient?: (message: Message) => readonly Message[];
  readonly fromBroker?: (message: Message) => readonly Message[];
  /** Sent to the broker when the client's WebSocket breaks. */
  readonly goodbye?: Buffer;
}

export const WEBSOCKET_MUTATIONS: readonly WebSocketMutation[] = [
  {
    id: 'websocket.no-subprotocol',
    breaks: 'selects the first subprotocol that is offered, or none',
    withholds: false,
    select: (offered) => [...offered].find((each) => each !== 'mqtt') ?? false,
  },
  {
    id: 'websocket.text-sent',
    breaks: 'sends packets in messages of text',
    withholds: true,
    fromBroker: ({ data }) => [{ data: Buffer.from(data.toString('latin1')), binary: false }],
  },
  {
    id: 'websocket.text-taken',
    breaks: 'takes packets from messages of text',
    withholds: false,
    fromClient: ({ data }) => [{ data, binary: true }],
  },
  {
    id: 'websocket.aligned',
    breaks: 'takes each message for one packet',
    withholds: true,
    fromClient({ data, binary }) {
      const size = data.length < 2 ? 2 : data[1]! + 2;
      if (size === data.length) return [{ data, binary }];
      return size > data.length ? [] : [{ data: data.subarray(0, size), binary }];
    },
  },
  {
    id: 'websocket.goodbye',
    breaks: 'takes a WebSocket that breaks for a DISCONNECT',
    withholds: true,
    goodbye: encodeReason('DISCONNECT'),
  },
];

/** Starts a proxy in front of the broker's WebSocket that applies this mutation. The plain TCP address is unchanged. */
export async function startWebSocketProxy(id: string | null, endpoint: Endpoint): Promise<BreakingProxy> {
  const mutation = WEBSOCKET_MUTATIONS.find((each) => each.id === id) ?? null;
  const proxy = new WebSocketProxy(mutation, endpoint);
  await proxy.listen();
  return proxy;
}

class WebSocketProxy implements BreakingProxy {
  endpoint: Endpoint;
  acted: boolean;
  readonly acting: Promise<void>;
  private readonly touched: () => void;
  private readonly target: Endpoint;
  private readonly mutation: WebSocketMutation | null;
  private readonly server: WebSocketServer;
  private readonly sockets: Set<WebSocket>;

  constructor(mutation: WebSocketMutation | null, target: Endpoint) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.endpoint = target;
    this.acted = false;
    this.acting = promise;
    this.touched = () => {
      this.acted = true;
      resolve();
    };
    this.target = target;
    this.mutation = mutation;
    this.sockets = new Set();
    this.server = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      handleProtocols: (offered) => {
        const selected = mutation?.select?.(offered) ?? 'mqtt';
        if (selected !== 'mqtt') this.touched();
        return selected;
      },
    });
    this.server.on('connection', (client) => this.accept(client));
  }

  async listen(): Promise<void> {
    await once(this.server, 'listening');
    const { address, port } = this.server.address() as AddressInfo;
    this.endpoint = { ...this.target, webSocket: { ...this.target.webSocket!, host: address, port } };
  }

  relent(): void {}

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.terminate();
    await new Promise((stopped) => this.server.close(stopped));
  }

  private accept(client: WebSocket): void {
    const { host, port, path } = this.target.webSocket!;
    const broker = new WebSocket(`ws://${host}:${port}${path}`, ['mqtt']);
    const early: Message[] = [];
    for (const socket of [client, broker]) {
      this.sockets.add(socket);
      socket.on('error', () => {});
    }
    const toBroker = (messages: readonly Message[]): void => {
      if (broker.readyState === WebSocket.CONNECTING) early.push(...messages);
      else for (const { data, binary } of messages) broker.send(data, { binary }, () => {});
    };
    client.on('message', (data, binary) => {
      toBroker(this.through({ data: data as Buffer, binary }, this.mutation?.fromClient));
    });
    broker.on('open', () => toBroker(early.splice(0)));
    broker.on('message', (data, binary) => {
      for (const message of this.through({ data: data as Buffer, binary }, this.mutation?.fromBroker)) {
        client.send(message.data, { binary: message.binary }, () => {});
      }
    });
    broker.on('close', () => client.terminate());
    client.on('close', () => {
      const { goodbye } = this.mutation ?? {};
      if (goodbye === undefined) return broker.terminate();
      this.touched();
      broker.send(goodbye, () => broker.close());
    });
  }

  private through(message: Message, hook: ((message: Message) => readonly Message[]) | undefined): readonly Message[] {
    if (hook === undefined) return [message];
    const messages = hook(message);
    const [only] = messages;
    if (messages.length !== 1 || only!.data !== message.data || only!.binary !== message.binary) this.touched();
    return messages;
  }
}
