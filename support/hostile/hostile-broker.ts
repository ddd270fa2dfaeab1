// The broker that attacks are run against, seen from the process that runs them (broker-child.ts is the other side).

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { endsWithUs } from '../ends-with-us.ts';
import { statusKib } from '../peers.ts';
import type { Report, Request } from './broker-child.ts';

const CHILD = fileURLToPath(new URL('./broker-child.ts', import.meta.url));
/** Node's own flags, as in the start script of package.json (docs/decisions/0008). */
const AS_NPM_START = ['--max-semi-space-size=8', '--expose-gc'];
const KIB_PER_MIB = 1024;

export interface HostilePorts {
  readonly amqp: number;
  readonly mqtt: number;
  readonly stomp: number;
  readonly ws: number;
  readonly http: number;
}

export class HostileBroker {
  readonly ports: HostilePorts;
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess, ports: HostilePorts) {
    this.child = child;
    this.ports = ports;
  }

  static async start(): Promise<HostileBroker> {
    const child = fork(CHILD, { execArgv: AS_NPM_START, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    endsWithUs(child);
    const report = await nextReport(child);
    if (!('ready' in report)) throw new Error('the broker did not report its ports first');
    return new HostileBroker(child, report.ready as HostilePorts);
  }

  /** Whether the process runs. */
  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Anonymous memory of the process, in MiB. */
  async rssAnonMib(): Promise<number> {
    return (await statusKib(this.child.pid!, 'RssAnon')) / KIB_PER_MIB;
  }

  /** Moves the broker's clock, forwards or (negative) backwards. */
  async moveClock(ms: number): Promise<void> {
    await this.ask({ moveClockMs: ms });
  }

  /** The longest pause of its event loop since the last call, in ms. */
  async longestPauseMs(): Promise<number> {
    const report = await this.ask({ longestPause: true });
    return 'longestPauseMs' in report ? report.longestPauseMs : Number.NaN;
  }

  async stop(): Promise<void> {
    if (!this.alive) return;
    const exit = once(this.child, 'exit');
    this.child.send({ stop: true } satisfies Request);
    await exit;
  }

  private async ask(request: Request): Promise<Report> {
    const report = nextReport(this.child);
    this.child.send(request);
    return await report;
  }
}

/** Rejects if the process ends before. */
function nextReport(child: ChildProcess): Promise<Report> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error(`the broker ended with code ${child.exitCode ?? child.signalCode}`));
    child.once('exit', ended);
    child.once('message', (report: Report) => {
      child.off('exit', ended);
      resolve(report);
    });
  });
}
