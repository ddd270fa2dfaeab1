// The kit for MQTT checks: connections of one version, unique client identifiers and topics, and removal of sessions
// and retained messages afterwards. A rule shared by 3.1.1 and 5.0 is written once and yields one check for each
// version, `mqtt.v3.…` and `mqtt.v5.…`.

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type Level as Binds, type Check, type CheckContext, type Controls, type Endpoint, Skip } from '../check.ts';
import { MqttConnection } from './wire/connection.ts';
import { dialTcp, type Line } from './wire/line.ts';
import {
  type ConnectOptions,
  hex,
  LEVEL,
  type Level,
  type Packet,
  type Qos,
  type SubscriptionOptions,
} from './wire/packets.ts';
import { type Properties, type Property, property } from './wire/properties.ts';

export const MUST: Binds = 'MUST';
export const SHOULD: Binds = 'SHOULD';
export const EXTENSION: Binds = 'extension';

/** Shorter than the runner's time limit for cleaning up. */
const CLEAN_UP_MS = 4_000;
/** How long a broker may take to answer the probing CONNECT of a version before the probe fails. */
const PROBE_MS = 5_000;
/** Session expiry interval of the checks' 5.0 sessions, in seconds: longer than any check. */
const SESSION_SECONDS = 120;

export type VersionName = keyof typeof LEVEL;
const VERSIONS = { v31: '3.1', v3: '3.1.1', v5: '5.0' } as const;

export interface MqttCheck extends Check {
  /** The statements that the check shows; statements.ts has their text. */
  readonly statements: readonly string[];
}

export class MqttTest {
  readonly context: CheckContext;
  readonly version: Level;
  private readonly prefix: string;
  private readonly sessions: Set<string>;
  private readonly retained: Set<string>;
  private names: number;

  constructor(context: CheckContext, version: Level) {
    this.context = context;
    this.version = version;
    this.prefix = `c${randomBytes(7).toString('hex')}`;
    this.sessions = new Set();
    this.retained = new Set();
    this.names = 0;
    context.after(() => this.cleanUp());
  }

  get v5(): boolean {
    return this.version === LEVEL.v5;
  }

  /** A unique client identifier or first topic level, of at most 23 letters and digits. */
  name(): string {
    return `${this.prefix}x${(++this.names).toString(36)}`;
  }

  /** A topic for a retained message, which the clean-up deletes. */
  retainedTopic(topic = this.name()): string {
    this.retained.add(topic);
    return topic;
  }

  /** A connection that has sent nothing yet. */
  async dial(line?: Line): Promise<MqttConnection> {
    const { signal, note } = this.context;
    return new MqttConnection(this.version, line ?? (await dialTcp(this.context)), signal, note);
  }

  /** CONNECT options with the endpoint's user and, unless given, a unique client identifier. */
  connectOptions(options: ConnectOptions = {}): ConnectOptions {
    const { user, password } = this.context.endpoint;
    return { clientId: this.name(), user, password, ...options };
  }

  /** Sends CONNECT without waiting for CONNACK. */
  async begin(options: ConnectOptions = {}, line?: Line): Promise<MqttConnection> {
    const connection = await this.dial(line);
    const all = this.connectOptions(options);
    if (typeof all.clientId === 'string') {
      connection.clientId = all.clientId;
      if (options.clientId !== undefined && all.clientId !== '') this.sessions.add(all.clientId);
    }
    connection.sendConnect(all);
    return connection;
  }

  /** Connects with a new session that ends with the connection. */
  async connect(options: ConnectOptions = {}, line?: Line): Promise<MqttConnection> {
    const connection = await this.begin(options, line);
    await connection.expectAccepted();
    return connection;
  }

  /** Connects and sees PINGRESP, so that only what follows can be the reason for the connection's end. */
  async alive(options: ConnectOptions = {}): Promise<MqttConnection> {
    const client = await this.connect(options);
    await client.ping();
    return client;
  }

  /** Connects to the client's session, or creates it; the session outlives the connection. */
  resume(clientId: string, options: ConnectOptions = {}): Promise<MqttConnection> {
    const properties: Properties = [
      ['sessionExpiryInterval', SESSION_SECONDS],
      ...((options.properties ?? []) as readonly Property[]),
    ];
    return this.connect({ clean: false, clientId, ...options, ...(this.v5 ? { properties } : {}) });
  }

  /** Sends PUBREC, cuts the connection after PUBREL, and expects only PUBREL on the next connection. */
  async releasedAgain(before: MqttConnection, clientId: string, packetId: number): Promise<void> {
    before.ack('PUBREC', packetId);
    await before.expectAck('PUBREL', packetId);
    before.cut();
    const after = await this.resume(clientId);
    await after.expectAck('PUBREL', packetId);
    after.ack('PUBCOMP', packetId);
    await after.expectSilence();
  }

  /** Creates a session with a subscription, disconnects it and returns its client identifier. */
  async away(filter: string, qos: Qos): Promise<string> {
    const clientId = this.name();
    const client = await this.resume(clientId);
    await this.subscribe(client, filter, qos);
    await client.disconnect();
    return clientId;
  }

  /** Subscribes at this QoS. Skips if the broker grants a lower one. */
  async subscribe(
    client: MqttConnection,
    filter: string,
    qos: Qos = 0,
    options: Partial<SubscriptionOptions> = {},
    properties: Properties = [],
  ): Promise<Packet> {
    const suback = await client.subscribe([{ filter, qos, ...options }], properties);
    const [granted] = suback.reasons;
    if (granted! < qos) throw new Skip(`the broker grants QoS ${granted} where ${qos} is asked for`);
    if (granted !== qos) throw new Error(`SUBACK says ${hex(granted!)} for '${filter}'`);
    return suback;
  }

  /** Connects a new client and subscribes it. */
  async subscriber(
    filter: string,
    qos: Qos = 0,
    options: Partial<SubscriptionOptions> = {},
    properties: Properties = [],
  ): Promise<MqttConnection> {
    const client = await this.connect();
    await this.subscribe(client, filter, qos, options, properties);
    return client;
  }

  /** Publishes a retained message and resolves when the broker has stored it. */
  async retain(topic: string, payload: string, qos: Qos = 1, properties: Properties = []): Promise<void> {
    this.retainedTopic(topic);
    const publisher = await this.connect();
    await publisher.publish({ topic, payload, qos, retain: true, properties });
    if (qos === 0) await publisher.ping();
  }

  /** Waits; only for rules about time. */
  async pause(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.context.signal });
  }

  skip(why: string): never {
    throw new Skip(why);
  }

  /** Skips if CONNACK says that the broker lacks this feature. */
  requires(
    client: MqttConnection,
    name:
      | 'wildcardSubscriptionAvailable'
      | 'subscriptionIdentifierAvailable'
      | 'sharedSubscriptionAvailable'
      | 'retainAvailable',
  ): void {
    if (property(client.connack!.properties, name) === 0) this.skip(`the broker says ${name} 0`);
  }

  /**
   * A new clean session under each client identifier ends the old session; an empty retained message deletes the stored
   * one.
   */
  private async cleanUp(): Promise<void> {
    if (this.sessions.size + this.retained.size === 0) return;
    const signal = AbortSignal.timeout(CLEAN_UP_MS);
    const context = { ...this.context, signal, note: () => {} };
    const clients = this.sessions.size > 0 ? [...this.sessions] : [this.name()];
    for (const clientId of clients) {
      const client = new MqttConnection(LEVEL.v3, await dialTcp(context), signal, context.note);
      client.sendConnect(this.connectOptions({ clientId }));
      await client.expectAccepted();
      for (const topic of this.retained) await client.publish({ topic, qos: 1, retain: true });
      this.retained.clear();
      await client.disconnect();
    }
  }
}

export type Run = (t: MqttTest) => Promise<void>;
interface Options {
  /** The check waits for real time to pass. */
  readonly slow?: boolean;
  readonly needs?: keyof Controls;
  readonly webSocket?: boolean;
}

function check(
  version: VersionName,
  id: string,
  statements: string,
  binds: Binds,
  title: string,
  run: Run,
  options: Options,
): MqttCheck {
  const list = statements.split(' ');
  return {
    id: `mqtt.${version}.${id}`,
    protocol: 'mqtt',
    version: VERSIONS[version],
    statements: list,
    section: list
      .map((statement) => (statement.includes(':') ? `§${statement.split(':')[0]}` : `MQTT-${statement}`))
      .join(', '),
    level: binds,
    title,
    fast: options.slow !== true,
    needs: options.needs ?? null,
    webSocket: options.webSocket ?? false,
    async run(context) {
      if (version !== 'v3') await speaks(context, version);
      await run(new MqttTest(context, LEVEL[version]));
    },
  };
}

/** Returns the function that defines checks of one version. */
function checksOf(version: VersionName) {
  return (
    id: string,
    statements: string,
    binds: Binds,
    title: string,
    run: Run,
    options: Options = {},
  ): MqttCheck[] => [check(version, id, statements, binds, title, run, options)];
}

/**
 * A check of MQTT 3.1.1. `statements` are numbers of the specification (`3.1.0-1`) or our own names (`3.1.4:early`).
 */
export const v3 = checksOf('v3');
/** A check of MQTT 5.0; skipped if the broker does not speak it. */
export const v5 = checksOf('v5');
/** A check of MQTT 3.1; skipped if the broker does not speak it. */
export const v31 = checksOf('v31');

/** A rule of both versions, with its statements in 3.1.1 and in 5.0. */
export function both(
  id: string,
  [old, now]: readonly [string, string],
  binds: Binds,
  title: string,
  run: Run,
  options: Options = {},
): MqttCheck[] {
  return [...v3(id, old, binds, title, run, options), ...v5(id, now, binds, title, run, options)];
}

/** The versions that each address speaks; each is probed once. */
const SPOKEN = new WeakMap<Endpoint, Map<VersionName, Promise<boolean>>>();

/** Copies the probed versions of one address to another address of the same broker, which is then not probed. */
export async function sameBroker(known: Endpoint, other: Endpoint): Promise<void> {
  await Promise.all((Object.keys(VERSIONS) as VersionName[]).map((version) => asks(known, version)));
  SPOKEN.set(other, SPOKEN.get(known)!);
}

async function speaks({ endpoint }: CheckContext, version: VersionName): Promise<void> {
  if (!(await asks(endpoint, version))) throw new Skip(`the broker does not speak MQTT ${VERSIONS[version]}`);
}

function asks(endpoint: Endpoint, version: VersionName): Promise<boolean> {
  const known = SPOKEN.get(endpoint) ?? new Map<VersionName, Promise<boolean>>();
  SPOKEN.set(endpoint, known);
  const answer = known.get(version) ?? asked(endpoint, version);
  known.set(version, answer);
  return answer;
}

/** Probes whether the broker accepts a CONNECT of this version; rejects if nothing listens. */
async function asked(endpoint: Endpoint, version: VersionName): Promise<boolean> {
  const { user, password } = endpoint;
  const signal = AbortSignal.timeout(PROBE_MS);
  const clientId = `c${randomBytes(7).toString('hex')}`;
  const connection = new MqttConnection(LEVEL[version], await dialTcp({ endpoint, after: () => {} }), signal, () => {});
  connection.sendConnect({ clientId, user, password });
  try {
    return (await connection.receive()).reasons[0] === 0;
  } catch (error) {
    if (connection.ends) return false;
    throw error;
  } finally {
    connection.cut();
  }
}
