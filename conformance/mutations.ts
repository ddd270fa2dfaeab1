// Every set of mutations of the kit, in the order of the protocols.

import { AMQP_MUTATIONS } from './amqp/mutations/mutations.ts';
import { MQTT_MUTATIONS } from './mqtt/mutations/mutations.ts';
import type { MutationSet } from './mutations/set.ts';
import { STOMP_MUTATIONS } from './stomp/mutations/mutations.ts';

export const MUTATION_SETS: readonly MutationSet[] = [AMQP_MUTATIONS, MQTT_MUTATIONS, STOMP_MUTATIONS];
