// What a coverage list is: the normative statements of a protocol in words of our own, and for each the checks that show
// it, or why no client can see it. It answers the question that a list of checks leaves open: what is not checked?

import type { Check, Protocol } from './check.ts';

export const BINDS = { must: 'MUST', should: 'SHOULD', may: 'MAY', extension: 'extension' } as const;
export type Binds = (typeof BINDS)[keyof typeof BINDS];

export interface Statement {
  /** Where it stands in the specification, in the manner of the protocol. */
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
 * Shown by these checks: ids without their protocol, separated by spaces; one that ends in `*` is every check that
 * begins so.
 */
export const by = (checks: string): Coverage => ({ checks });

/** Not to be seen by a client, because of this. */
export const unseen = (why: string): Coverage => ({ unseen: why });

/** Statements without coverage, names that stand for nothing, and checks that stand for no statement, as sentences. */
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
