// The mutations of one protocol, each named for the checks that must notice it, and what is wrong with the names.

import type { Check, Endpoint, Protocol } from '../check.ts';
import type { Mutation, Packet, PacketFormat } from './mutation.ts';
import { type BreakingProxy, startProxy } from './proxy.ts';
import type { Transport } from './transport.ts';

/** For a check, by its id without the protocol, the mutations that fail it, separated by spaces. */
export type Names = Readonly<Record<string, string>>;

export interface MutationSet {
  readonly protocol: Protocol;
  readonly mutations: readonly Pick<Mutation<Packet>, 'id' | 'breaks' | 'withholds'>[];
  readonly names: Names;
  /** A broker that breaks this rule, in front of the one there; null breaks none. */
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

/** The mutations that are named for a check. */
export function namedFor({ protocol, names }: MutationSet, { id }: Check): string[] {
  const named = names[id.slice(protocol.length + 1)];
  return named === undefined ? [] : named.split(' ').filter((name) => name !== '');
}

/** Checks without a mutation, and names that stand for nothing, as sentences. */
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
