// The clients that an attack must not hurt: each protocol's canary in a loop, a new login, and a health check. Each
// records how long it waited. A canary's messages are numbered, so that none is lost, repeated or out of order.

import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Canary, startCanaries } from '../canary.ts';
import { tcp } from '../raw-client.ts';
import { openMqtt } from '../raw-mqtt.ts';
import type { HostilePorts } from './hostile-broker.ts';
import { NEWCOMERS } from './users.ts';

/** How long one watcher waited for its answers, in ms. */
export interface Waits {
  readonly p99: number;
  readonly longest: number;
  readonly count: number;
}

const PAUSE_MS = 10;
const LOGIN_PAUSE_MS = 100;
/** A health check that is not answered within this time failed. */
const HEALTH_MS = 10_000;

export class Watchers {
  private readonly ports: HostilePorts;
  private readonly canaries: readonly Canary[];
  private waits: Map<string, number[]>;
  /** When the exchange began that each watcher waits for. */
  private readonly began: Map<string, number>;
  private failure: Error | null;
  private stopping: boolean;
  private logins: number;
  private readonly loops: Promise<void>[];

  private constructor(ports: HostilePorts, canaries: readonly Canary[]) {
    this.ports = ports;
    this.canaries = canaries;
    this.waits = new Map();
    this.began = new Map();
    this.failure = null;
    this.stopping = false;
    this.logins = 0;
    this.loops = [
      ...canaries.map((canary) => this.loop(canary.name, PAUSE_MS, () => canary.exchange())),
      this.loop('login', LOGIN_PAUSE_MS, () => this.login()),
      this.loop('health', LOGIN_PAUSE_MS, () => this.health()),
    ];
  }

  static async start(ports: HostilePorts): Promise<Watchers> {
    return new Watchers(ports, await startCanaries(ports));
  }

  /** The first failure of a watcher, or null. */
  get failed(): Error | null {
    return this.failure;
  }

  /** What each watcher waited since the last call, and forgets it. */
  take(): Record<string, Waits> {
    const now = performance.now();
    const waits = this.waits;
    this.waits = new Map();
    return Object.fromEntries(
      [...this.began].map(([name, began]) => [name, summary([...(waits.get(name) ?? []), now - began])]),
    );
  }

  /** Resolves when each watcher has had one more answer, or one has failed. */
  async onceMore(): Promise<void> {
    const counts = new Map(this.began);
    while (this.failure === null && [...this.began].some(([name, began]) => began === counts.get(name))) {
      await delay(PAUSE_MS);
    }
  }

  /** Disconnects. Rejects if a canary has noticed something since the last look at `failed`. */
  async end(): Promise<void> {
    this.stopping = true;
    // A client that has failed may wait for ever for an answer.
    if (this.failure !== null) return;
    await Promise.all(this.loops);
    for (const canary of this.canaries) await canary.end();
  }

  private async loop(name: string, pauseMs: number, exchange: () => Promise<void>): Promise<void> {
    while (!this.stopping && this.failure === null) {
      const began = performance.now();
      this.began.set(name, began);
      try {
        await exchange();
      } catch (error) {
        this.failure ??= new Error(`watcher ${name}: ${(error as Error).message}`, { cause: error });
        return;
      }
      const waits = this.waits.get(name) ?? [];
      waits.push(performance.now() - began);
      this.waits.set(name, waits);
      await delay(pauseMs);
    }
  }

  private async login(): Promise<void> {
    const user = NEWCOMERS[this.logins++ % NEWCOMERS.length]!;
    const client = await openMqtt(await tcp(this.ports.mqtt), '', { user, password: user });
    await client.close();
  }

  private health(): Promise<void> {
    return new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: this.ports.http,
        path: '/health/ready',
        agent: false,
        timeout: HEALTH_MS,
      };
      const request = get(options, (response) => {
        response.resume();
        if (response.statusCode === 200) response.once('end', resolve);
        else reject(new Error(`/health/ready answered ${response.statusCode}`));
      });
      request.once('timeout', () => request.destroy(new Error(`no answer within ${HEALTH_MS} ms`)));
      request.once('error', reject);
    });
  }
}

function summary(waits: number[]): Waits {
  waits.sort((a, b) => a - b);
  return {
    p99: waits[Math.ceil(waits.length * 0.99) - 1] ?? 0,
    longest: waits.at(-1) ?? 0,
    count: waits.length,
  };
}
