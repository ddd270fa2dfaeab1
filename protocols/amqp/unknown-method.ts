// A method that exists but may not be sent to a broker, or not now; or one that does not exist at all.

import { AmqpError, REPLY } from './amqp-error.ts';
import { METHOD } from './method-ids.ts';

const KNOWN = new Set<number>(Object.values(METHOD));

export function isKnownMethod(method: number): boolean {
  return KNOWN.has(method);
}

/** COMMAND_INVALID for a method of the protocol, NOT_IMPLEMENTED for any other. */
export function unknownMethod(method: number): AmqpError {
  const classId = method >>> 16;
  const methodId = method & 0xffff;
  // RabbitMQ's word for what only a broker may send.
  if (KNOWN.has(method)) return new AmqpError(REPLY.commandInvalid, 'unimplemented method');
  return new AmqpError(REPLY.notImplemented, `unknown method {${classId},${methodId}}`);
}
