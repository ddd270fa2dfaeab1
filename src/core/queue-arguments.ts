// The arguments of a queue declaration that the core knows, checked before the queue exists. An argument that asks for a
// behaviour which is not there yet is refused: a queue that silently ignored its TTL or its dead-letter exchange would be
// worse than none.

import { BrokerError } from './errors.ts';
import { type FieldTable, findField, textOf } from './field-table.ts';

/** RabbitMQ's queue arguments that change what happens to messages and that this version does not implement. */
const NOT_YET = new Set([
  'x-message-ttl',
  'x-expires',
  'x-max-length',
  'x-max-length-bytes',
  'x-overflow',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-dead-letter-strategy',
  'x-max-priority',
  'x-single-active-consumer',
  'x-delivery-limit',
]);

/** Throws precondition-failed for arguments that cannot be honoured. Unknown ones are kept and have no meaning. */
export function checkQueueArguments(args: FieldTable, queue: string, vhost: string): void {
  for (const field of args) {
    if (NOT_YET.has(field.name)) {
      throw new BrokerError(
        'precondition-failed',
        `invalid arg '${field.name}' for queue '${queue}' in vhost '${vhost}': not supported by this version`,
      );
    }
  }
  const type = findField(args, 'x-queue-type');
  if (type !== null && textOf(type) !== 'classic') {
    throw new BrokerError(
      'precondition-failed',
      `invalid arg 'x-queue-type' for queue '${queue}' in vhost '${vhost}': known is 'classic'`,
    );
  }
}
