// How much work a piece of code does, as a number that no other load on the machine changes: how often V8 ran each
// function and each block (a loop's body, a branch) of this repository's sources. For tests that an algorithm does not
// degrade to a search or a square. A search or a move within an array by a builtin counts the length of the array.
//
// V8 counts the blocks of functions that it compiles after counting began: a test file imports this module first.

import { type Profiler, Session } from 'node:inspector';

const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** Methods of arrays whose loop V8 does not count. */
const NATIVE_LOOPS = ['includes', 'indexOf', 'lastIndexOf', 'splice'] as const;

/** Calls `work` and returns its result, with how many functions and blocks of `src/` and `protocols/` ran meanwhile. */
export function counted<Result>(work: () => Result): { readonly result: Result; readonly steps: number } {
  const prototype = Array.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
  const natives = NATIVE_LOOPS.map((name) => [name, prototype[name]!] as const);
  let searched = 0;
  for (const [name, native] of natives) {
    prototype[name] = function (this: unknown[], ...args) {
      searched += this.length;
      return native.apply(this, args);
    };
  }
  takeBlocks();
  try {
    const result = work();
    return { result, steps: takeBlocks() + searched };
  } finally {
    for (const [name, native] of natives) prototype[name] = native;
  }
}

/** Functions and blocks that ran since the last call. */
function takeBlocks(): number {
  let scripts: readonly Profiler.ScriptCoverage[] = [];
  session.post('Profiler.takePreciseCoverage', (error, coverage) => {
    if (error !== null) throw error;
    scripts = coverage.result;
  });
  let blocks = 0;
  for (const { url, functions } of scripts) {
    if (!/\/(?:src|protocols)\/.*\.ts$/.test(url)) continue;
    for (const { ranges } of functions) for (const { count } of ranges) blocks += count;
  }
  return blocks;
}
