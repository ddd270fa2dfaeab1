// Every set of mutations of the kit, in the order of the protocols.

import { AMQP_MUTATIONS } from './amqp/mutations/mutations.ts';
import type { MutationSet } from './mutations/set.ts';

export const MUTATION_SETS: readonly MutationSet[] = [AMQP_MUTATIONS];
