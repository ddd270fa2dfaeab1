// Trivium in its own process, on free ports and with a data directory, for tests that kill it and for the bench. It is
// stopped by its process id. `restart` uses the same data and ports.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endsWithUs } from './ends-with-us.ts';
import { freePorts, listening } from './free-port.ts';
import { type Endpoints, statusKib } from './peers.ts';

const MAIN = fileURLToPath(new URL('../src/entry.js', import.meta.url));
/** Node's own flags, as in the start script of package.json (docs/decisions/0008). */
const AS_NPM_START = ['--max-semi-space-size=8', '--expose-gc'];
const POLL_MS = 5;
const START_TIMEOUT_MS = 60_000;

export interface BrokerOptions {
  /** Kept after `end`; without it a temporary directory is created and removed. */
  readonly dataDir?: string;
  /** Further flags for `trivium start`. */
  readonly flags?: readonly string[];
}

interface Ports extends Endpoints {
  readonly amqp: number;
  readonly mqtt: number;
  readonly stomp: number;
  readonly webStomp: number;
  readonly http: number;
}

export class BrokerProcess {
  readonly endpoints: Ports;
  readonly dataDir: string;
  /** Time from the spawn until all ports accepted connections. */
  startMs: number;
  private readonly flags: readonly string[];
  private readonly temporary: boolean;
  private child: ChildProcess;
  private text: string;

  private constructor(endpoints: Ports, dataDir: string, temporary: boolean, flags: readonly string[]) {
    this.endpoints = endpoints;
    this.dataDir = dataDir;
    this.startMs = 0;
    this.flags = flags;
    this.temporary = temporary;
    this.text = '';
    this.child = this.spawn();
  }

  /** Resolves when every port accepts connections. Rejects with the output if the process exits before. */
  static async start(options: BrokerOptions = {}): Promise<BrokerProcess> {
    const [amqp, mqtt, stomp, webStomp, http] = await freePorts(5);
    const ports = { amqp: amqp!, mqtt: mqtt!, stomp: stomp!, webStomp: webStomp!, webStompPath: '/stomp', http: http! };
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'trivium-')));
    const broker = new BrokerProcess(ports, dataDir, options.dataDir === undefined, options.flags ?? []);
    await broker.ready(performance.now());
    return broker;
  }

  get pid(): number {
    return this.child.pid!;
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The last lines of its output. */
  get output(): string {
    return this.text;
  }

  /** A field of `/proc/<pid>/status` in MiB. */
  async statusMib(field: 'VmRSS' | 'RssAnon'): Promise<number> {
    return (await statusKib(this.pid, field)) / 1024;
  }

  /** Sends SIGKILL, as in a crash: nothing is flushed and no client is notified. */
  async kill(): Promise<void> {
    await this.signal('SIGKILL');
  }

  /** Sends SIGTERM and waits for the exit. */
  async stop(): Promise<void> {
    await this.signal('SIGTERM');
  }

  /** Starts again on the same data and ports, once it has exited. */
  async restart(): Promise<void> {
    const spawned = performance.now();
    this.child = this.spawn();
    await this.ready(spawned);
  }

  /** Ends the process in any state and removes a temporary data directory. */
  async end(): Promise<void> {
    await this.signal('SIGKILL');
    if (this.temporary) await rm(this.dataDir, { recursive: true, force: true });
  }

  private spawn(): ChildProcess {
    const { amqp, mqtt, stomp, webStomp, http } = this.endpoints;
    const ports = { amqp, mqtt, stomp, ws: webStomp, http };
    const flags = Object.entries(ports).map(([name, port]) => `--${name}-port=${port}`);
    const child = spawn(
      process.execPath,
      [
        ...AS_NPM_START,
        MAIN,
        'start',
        '--host=127.0.0.1',
        '--log-level=warn',
        `--data-dir=${this.dataDir}`,
        ...flags,
        ...this.flags,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    endsWithUs(child);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.text = (this.text + chunk).slice(-16_384);
      });
    }
    return child;
  }

  private async ready(spawned: number): Promise<void> {
    const { amqp, mqtt, stomp, webStomp, http } = this.endpoints;
    for (const port of [amqp, mqtt, stomp, webStomp, http]) {
      while (!(await listening(port))) {
        if (!this.alive) throw new Error(`the broker ended while starting:\n${this.text}`);
        if (performance.now() - spawned > START_TIMEOUT_MS) {
          await this.signal('SIGKILL');
          throw new Error(`the broker is not listening after ${START_TIMEOUT_MS} ms:\n${this.text}`);
        }
        await delay(POLL_MS);
      }
    }
    this.startMs = performance.now() - spawned;
  }

  private async signal(signal: NodeJS.Signals): Promise<void> {
    if (!this.alive) return;
    const exit = once(this.child, 'exit');
    this.child.kill(signal);
    await exit;
  }
}
