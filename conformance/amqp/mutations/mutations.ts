// The mutations of AMQP 0-9-1, by subject, and the checks that they are named for.

import { type MutationSet, mutationSet } from '../../mutations/set.ts';
import type { AmqpMutation } from './breaking.ts';
import { CONNECTION_MUTATIONS } from './connection.ts';
import { CONSUME_MUTATIONS } from './consume.ts';
import { CONTENT_MUTATIONS } from './content.ts';
import { EXCHANGE_MUTATIONS } from './exchange.ts';
import { FRAMING_MUTATIONS } from './framing.ts';
import { AMQP_NAMES } from './names.ts';
import { AMQP_FORMAT } from './packets.ts';
import { PUBLISH_MUTATIONS } from './publish.ts';
import { QUEUE_MUTATIONS } from './queue.ts';
import { QUEUE_KIND_MUTATIONS } from './queue-kinds.ts';
import { ROUTING_MUTATIONS } from './routing.ts';

const MUTATIONS: readonly AmqpMutation[] = [
  ...CONNECTION_MUTATIONS,
  ...FRAMING_MUTATIONS,
  ...EXCHANGE_MUTATIONS,
  ...QUEUE_MUTATIONS,
  ...QUEUE_KIND_MUTATIONS,
  ...ROUTING_MUTATIONS,
  ...PUBLISH_MUTATIONS,
  ...CONSUME_MUTATIONS,
  ...CONTENT_MUTATIONS,
];

export const AMQP_MUTATIONS: MutationSet = mutationSet('amqp', AMQP_FORMAT, MUTATIONS, AMQP_NAMES);
