// The ports of a broker: which listeners the configuration asks for, which front-end each one feeds, and the network
// context that they share. Made, started and stopped by broker.ts; the HTTP API is not among them, but is answered on the
// port for everything, too.

import type { Config } from './config/schema.ts';
import type { Logger } from './core/logger.ts';
import type { Meters } from './core/ports/meters.ts';
import type { ClientConnections } from './core/session/client-connection.ts';
import type { Faults } from './core/turn/faults.ts';
import type { Turn } from './core/turn/turn.ts';
import { AddressLimit } from './net/address-limit.ts';
import { type AnswerHttp, AutoListener } from './net/auto-listener.ts';
import { ChunkGarbage, type CollectYoung } from './net/chunk-garbage.ts';
import { Listener } from './net/listener.ts';
import type { PortListener } from './net/port-listener.ts';
import type { ListenerEvents } from './net/refusals.ts';
import { SlabPool } from './net/slab-pool.ts';
import type { TransportContext } from './net/socket-transport.ts';
import type { Ticker } from './net/ticker.ts';
import type { TlsFiles, TlsSettings } from './net/tls.ts';
import type { Accept, Transport } from './net/transport.ts';
import { WebSocketListener } from './net/websocket.ts';
import type { WebSocketPath, WebSocketRules } from './net/websocket-upgrades.ts';

export const PORT_NAMES = [
  'amqp',
  'amqps',
  'mqtt',
  'mqtts',
  'stomp',
  'stomps',
  'ws',
  'wss',
  'auto',
  'http',
  'https',
] as const;
export type PortName = (typeof PORT_NAMES)[number];
/** The port that each listener took; null where it is off. */
export type Ports = Record<PortName, number | null>;

/** Makes each protocol's handlers. */
export interface Accepts {
  readonly amqp: Accept;
  readonly mqtt: Accept;
  readonly stomp: Accept;
}

/** Subprotocols of the WebSocket paths, in the server's order of preference. */
const SUBPROTOCOLS = {
  mqtt: ['mqtt', 'mqttv3.1'],
  amqp: ['amqp'],
  stomp: ['v12.stomp', 'v11.stomp', 'v10.stomp'],
} as const;

/** Bytes of outgoing data that are gathered within a turn before they are written without waiting for its end. */
const FLUSH_BYTES = 256 * 1024;

/** Which bound a connection that took too long has reached. */
const EXPIRED = { 'slow-reader': 'limits.slowReaderTimeoutMs', 'linger-expired': 'limits.lingerMs' } as const;

export class Listeners implements ListenerEvents {
  /** Answers plain HTTP requests on the port for everything; null while the HTTP API is not there. */
  answerHttp: AnswerHttp | null;
  private readonly open: Map<PortName, PortListener>;
  private readonly connections: ClientConnections;
  private readonly meters: Meters;
  private readonly context: TransportContext;
  private readonly log: Logger;
  private readonly faults: Faults;

  constructor(
    config: Config,
    accepts: Accepts,
    turn: Turn,
    ticker: Ticker,
    connections: ClientConnections,
    meters: Meters,
    log: Logger,
    collectYoung: CollectYoung | null,
  ) {
    this.answerHttp = null;
    this.open = new Map();
    this.connections = connections;
    this.meters = meters;
    this.log = log;
    this.faults = turn.faults;
    const context: TransportContext = {
      scheduler: turn,
      pool: new SlabPool(),
      ticker,
      garbage: new ChunkGarbage(collectYoung),
      addresses: new AddressLimit(config.limits.connectionsPerAddress),
      outbox: {
        highWatermarkBytes: config.limits.outboxHighBytes,
        lowWatermarkBytes: config.limits.outboxLowBytes,
        flushBytes: FLUSH_BYTES,
      },
      transport: { lingerMs: config.limits.lingerMs, slowReaderTimeoutMs: config.limits.slowReaderTimeoutMs },
      stopping: false,
      onHandlerError: (error, transport) => this.handlerFailed(error, transport),
      onExpired: (code) => {
        meters.limitHits[EXPIRED[code]]++;
      },
    };
    this.context = context;
    const tls = tlsFiles(config);
    for (const name of ['amqp', 'mqtt', 'stomp'] as const) {
      this.add(config, name, config[name].port, null, accepts[name], context);
      this.add(config, `${name}s`, config[name].tlsPort, tls, accepts[name], context);
    }
    const rules = webSocketRules(config, accepts);
    this.addWebSocket(config, 'ws', config.ws.port, null, rules, context);
    this.addWebSocket(config, 'wss', config.ws.tlsPort, tls, rules, context);
    this.addAuto(config, tls, accepts, rules, context);
  }

  /** Starts all; resolves with their ports. Where one fails, those that were open are closed again. */
  async listen(ports: Ports): Promise<void> {
    try {
      for (const [name, listener] of this.open) ports[name] = await listener.listen();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Every TLS listener uses these certificates for new handshakes. */
  renewTls(settings: TlsSettings): void {
    for (const listener of this.open.values()) listener.renewTls(settings);
  }

  /**
   * Stops accepting and tells every client why; resolves when all are gone, at the latest after `goodbyeMs`, when what
   * is left is closed.
   */
  async stop(reason: string, goodbyeMs: number): Promise<void> {
    const stopped = Promise.all([...this.open.values()].map((listener) => listener.stopAccepting()));
    this.context.stopping = true;
    for (const connection of [...this.connections]) connection.shutdown(reason);
    await atMost(goodbyeMs, stopped);
    await this.close();
  }

  refused(listener: string, reason: string, peer: string): void {
    this.log.warn({ listener, peer, reason }, 'connection refused');
  }

  full(): void {
    this.meters.limitHits['limits.connections']++;
  }

  addressFull(): void {
    this.meters.limitHits['limits.connectionsPerAddress']++;
  }

  private async close(): Promise<void> {
    await Promise.all([...this.open.values()].map((listener) => listener.close()));
  }

  private handlerFailed(error: unknown, transport: Transport): void {
    this.faults.report('input', error, { describeWork: () => ({ work: 'connection', peer: transport.peer }) });
  }

  private add(
    config: Config,
    name: PortName,
    port: number | false,
    tls: TlsFiles | null,
    accept: Accept,
    context: TransportContext,
  ): void {
    if (port === false || (tls === null && name.endsWith('s'))) return;
    const options = { name, host: config.host, port, tls, maxConnections: config.limits.connections };
    this.open.set(name, new Listener(options, accept, context, this));
  }

  private addWebSocket(
    config: Config,
    name: 'ws' | 'wss',
    port: number | false,
    tls: TlsFiles | null,
    rules: WebSocketRules,
    context: TransportContext,
  ): void {
    if (port === false || (tls === null && name === 'wss')) return;
    const options = { ...rules, name, host: config.host, port, tls, maxConnections: config.limits.connections };
    this.open.set(name, new WebSocketListener(options, context, this));
  }

  private addAuto(
    config: Config,
    tls: TlsFiles | null,
    accepts: Accepts,
    rules: WebSocketRules,
    context: TransportContext,
  ): void {
    const { host, port, limits } = config;
    if (port === false) return;
    const options = {
      ...rules,
      name: 'auto',
      host,
      port,
      tls,
      maxConnections: limits.connections,
      firstBytesMs: limits.unauthenticatedMs,
      accepts,
      answer: () => this.answerHttp,
    };
    this.open.set('auto', new AutoListener(options, context, this));
  }
}

function webSocketRules(config: Config, accepts: Accepts): WebSocketRules {
  const stomp = { protocols: SUBPROTOCOLS.stomp, optional: true, byteStream: false, accept: accepts.stomp };
  const paths = new Map<string, WebSocketPath>([
    ['/stomp', stomp],
    ['/ws', stomp],
    ['/mqtt', { protocols: SUBPROTOCOLS.mqtt, optional: false, byteStream: true, accept: accepts.mqtt }],
    ['/amqp', { protocols: SUBPROTOCOLS.amqp, optional: true, byteStream: true, accept: accepts.amqp }],
  ]);
  const { origins, basicAuth, authCookie, compression, inflatedBytes } = config.ws;
  const credentials = { basic: basicAuth, cookie: authCookie };
  return {
    maxMessageBytes: config.limits.messageBytes,
    maxInflatedBytes: compression ? inflatedBytes : null,
    origins,
    credentials,
    paths,
  };
}

/** The TLS files, or null where no certificate is configured. */
export function tlsFiles(config: Config): TlsFiles | null {
  const { certificateFile, keyFile, caFile, requireClientCertificate } = config.tls;
  if (certificateFile === null || keyFile === null) return null;
  return { certificateFile, keyFile, caFile, requireClientCertificate };
}

/** Resolves when `work` does, at the latest after `ms`. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | null = null;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, patience]);
  if (timer !== null) clearTimeout(timer);
}
