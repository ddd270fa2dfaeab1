// A coverage list: the normative statements of a protocol, paraphrased, and for each the checks that show it, or why no
// client can observe it. It shows what is not checked.

import type { Check, Protocol } from './check.ts';

export const BINDS = { must: 'MUST', should: 'SHOULD', may: 'MAY', extension: 'extension' } as const;
export type Binds = (typeof BINDS)[keyof typeof BINDS];

export interface Statement {
  /** Its place in the specification, in the protocol's numbering. */
  readonly id: string;
  readonly binds: Binds;
  readonly words: string;
}

export type Coverage = { readonly checks: string } | { readonly unseen: string };

export interface CoverageList {
  readonly protocol: Protocol;
  readonly statements: readonly Statement[];
  /** By the id of the statement. */
  readonly coverage: Readonly<Record<string, Coverage>>;
}

/**
 * Shown by these checks: ids without their protocol, separated by spaces. An id that ends in `*` means every check with
 * that prefix.
 */
export const by = (checks: string): Coverage => ({ checks });

/** No client can observe it, for this reason. */
export const unseen = (why: string): Coverage => ({ unseen: why });

/**
 * Statements without coverage, names of statements or checks that do not exist, and checks without a statement, as
 * sentences.
 */
export function coverageProblems({ protocol, statements, coverage }: CoverageList, checks: readonly Check[]): string[] {
  const ids = checks.filter((check) => check.protocol === protocol).map(({ id }) => id.slice(protocol.length + 1));
  const named = (name: string): string[] => {
    return ids.filter((id) => (name.endsWith('*') ? id.startsWith(name.slice(0, -1)) : id === name));
  };
  const known = new Set(statements.map(({ id }) => id));
  const names = Object.values(coverage).flatMap((each) => ('checks' in each ? each.checks.split(' ') : []));
  const covered = new Set(names.flatMap(named));
  const saysNothing = ({ id }: Statement): boolean => {
    const each = coverage[id];
    if (each === undefined) return true;
    return ('checks' in each ? each.checks : each.unseen).trim() === '';
  };
  return [
    ...(known.size < statements.length ? [`${protocol}: two statements have one id`] : []),
    ...statements.filter(saysNothing).map(({ id }) => `${protocol}: nothing covers the statement ${id}`),
    ...Object.keys(coverage)
      .filter((id) => !known.has(id))
      .map((id) => `${protocol}: there is no statement ${id}`),
    ...names.filter((name) => named(name).length === 0).map((name) => `${protocol}: there is no check ${name}`),
    ...ids.filter((id) => !covered.has(id)).map((id) => `${protocol}: the check ${id} stands for no statement`),
  ];
}
