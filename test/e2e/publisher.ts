// A device's metric: one `mosquitto_pub -l` process for a topic, fed line by line, and the ledger of what it reported
// (`-d`): which message ids it sent, and which were answered with PUBACK. It reconnects after a second and sends again by
// itself what had no PUBACK; where the process dies, a new one gets those lines. A line that it reads between connecting
// and CONNACK it sends ahead of those (mosquitto 2.0), so nothing may be fed until they are confirmed: see `suspend`.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Sent } from './account.ts';
import type { Watch } from './watch.ts';

/** The programs that it needs. */
export const MOSQUITTO_PUB = '/usr/bin/mosquitto_pub';
/** Into a pipe, mosquitto_pub would keep what it says until it ends. */
export const STDBUF = '/usr/bin/stdbuf';

/** Messages that mosquitto_pub sends without a PUBACK. */
export const IN_FLIGHT = 20;
/** Lines that a process holds and that have no PUBACK: more than it sends, so that there is always a next one. */
const AHEAD = IN_FLIGHT + 10;
/** A process that could not connect ends at once. */
const AGAIN_MS = 100;

const REPORT = /(?:sending PUBLISH \(d\d, q1, r0, m(\d+),)|(?:received PUBACK \(Mid: (\d+), RC:0\))/;

/** What is known of one line. */
export interface Line extends Sent {
  /** When it was first handed to a process, by the test's watch; 0: not yet. */
  fedAt: number;
}

export class Publisher {
  readonly topic: string;
  readonly lines: readonly Line[];
  /** Processes that were started in its life. */
  processes: number;
  /** Lines with a PUBACK: they come in order. */
  confirmed: number;
  private readonly port: number;
  private readonly watch: Watch;
  private child: ChildProcess | null;
  /** The line of this process' message id 1. */
  private firstLine: number;
  /** Lines before it were handed to this process. */
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

  /** The first `count` lines may go now; the process gets them as its PUBACKs arrive. */
  release(count: number): void {
    this.released = count;
    this.feed();
  }

  /** No line more than the process has: it has lost its connection. Once `releasedConfirmed`, it may go on. */
  suspend(): void {
    this.released = this.fed;
  }

  /** Whether everything that may go has a PUBACK. */
  get releasedConfirmed(): boolean {
    return this.confirmed >= this.released;
  }

  /** Lines that it said it sent and that have no PUBACK. */
  get unconfirmed(): readonly Line[] {
    return this.lines.filter((line) => line.sendings > 0 && line.confirmedAt === 0);
  }

  describe(): string {
    const { topic, released, fed, confirmed, unconfirmed, processes, lastSaid } = this;
    const counts = `released ${released}, fed ${fed}, confirmed ${confirmed}, ${unconfirmed.length} in flight`;
    return `${topic}: ${counts}, ${processes} processes, said last: ${lastSaid}`;
  }

  /** Kills the process; another one takes over. */
  kill(): void {
    this.child?.kill('SIGKILL');
  }

  /** Ends its input, and resolves when the process has ended well. */
  async finish(): Promise<void> {
    this.finished = true;
    const child = this.child!;
    const closed = once(child, 'close');
    child.stdin!.end();
    const [code] = await closed;
    if (code !== 0) throw new Error(`mosquitto_pub of ${this.topic} ended with ${code}`);
  }

  /** However it is. */
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
    // A process that died does not take its input; what was lost with it is fed to the next one.
    child.stdin.on('error', () => {});
    // `close` comes after all that it said, `exit` may not.
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
