// Wires the parts into a broker, starts and stops them. This is also the embedding API: `createBroker` starts a broker
// inside a program or a test, on free ports, and `stop` leaves no handle open.

import { amqpRewriter } from '../protocols/amqp/foreign-properties.ts';
import { amqpFrontEnd } from '../protocols/amqp/front-end.ts';
import { amqpProperties } from '../protocols/amqp/properties.ts';
import { MqttFrontEnd } from '../protocols/mqtt/front-end.ts';
import { MQTT_COUNTED_LIMITS } from '../protocols/mqtt/limits.ts';
import { MqttForms } from '../protocols/mqtt/packet/property-codec.ts';
import { stompFrontEnd } from '../protocols/stomp/front-end.ts';
import { STOMP_CODEC } from '../protocols/stomp/property-codec.ts';
import { ensureFirstUsers, PasswordAuthenticator } from './auth/password-authenticator.ts';
import { Permissions } from './auth/permissions.ts';
import { Users } from './auth/users.ts';
import { embeddedConfig } from './config/embedded.ts';
import type { Config, PartialConfig } from './config/schema.ts';
import { invariantEqual } from './core/invariant.ts';
import { type Logger, SILENT } from './core/logger.ts';
import { NO_CODEC, type PropertyCodec } from './core/message/properties.ts';
import type { AnonymousLogin } from './core/ports/authorization.ts';
import { registerLimits } from './core/ports/limit-hits.ts';
import { type Meters, newMeters } from './core/ports/meters.ts';
import { MemoryBudget } from './core/queue/memory-budget.ts';
import type { StoreEvents } from './core/queue/queue-store.ts';
import { AccessControl } from './core/session/access-control.ts';
import { Backpressure } from './core/session/backpressure.ts';
import { ClientConnections } from './core/session/client-connection.ts';
import type { FrontEndContext } from './core/session/front-end-context.ts';
import { MemoryLedger } from './core/session/memory-ledger.ts';
import { SystemSession } from './core/session/system-session.ts';
import { monotonicOf, SYSTEM_CLOCK } from './core/turn/clock.ts';
import { Faults } from './core/turn/faults.ts';
import { Turn } from './core/turn/turn.ts';
import { TurnWatch } from './core/turn/turn-watch.ts';
import { DEFAULT_VHOST, VirtualHosts } from './core/vhost/virtual-hosts.ts';
import type { HttpServer } from './http/http-server.ts';
import { identityOf } from './identity.ts';
import { atMost, Listeners, PORT_NAMES, type PortName, type Ports, tlsFiles } from './listeners.ts';
import type { ProcessFigures } from './metrics/metrics.ts';
import type { CollectYoung } from './net/chunk-garbage.ts';
import { Ticker } from './net/ticker.ts';
import { readTls } from './net/tls.ts';
import { ProcessMemory, processFigures } from './process-memory.ts';
import type { Kv } from './store/kv/kv.ts';
import { Store } from './store/store.ts';
import { upgrade } from './store/upgrade.ts';
import { VERSION } from './version.ts';

/** A stop waits so long for the disk, so that what was published is confirmed before its publisher is sent away. */
const LAST_COMMIT_MS = 1_000;
/** And so long for clients to say goodbye before it closes their sockets. */
const GOODBYE_MS = 2_000;

/** The work of a search for retained messages, as the watch logs it. */
const RETAINED_SEARCH = { describeWork: () => ({ work: 'search for retained messages' }) };

/** What a broker may be given besides its configuration. */
export interface BrokerOptions {
  readonly log?: Logger;
  /** The disk, in place of the one that `dataDir` and `store` name: for tests that hold or fail commits. */
  readonly kv?: Kv;
  /** The ticks of heartbeats and timeouts: for tests that make them. */
  readonly ticker?: Ticker;
  /** Collects young garbage, where the program can (`--expose-gc`): input in large messages then costs less memory. */
  readonly collectYoung?: CollectYoung;
  /** Collects all garbage, where the program can: whether memory is short is then known and not guessed. */
  readonly collectAll?: () => void;
  /** The memory of the process: for tests that make it short. */
  readonly processFigures?: () => ProcessFigures;
  /** Called where the broker cannot go on: a commit failed for another reason than space. Default: throw. */
  readonly onFatal?: (error: Error) => void;
}

/** A broker on free ports of this machine, in memory unless `config.dataDir` is given: for tests and programs. */
export function createBroker(config: PartialConfig = {}, options: BrokerOptions = {}): Promise<Broker> {
  return startBroker(embeddedConfig(config), options);
}

/** A broker by its whole configuration: for the command line. Resolves when every port is open. */
export async function startBroker(config: Config, options: BrokerOptions = {}): Promise<Broker> {
  const kv = options.kv ?? (await openKv(config));
  const broker = await brokerOver(kv, config, options);
  try {
    await broker.start();
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return broker;
}

async function brokerOver(kv: Kv, config: Config, options: BrokerOptions): Promise<Broker> {
  try {
    await upgrade(kv);
    return new Broker(config, kv, options);
  } catch (error) {
    await kv.close();
    throw error;
  }
}

/** What stored messages may carry: each front-end's own form of properties. */
function codecsOf(config: Config): ReadonlyMap<number, PropertyCodec> {
  const codecs = [NO_CODEC, amqpProperties, STOMP_CODEC, ...new MqttForms(config.mqtt.exchange).codecs];
  const byId = new Map(codecs.map((codec) => [codec.id, codec]));
  invariantEqual(byId.size, codecs.length, 'each form of properties has an id of its own');
  return byId;
}

/** A broker. Made by `createBroker` or `startBroker`. */
export class Broker {
  readonly config: Config;
  /** The port that each listener took; null where it is off. */
  readonly ports: Ports;
  readonly meters: Meters;
  readonly connections: ClientConnections;
  readonly hosts: VirtualHosts;
  readonly users: Users;
  readonly permissions: Permissions;
  private readonly log: Logger;
  private readonly turn: Turn;
  private readonly store: Store;
  private readonly memory: MemoryBudget;
  private readonly ledger: MemoryLedger;
  private readonly ticker: Ticker;
  private readonly listeners: Listeners;
  private readonly authenticator: PasswordAuthenticator;
  private readonly mqtt: MqttFrontEnd;
  private readonly startedAt: number;
  private http: HttpServer | null;
  private serving: boolean;
  private stopping: Promise<void> | null;

  constructor(config: Config, kv: Kv, options: BrokerOptions) {
    const { limits } = config;
    const log = options.log ?? SILENT;
    const watch = new TurnWatch(monotonicOf(SYSTEM_CLOCK), limits.slowWorkMs, log);
    const faults = new Faults(log);
    const turn = new Turn(SYSTEM_CLOCK, undefined, watch, faults);
    this.config = config;
    this.log = log;
    this.turn = turn;
    this.ports = noPorts();
    this.meters = newMeters();
    this.connections = new ClientConnections();
    this.memory = new MemoryBudget(limits.memoryHighBytes);
    this.ledger = new MemoryLedger(limits);
    this.ticker = options.ticker ?? new Ticker((error) => faults.report('tick', error, null));
    this.startedAt = turn.now;
    this.http = null;
    this.serving = false;
    this.stopping = null;

    const events: StoreEvents = {
      commitEnded: () => turn.begin(),
      outOfSpace: (full) => {
        if (full) log.error({}, 'the disk is full: publishing is held');
        else log.info({}, 'the disk takes writes again');
        backpressure.fullDisk(full);
      },
      fatal: options.onFatal ?? fail,
    };
    const mqttHits = registerLimits(this.meters.limitHits, MQTT_COUNTED_LIMITS);
    this.store = new Store(kv, {
      events,
      codecs: codecsOf(config),
      meters: this.meters,
      retained: config.mqtt,
      retainedLimitReached: (limit) => mqttHits[`mqtt.${limit}`]++,
      pause: () => turn.slices.next(RETAINED_SEARCH),
    });
    const { queues: store, retained, definitions } = this.store;
    const backpressure = new Backpressure(limits, this.connections, this.memory, this.store, this.meters);
    turn.sealWith(() => this.store.seal());
    turn.boundBy(this.meters);
    turn.atEnd(() => backpressure.update());

    const { memory, meters } = this;
    this.ticker.add(
      new ProcessMemory({
        budget: memory,
        ledger: this.ledger,
        log,
        highBytes: limits.processHighBytes,
        figures: options.processFigures ?? processFigures,
        collectAll: options.collectAll ?? null,
        begin: () => turn.begin(),
      }),
    );
    const rewriter = amqpRewriter;
    const topics = { retained, retainedExchange: config.mqtt.exchange };
    this.hosts = new VirtualHosts({ turn, store, definitions, memory, limits, meters, rewriter, log, ...topics });
    this.users = new Users(definitions, limits, this.meters.limitHits);
    this.permissions = new Permissions(definitions);
    this.authenticator = new PasswordAuthenticator(this.users, this.permissions, config.auth.loopbackUsers);
    const access = new AccessControl({
      hosts: this.hosts,
      authenticator: this.authenticator,
      authorizer: this.permissions,
      store,
      definitions,
      turn,
      meters: this.meters,
      log,
    });
    const frontEnd: FrontEndContext = {
      access,
      system: new SystemSession(),
      retained,
      definitions,
      turn,
      connections: this.connections,
      memory: this.ledger,
      meters: this.meters,
      log,
      unauthenticatedMs: limits.unauthenticatedMs,
      messageBytes: limits.messageBytes,
      unackedPerChannel: limits.unackedPerChannel,
      version: VERSION,
      identity: identityOf(config.identity, VERSION),
    };
    const { anonymousUser } = config.auth;
    const mqtt = { ...config.mqtt, anonymous: anonymousLogin(anonymousUser, config.mqtt.anonymous) };
    this.mqtt = new MqttFrontEnd(frontEnd, this.ticker, this.store.packets, mqtt, config.mqtt);
    const stomp = { ...config.stomp, anonymous: anonymousLogin(anonymousUser, config.stomp.anonymous) };
    const accepts = {
      amqp: amqpFrontEnd(frontEnd, this.ticker, config.amqp),
      mqtt: this.mqtt.accept,
      stomp: stompFrontEnd(frontEnd, this.ticker, stomp),
    };
    this.listeners = new Listeners(
      config,
      accepts,
      turn,
      this.ticker,
      this.connections,
      this.meters,
      log,
      options.collectYoung ?? null,
    );
  }

  /** Recovers what is on disk, makes the first user, opens the ports. */
  async start(): Promise<void> {
    const { auth } = this.config;
    const { watch } = this.turn;
    watch.paused = true;
    this.hosts.recover();
    this.mqtt.recover(this.hosts);
    // The hash of a first user's password is made on another thread, while Fastify loads on this one.
    await Promise.all([
      ensureFirstUsers(this.users, this.permissions, {
        vhost: DEFAULT_VHOST,
        administrator: auth.defaultUser,
        password: auth.defaultPassword,
        anonymous: auth.anonymousUser,
      }),
      this.config.http.port === false ? null : import('./http/http-server.ts'),
    ]);
    await this.store.flush();
    await this.listeners.listen(this.ports);
    await this.listenHttp();
    watch.paused = false;
    watch.turnBegins();
    this.serving = true;
  }

  /**
   * Reads the TLS files again and uses them for new handshakes on every listener; connections that are open stay.
   * Resolves with whether there are such files. Rejects, having changed nothing, where one of them cannot be used.
   */
  async reloadTls(): Promise<boolean> {
    const files = tlsFiles(this.config);
    if (files === null) return false;
    const settings = await readTls(files);
    this.listeners.renewTls(settings);
    this.http?.renewTls(settings);
    return true;
  }

  /** Confirms what was published, tells clients, commits, closes. Idempotent; resolves when nothing is left open. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  private async shutDown(): Promise<void> {
    this.serving = false;
    // A full disk confirms nothing: its clients have been told.
    const committed = this.store.flush().catch(() => {});
    await atMost(LAST_COMMIT_MS, committed.then(turnEnd));
    await this.listeners.stop('broker is stopping', GOODBYE_MS);
    this.turn.timers.close();
    for (const host of this.hosts) host.settleDelivered();
    await this.store.close();
    await this.http?.close();
    this.ticker.close();
  }

  /** Loads Fastify only where the API is wanted. */
  private async listenHttp(): Promise<void> {
    const { host, http, port } = this.config;
    const tls = tlsFiles(this.config);
    const tlsPort = tls === null ? false : http.tlsPort;
    if (http.port === false && tlsPort === false && port === false) return;
    const [{ HttpServer }, { Metrics }] = await Promise.all([
      import('./http/http-server.ts'),
      import('./metrics/metrics.ts'),
    ]);
    const { meters, hosts, connections, memory, authenticator, permissions } = this;
    const store = this.store.queues;
    const { watch, faults } = this.turn;
    const { ledger } = this;
    const sources = { meters, hosts, connections, memory, ledger, store, watch, faults, process: processFigures };
    const metrics = new Metrics({ ...sources, version: VERSION });
    this.http = new HttpServer({
      version: VERSION,
      identity: identityOf(this.config.identity, VERSION),
      startedAt: this.startedAt,
      hosts,
      connections,
      meters,
      log: this.log,
      limits: http,
      rules: { hosts: http.hosts, origins: this.config.ws.origins },
      metricsAuthenticated: http.metricsAuthenticated,
      identify: (user, password, origin) => authenticator.identify(user, password, origin),
      mayEnter: (user, vhost) => permissions.mayEnter(user, vhost),
      ready: () => this.serving,
      listeners: () => this.openPorts(),
      scrape: () => metrics.scrape(),
    });
    if (port !== false) this.listeners.answerHttp = await this.http.answering();
    if (http.port !== false) this.ports.http = await this.http.listen(host, http.port);
    if (tls !== null && tlsPort !== false) this.ports.https = await this.http.listenTls(host, tlsPort, tls);
  }

  private openPorts(): { name: PortName; host: string; port: number; tls: boolean }[] {
    const open = [];
    for (const name of PORT_NAMES) {
      const port = this.ports[name];
      const tls = name !== 'http' && (name.endsWith('s') ? name !== 'ws' : false);
      if (port !== null) open.push({ name, host: this.config.host, port, tls });
    }
    return open;
  }
}

function anonymousLogin(user: string, from: 'off' | 'loopback' | 'everywhere'): AnonymousLogin | null {
  return from === 'off' ? null : { user, loopbackOnly: from === 'loopback' };
}

/** Confirms leave at the end of the turn that a commit begins: before this resolves. */
function turnEnd(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function openKv(config: Config): Promise<Kv> {
  if (config.store === 'memory') {
    const { MemoryKv } = await import('./store/kv/memory.ts');
    return new MemoryKv();
  }
  const { LmdbKv } = await import('./store/kv/lmdb.ts');
  return LmdbKv.open(config.dataDir);
}

function noPorts(): Ports {
  return Object.fromEntries(PORT_NAMES.map((name) => [name, null])) as Ports;
}

function fail(error: Error): never {
  throw error;
}
