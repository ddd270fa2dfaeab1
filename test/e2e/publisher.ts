// A device's metric: one `mosquitto_pub -l` process for a topic, fed line by line, and the ledger of its debug output
// (`-d`): which message ids it sent, and which got a PUBACK. It reconnects after a second and resends lines without a
// PUBACK. If the process dies, a new one gets those lines. mosquitto 2.0 sends a line that it reads between connecting
// and CONNACK ahead of those, so no line may be fed until they are confirmed: see `suspend`.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Sent } from './account.ts';
import type { Watch } from './watch.ts';

/** The programs that the test runs. */
export const MOSQUITTO_PUB = '/usr/bin/mosquitto_pub';
/** Disables output buffering: into a pipe, mosquitto_pub would buffer its output until it exits. */
export const STDBUF = '/usr/bin/stdbuf';

/** Maximum of messages that mosquitto_pub sends without a PUBACK. */
export const IN_FLIGHT = 20;
/** Maximum of lines fed without a PUBACK: more than it sends, so that it always has a next one. */
const AHEAD = IN_FLIGHT + 10;
/** Delay before a restart, because a process that cannot connect exits at once. */
const AGAIN_MS = 100;

const REPORT = /(?:sending PUBLISH \(d\d, q1, r0, m(\d+),)|(?:received PUBACK \(Mid: (\d+), RC:0\))/;

/** The state of one line. */
export interface Line extends Sent {
  /** When it was first fed to a process, by the test's watch; 0 if it was not. */
  fedAt: number;
}

export class Publisher {
  readonly topic: string;
  readonly lines: readonly Line[];
  /** Processes started so far. */
  processes: number;
  /** Number of lines with a PUBACK, which come in order. */
  confirmed: number;
  private readonly port: number;
  private readonly watch: Watch;
  private child: ChildProcess | null;
  /** Index of the line that has this process' message id 1. */
  private firstLine: number;
  /** Lines before this index were fed to this process. */
  private fed: number;
  private released: number;
  private finished: boolean;
  private rest: string;
  private lastSaid: string;

  constructor(topic: string, bodies: readonly string[], port: number, watch: Watch) {
    this.topic = topic;
    this.lines = bodies.map((body) => ({ body, fedAt: 0, sendings: 0, confirmedAt: 0 }));
    this.processes = 0;
    this.confirmed = 0;
    this.port = port;
    this.watch = watch;
    this.child = null;
    this.firstLine = 0;
    this.fed = 0;
    this.released = 0;
    this.finished = false;
    this.rest = '';
    this.lastSaid = '';
    this.start();
  }

  /** Releases the first `count` lines; the process gets them as PUBACKs arrive. */
  release(count: number): void {
    this.released = count;
    this.feed();
  }

  /** Feeds no further line, because the process has lost its connection. It may continue once `releasedConfirmed`. */
  suspend(): void {
    this.released = this.fed;
  }

  /** Whether every released line has a PUBACK. */
  get releasedConfirmed(): boolean {
    return this.confirmed >= this.released;
  }

  /** Number of lines sent and not acknowledged. */
  get unconfirmed(): readonly Line[] {
    return this.lines.filter((line) => line.sendings > 0 && line.confirmedAt === 0);
  }

  describe(): string {
    const { topic, released, fed, confirmed, unconfirmed, processes, lastSaid } = this;
    const counts = `released ${released}, fed ${fed}, confirmed ${confirmed}, ${unconfirmed.length} in flight`;
    return `${topic}: ${counts}, ${processes} processes, said last: ${lastSaid}`;
  }

  /** Kills the process; a new one takes over. */
  kill(): void {
    this.child?.kill('SIGKILL');
  }

  /** Ends its input, and resolves when the process has exited with code 0. */
  async finish(): Promise<void> {
    this.finished = true;
    const child = this.child!;
    const closed = once(child, 'close');
    child.stdin!.end();
    const [code] = await closed;
    if (code !== 0) throw new Error(`mosquitto_pub of ${this.topic} ended with ${code}`);
  }

  /** Ends the process in any state. */
  async end(): Promise<void> {
    this.finished = true;
    const child = this.child!;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }

  private start(): void {
    const client = this.topic.replaceAll('/', '-');
    const login = ['-h', '127.0.0.1', '-p', `${this.port}`, '-u', 'guest', '-P', 'guest', '-i', client];
    const session = ['-c', '-M', `${IN_FLIGHT}`];
    const child = spawn(STDBUF, ['-oL', MOSQUITTO_PUB, '-l', '-d', '-q', '1', '-t', this.topic, ...login, ...session], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.processes++;
    this.child = child;
    this.firstLine = this.confirmed;
    this.fed = this.confirmed;
    this.rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.hear(text));
    // Input lost with a killed process is fed to the next one.
    child.stdin.on('error', () => {});
    // `close` comes after all output was read; `exit` may come before.
    child.once('close', () => void this.again());
    this.feed();
  }

  private async again(): Promise<void> {
    if (this.finished) return;
    await delay(AGAIN_MS);
    if (!this.finished) this.start();
  }

  private feed(): void {
    const until = Math.min(this.released, this.confirmed + AHEAD);
    let text = '';
    while (this.fed < until) {
      const line = this.lines[this.fed++]!;
      if (line.fedAt === 0) line.fedAt = this.watch.tick();
      text += `${line.body}\n`;
    }
    if (text !== '') this.child!.stdin!.write(text);
  }

  private hear(text: string): void {
    const reports = (this.rest + text).split('\n');
    this.rest = reports.pop()!;
    this.lastSaid = reports.at(-1) ?? this.lastSaid;
    for (const report of reports) {
      const [, sent, answered] = REPORT.exec(report) ?? [];
      if (sent !== undefined) {
        this.line(sent).sendings++;
        this.watch.tick();
      } else if (answered !== undefined) {
        const line = this.line(answered);
        if (line !== this.lines[this.confirmed]) {
          this.watch.fail(new Error(`PUBACK ${answered} of ${this.topic} is out of order`));
        }
        line.confirmedAt = this.watch.tick();
        this.confirmed++;
      }
    }
    this.feed();
  }

  private line(messageId: string): Line {
    const line = this.lines[this.firstLine + Number(messageId) - 1];
    if (line === undefined) throw new Error(`${this.topic} has no line for message id ${messageId}`);
    return line;
  }
}
