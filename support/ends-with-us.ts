// Child processes that must not outlive the process that started them: not when it ends, and not when it is told to end
// (a runner that loses its patience sends SIGTERM). Only SIGKILL escapes.

import type { ChildProcess } from 'node:child_process';

const children = new Set<ChildProcess>();

/** The child is killed when this process ends before it. */
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

/** As the signal would have ended us without a handler. */
function endBySignal(signal: NodeJS.Signals): void {
  killAll();
  process.kill(process.pid, signal);
}
