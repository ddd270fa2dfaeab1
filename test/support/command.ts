// Runs commands and watches their output, for tests of the command line and of the package. A command and its children
// are killed by process group and do not outlive the test.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import type { TestContext } from 'node:test';

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export class Command {
  readonly child: ChildProcess;
  stdout: string;
  stderr: string;
  private readonly closed: Promise<unknown[]>;

  constructor(t: TestContext, file: string, args: readonly string[], options: CommandOptions = {}) {
    this.stdout = '';
    this.stderr = '';
    this.child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...cleanEnvironment(), ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Its own process group, so that its children end with it.
      detached: true,
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.closed = once(this.child, 'close');
    t.after(() => this.end());
  }

  /** Kills it and all its children. */
  private async end(): Promise<void> {
    try {
      process.kill(-this.child.pid!, 'SIGKILL');
    } catch {
      // All have exited already.
    }
    await this.closed;
  }

  async finished(): Promise<Finished> {
    await this.closed;
    const { exitCode, signalCode } = this.child;
    return { code: exitCode, signal: signalCode, stdout: this.stdout, stderr: this.stderr };
  }

  /** Resolves with the first result of `pick` for a line of standard output. Rejects if the process exits before. */
  async line<Result>(pick: (line: string) => Result | null): Promise<Result> {
    for (;;) {
      const lines = this.stdout.split('\n').slice(0, -1);
      for (const line of lines) {
        const result = pick(line);
        if (result !== null) return result;
      }
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it ended before it said so:\n${this.stdout}${this.stderr}`);
      }
      await Promise.race([once(this.child.stdout!, 'data'), this.closed]);
    }
  }
}

/** The JSON log record with that message, or null: for `Command.line`. */
export function record(message: string) {
  return (line: string): Record<string, unknown> | null => {
    if (!line.startsWith('{')) return null;
    const parsed = JSON.parse(line) as Record<string, unknown>;
    return parsed.msg === message ? parsed : null;
  };
}

/** This process' environment, with this Node.js first in PATH and without the variables of npm and the test runner. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_(?!config_registry)|NODE_(TEST|OPTIONS|COMPILE)|TRIVIUM_)/.test(name),
  );
  return { ...Object.fromEntries(kept), PATH: `${dirname(process.execPath)}:${process.env.PATH}` };
}
