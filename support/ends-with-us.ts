// Child processes that must not outlive this process, whether it exits or gets a signal (a test runner sends SIGTERM at
// a timeout). Only SIGKILL escapes.

import type { ChildProcess } from 'node:child_process';

const children = new Set<ChildProcess>();

/** Kills the child when this process ends before it. */
export function endsWithUs(child: ChildProcess): void {
  if (children.size === 0) {
    process.once('exit', killAll);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, endBySignal);
  }
  children.add(child);
  child.once('exit', () => {
    children.delete(child);
    if (children.size > 0) return;
    process.off('exit', killAll);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.off(signal, endBySignal);
  });
}

function killAll(): void {
  for (const child of children) child.kill('SIGKILL');
}

/** Ends this process as the signal would without a handler. */
function endBySignal(signal: NodeJS.Signals): void {
  killAll();
  process.kill(process.pid, signal);
}
