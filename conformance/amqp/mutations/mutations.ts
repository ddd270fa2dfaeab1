// The mutations of AMQP 0-9-1, by subject, and the checks that they are named for.

import { type MutationSet, mutationSet } from '../../mutations/set.ts';
import { CONNECTION_MUTATIONS } from './connection.ts';
import { AMQP_NAMES } from './names.ts';
import { AMQP_FORMAT } from './packets.ts';

export const AMQP_MUTATIONS: MutationSet = mutationSet('amqp', AMQP_FORMAT, [...CONNECTION_MUTATIONS], AMQP_NAMES);
