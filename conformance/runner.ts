// Runs checks against a broker: several at a time, each with a time limit, and removes what each leaves behind. A check
// fails by throwing. Checks do not affect each other.

import { randomBytes } from 'node:crypto';
import { type Check, type CheckContext, type Controls, type Endpoint, type Protocol, Skip } from './check.ts';

/** Time limit of a check; it fails when it is reached. */
export const CHECK_TIMEOUT_MS = 10_000;
/** Time limit for removing what a check leaves behind. */
const CLEAN_UP_MS = 5_000;
const PARALLEL = 16;
/** Lines of an exchange that are kept for a failure. */
const NOTES = 24;

export const OUTCOME = { passed: 'passed', failed: 'failed', skipped: 'skipped' } as const;
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

export interface Result {
  readonly check: Check;
  readonly outcome: Outcome;
  /** What the broker did instead, or why the check was skipped. */
  readonly message: string;
  /** The last lines of a failed check's exchange. */
  readonly notes: readonly string[];
  /** Whether it failed by timeout. */
  readonly timedOut: boolean;
  readonly durationMs: number;
}

export interface Target {
  readonly endpoints: { readonly [P in Protocol]?: Endpoint };
  readonly controls: Controls;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly parallel?: number;
  /** Called as each check ends. */
  readonly ended?: (result: Result) => void;
}

/** The results in the order of the checks. Checks that a restart would disturb run alone, at the end. */
export async function runChecks(checks: readonly Check[], target: Target, options: RunOptions = {}): Promise<Result[]> {
  const { timeoutMs = CHECK_TIMEOUT_MS, parallel = PARALLEL, ended = () => {} } = options;
  const results = new Map<Check, Result>();
  const run = async (check: Check): Promise<void> => {
    const result = await runCheck(check, target, timeoutMs);
    results.set(check, result);
    ended(result);
  };
  const alone = checks.filter(({ needs }) => needs === 'block' || needs === 'restart');
  const open = checks.filter((check) => !alone.includes(check)).values();
  const workers = Array.from({ length: parallel }, async () => {
    for (const check of open) await run(check);
  });
  await Promise.all(workers);
  for (const check of alone) await run(check);
  return checks.map((check) => results.get(check)!);
}

/** Runs one check, and removes what it left behind. */
export async function runCheck(check: Check, target: Target, timeoutMs: number): Promise<Result> {
  const endpoint = target.endpoints[check.protocol];
  const skip = (message: string): Result => {
    return { check, outcome: OUTCOME.skipped, message, notes: [], timedOut: false, durationMs: 0 };
  };
  if (endpoint === undefined) return skip(`the broker has no address for ${check.protocol}`);
  if (check.webSocket && endpoint.webSocket === undefined) {
    return skip(`the broker has no address for ${check.protocol} over WebSocket`);
  }
  if (check.tls && endpoint.tls === undefined) {
    return skip(`the broker has no address for ${check.protocol} over TLS, or the runner no certificate`);
  }
  if (check.needs !== null && target.controls[check.needs] === undefined) {
    return skip(`needs a broker that the runner can '${check.needs}'`);
  }
  const started = performance.now();
  const end = (outcome: Outcome, message: string, notes: readonly string[], timedOut = false): Result => {
    return { check, outcome, message, notes, timedOut, durationMs: performance.now() - started };
  };
  const abort = new AbortController();
  const notes: string[] = [];
  const cleanUps: (() => void | Promise<void>)[] = [];
  const prefix = `conformance-${check.id}-${randomBytes(6).toString('hex')}`;
  let names = 0;
  const context: CheckContext = {
    endpoint,
    controls: target.controls,
    signal: abort.signal,
    name: () => `${prefix}-${++names}`,
    after: (cleanUp) => cleanUps.push(cleanUp),
    note: (line) => {
      notes.push(line);
      if (notes.length > NOTES) notes.shift();
    },
  };
  let result: Result;
  try {
    await within(timeoutMs, check.run(context), () => abort.abort());
    result = end(OUTCOME.passed, '', []);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof Skip) result = end(OUTCOME.skipped, message, []);
    else result = end(OUTCOME.failed, message, [...notes], error instanceof OutOfTime);
  }
  abort.abort();
  const cleaning = (async () => {
    for (const cleanUp of cleanUps.reverse()) await cleanUp();
  })();
  // The check has its result; a failed clean-up is not a broken rule.
  await within(CLEAN_UP_MS, cleaning, () => {}).catch(() => {});
  return result;
}

class OutOfTime extends Error {}

async function within(timeoutMs: number, work: Promise<void>, late: () => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new OutOfTime(`no answer within ${timeoutMs} ms`));
      late();
    }, timeoutMs);
  });
  try {
    await Promise.race([work, bound]);
  } finally {
    clearTimeout(timer);
    work.catch(() => {});
  }
}
