// Runs each check under the mutations that are named for it, and reports which ones it detected.

import { setTimeout as delay } from 'node:timers/promises';
import type { Check } from '../check.ts';
import { CHECK_TIMEOUT_MS, OUTCOME, type Outcome, runCheck, type Target } from '../runner.ts';
import { type MutationSet, namedFor } from './set.ts';

/**
 * How long to wait for a withheld packet, from when the mutation withholds it: longer than a check takes that gets it.
 */
const WITHHELD_MS = 1_000;
/** The same for slow checks. */
const WITHHELD_SLOW_MS = 5_000;
const PARALLEL = 16;

export const VERDICT = {
  /** The check failed because of the mutation. */
  noticed: 'noticed',
  survived: 'survived',
  /** The exchange had no packet for the mutation to change. */
  idle: 'idle',
  /** The check failed by timeout only, although nothing was withheld. */
  late: 'late',
  /** The check cannot run here. */
  skipped: 'skipped',
} as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

export interface Pair {
  readonly check: Check;
  /** Null: through a proxy that changes nothing. */
  readonly mutation: string | null;
}

export interface PairResult extends Pair {
  readonly verdict: Verdict;
  /** The error of the check. */
  readonly message: string;
}

/** Every check with each mutation of its protocol. */
export function allPairs(set: MutationSet, checks: readonly Check[]): Pair[] {
  const own = checks.filter(({ protocol }) => protocol === set.protocol);
  return own.flatMap((check) => set.mutations.map(({ id }) => ({ check, mutation: id })));
}

/** Every check with each mutation that is named for it. */
export function namedPairs(set: MutationSet, checks: readonly Check[]): Pair[] {
  const own = checks.filter(({ protocol }) => protocol === set.protocol);
  return own.flatMap((check) => namedFor(set, check).map((mutation) => ({ check, mutation })));
}

/** The results in the order of the pairs. Checks that would disturb others run alone, at the end. */
export async function runPairs(
  set: MutationSet,
  pairs: readonly Pair[],
  target: Target,
  timeoutMs = CHECK_TIMEOUT_MS,
): Promise<PairResult[]> {
  const results = new Map<Pair, PairResult>();
  const run = async (pair: Pair): Promise<void> => {
    results.set(pair, await runPair(set, pair, target, timeoutMs));
  };
  const alone = pairs.filter(({ check }) => check.needs === 'block' || check.needs === 'restart');
  const open = pairs.filter((pair) => !alone.includes(pair)).values();
  const workers = Array.from({ length: PARALLEL }, async () => {
    for (const pair of open) await run(pair);
  });
  await Promise.all(workers);
  for (const pair of alone) await run(pair);
  return pairs.map((pair) => results.get(pair)!);
}

async function runPair(set: MutationSet, pair: Pair, target: Target, timeoutMs: number): Promise<PairResult> {
  const { check, mutation } = pair;
  const endpoint = target.endpoints[check.protocol];
  if (endpoint === undefined) return { ...pair, verdict: VERDICT.skipped, message: 'no address' };
  const withholds = set.mutations.some(({ id, withholds }) => id === mutation && withholds);
  const proxy = await set.proxy(mutation, endpoint);
  const relenting: Check = {
    ...check,
    run: async (context) => {
      context.signal.addEventListener('abort', () => proxy.relent());
      if (!withholds) return check.run(context);
      const inVain = proxy.acting.then(() => waited(check.fast ? WITHHELD_MS : WITHHELD_SLOW_MS, context.signal));
      return Promise.race([check.run(context), inVain]);
    },
  };
  const through: Target = { ...target, endpoints: { ...target.endpoints, [check.protocol]: proxy.endpoint } };
  try {
    const { outcome, message, timedOut } = await runCheck(relenting, through, timeoutMs);
    const verdict = verdictOf(outcome, proxy.acted, timedOut && !withholds);
    return { ...pair, verdict, message };
  } finally {
    await proxy.stop();
  }
}

/** Rejects when the time is over, unless the check has ended. */
async function waited(ms: number, signal: AbortSignal): Promise<never> {
  await delay(ms, undefined, { signal, ref: false });
  throw new Error(`no answer within ${ms} ms`);
}

function verdictOf(outcome: Outcome, acted: boolean, late: boolean): Verdict {
  if (outcome === OUTCOME.skipped) return VERDICT.skipped;
  if (!acted) return VERDICT.idle;
  if (outcome === OUTCOME.passed) return VERDICT.survived;
  return late ? VERDICT.late : VERDICT.noticed;
}

/** Pairs in which the check did not detect the mutation as it must, as sentences. */
export function unnoticed(results: readonly PairResult[]): string[] {
  return results.flatMap(({ check, mutation, verdict, message }) => {
    switch (verdict) {
      case VERDICT.noticed:
      case VERDICT.skipped:
        return [];
      case VERDICT.survived:
        return [`${check.id} stays green under ${mutation}`];
      case VERDICT.idle:
        return [`${check.id} gives ${mutation} nothing to break${message === '' ? '' : `, and failed: ${message}`}`];
      case VERDICT.late:
        return [`${check.id} notices ${mutation} by its time alone: ${message}`];
      default:
        return verdict satisfies never;
    }
  });
}

const MARK = { noticed: '✖', survived: '✔', idle: ' ', late: '?', skipped: '–' } as const;

/** For each check the mutations that changed something: ✖ if the check failed, and its error. */
export function pairReport(results: readonly PairResult[]): string {
  const lines: string[] = [];
  let above = '';
  for (const { check, mutation, verdict, message } of results) {
    if (verdict === VERDICT.idle) continue;
    if (check.id !== above) lines.push(check.id);
    above = check.id;
    const [said = ''] = message.split('\n');
    lines.push(`  ${MARK[verdict]} ${(mutation ?? 'none').padEnd(32)} ${said.replaceAll(/\p{Cc}/gu, '·')}`);
  }
  const noticed = results.filter(({ verdict }) => verdict === VERDICT.noticed).length;
  return [...lines, '', `${results.length} runs under mutations, ${noticed} of them noticed`, ''].join('\n');
}
