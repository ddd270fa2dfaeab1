// The mutations of one protocol, the checks that must detect each, and validation of these names.

import type { Check, Endpoint, Protocol } from '../check.ts';
import type { Mutation, Packet, PacketFormat } from './mutation.ts';
import { type BreakingProxy, startProxy } from './proxy.ts';
import type { Transport } from './transport.ts';

/** The mutations that fail a check, separated by spaces, by the check's id without the protocol. */
export type Names = Readonly<Record<string, string>>;

export interface MutationSet {
  readonly protocol: Protocol;
  readonly mutations: readonly Pick<Mutation<Packet>, 'id' | 'breaks' | 'withholds'>[];
  readonly names: Names;
  /** Starts a broker that breaks this rule, in front of a real one; null breaks no rule. */
  proxy(mutation: string | null, endpoint: Endpoint, transport?: Transport): Promise<BreakingProxy>;
}

export function mutationSet<P extends Packet>(
  protocol: Protocol,
  format: PacketFormat<P>,
  mutations: readonly Mutation<P>[],
  names: Names,
): MutationSet {
  return {
    protocol,
    mutations,
    names,
    proxy(id, endpoint, transport) {
      const mutation = mutations.find((each) => each.id === id);
      if (id !== null && mutation === undefined) throw new Error(`there is no mutation ${id} of ${protocol}`);
      return startProxy(format, mutation ?? null, endpoint, transport);
    },
  };
}

/** The mutations named for a check. */
export function namedFor({ protocol, names }: MutationSet, { id }: Check): string[] {
  const named = names[id.slice(protocol.length + 1)];
  return named === undefined ? [] : named.split(' ').filter((name) => name !== '');
}

/** Checks without a mutation, and names of checks or mutations that do not exist, as sentences. */
export function misnamed(set: MutationSet, checks: readonly Check[]): string[] {
  const { protocol, mutations, names } = set;
  const own = checks.filter((check) => check.protocol === protocol);
  const ids = new Set(own.map(({ id }) => id.slice(protocol.length + 1)));
  const known = new Set(mutations.map(({ id }) => id));
  const used = new Set(own.flatMap((check) => namedFor(set, check)));
  return [
    ...own.filter((check) => namedFor(set, check).length === 0).map(({ id }) => `${id} has no mutation`),
    ...Object.keys(names)
      .filter((id) => !ids.has(id))
      .map((id) => `mutations are named for ${protocol}.${id}, which is no check`),
    ...[...used].filter((id) => !known.has(id)).map((id) => `${id} is named, and there is no such mutation`),
    ...[...known].filter((id) => !used.has(id)).map((id) => `the mutation ${id} is named for no check`),
    ...(known.size < mutations.length ? ['two mutations have one id'] : []),
  ];
}
