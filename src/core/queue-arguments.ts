// The arguments of a queue declaration that the core knows, checked before the queue exists. An argument that asks for a
// behaviour which is not there yet is refused: a queue that silently ignored its TTL or its dead-letter exchange would be
// worse than none.

import { BrokerError } from './errors.ts';
import { type FieldTable, findField, textOf } from './field-table.ts';
import { readQueueLimits } from './queue-limits.ts';

/** RabbitMQ's queue arguments that change what happens to messages and that this version does not implement. */
const NOT_YET = [
  'x-message-ttl',
  'x-expires',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-dead-letter-strategy',
  'x-max-priority',
  'x-single-active-consumer',
  'x-delivery-limit',
] as const;

/** Arguments that a queue must agree in to be the same. RabbitMQ leaves the others out too. */
export const COMPARED_ARGUMENTS = [...NOT_YET, 'x-max-length', 'x-max-length-bytes', 'x-overflow'] as const;

/** RabbitMQ's name of a queue's type; the default is the same as saying so. */
export function queueType(args: FieldTable): string {
  const type = findField(args, 'x-queue-type');
  return type === null ? 'classic' : (textOf(type) ?? `a field of type ${type.type}`);
}

/** Throws precondition-failed for arguments that cannot be honoured. Unknown ones are kept and have no meaning. */
export function checkQueueArguments(args: FieldTable, queue: string, vhost: string): void {
  for (const name of NOT_YET) {
    if (findField(args, name) !== null) {
      throw new BrokerError(
        'precondition-failed',
        `invalid arg '${name}' for queue '${queue}' in vhost '${vhost}': not supported by this version`,
      );
    }
  }
  readQueueLimits(args, queue, vhost);
  if (queueType(args) !== 'classic') {
    throw new BrokerError(
      'precondition-failed',
      `invalid arg 'x-queue-type' for queue '${queue}' in vhost '${vhost}': "unsupported queue type '${queueType(args)}'"`,
    );
  }
}
