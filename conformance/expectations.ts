// The recorded results of another broker, by package version: the checks that it passes, and why it fails the others.
// Every difference from the record is reported.

import { readFile } from 'node:fs/promises';
import { OUTCOME, type Outcome, type Result } from './runner.ts';

export interface Expectations {
  readonly peer: string;
  /** The package version, as the system names it. */
  readonly version: string;
  /** `*`: all others. */
  readonly passed: readonly string[];
  /** Checks that it fails, and what it does instead. */
  readonly failed: Readonly<Record<string, string>>;
  /** Checks among `failed` and `varies` that may fail by timeout: an expected answer never comes. */
  readonly late?: readonly string[];
  /** Checks whose result varies, and which race in the broker is the reason. */
  readonly varies?: Readonly<Record<string, string>>;
  /** Checks that could not run against it. */
  readonly skipped: readonly string[];
}

export async function readExpectations(path: string | URL): Promise<Expectations> {
  return JSON.parse(await readFile(path, 'utf8')) as Expectations;
}

/** Results that differ from the record, as sentences. */
export function unexpected(results: readonly Result[], expectations: Expectations): string[] {
  const { passed, failed, varies = {}, skipped, peer, version } = expectations;
  const problems: string[] = [];
  for (const { check, outcome, message } of results) {
    const { id } = check;
    if (id in varies && outcome !== OUTCOME.skipped) continue;
    const recorded =
      id in failed
        ? OUTCOME.failed
        : skipped.includes(id)
          ? OUTCOME.skipped
          : passed.includes(id) || passed.includes('*')
            ? OUTCOME.passed
            : null;
    if (recorded === outcome) continue;
    // A certificate needs openssl on the runner's machine: if it is missing, that is not a result of the broker.
    if (check.tls && outcome === OUTCOME.skipped && recorded !== null) continue;
    const known = recorded === null ? 'nothing is recorded' : `${recorded} is recorded`;
    problems.push(`${peer} ${version}: ${id}: ${known}, but it ${outcome}${message === '' ? '' : `: ${message}`}`);
  }
  return problems;
}

/**
 * The results as a record of this peer. It keeps the reasons given before, and the results of checks that did not run.
 */
export function record(results: readonly Result[], before: Expectations): Expectations {
  const run = new Set(results.map(({ check }) => check.id));
  const notRun = (ids: readonly string[]): string[] => ids.filter((id) => !run.has(id));
  const { varies = {} } = before;
  const steady = results.filter(({ check }) => !(check.id in varies));
  const ids = (wanted: Outcome): string[] => {
    return steady.filter(({ outcome }) => outcome === wanted).map(({ check }) => check.id);
  };
  const failed = steady
    .filter(({ outcome }) => outcome === OUTCOME.failed)
    .map(({ check, message }) => [check.id, before.failed[check.id] ?? message] as const);
  const late = steady.filter(({ outcome, timedOut }) => outcome === OUTCOME.failed && timedOut);
  const lateBefore = (before.late ?? []).filter((id) => !run.has(id) || id in varies);
  const allLate = [...lateBefore, ...late.map(({ check }) => check.id)];
  const { peer, version } = before;
  return {
    peer,
    version,
    failed: Object.fromEntries([...Object.entries(before.failed).filter(([id]) => !run.has(id)), ...failed]),
    ...(allLate.length === 0 ? {} : { late: allLate }),
    ...(before.varies === undefined ? {} : { varies }),
    skipped: [...notRun(before.skipped), ...ids(OUTCOME.skipped)],
    passed: [...notRun(before.passed), ...ids(OUTCOME.passed)],
  };
}
