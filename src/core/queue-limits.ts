// What bounds a queue, and what it does with a message that is too much (RabbitMQ's x-max-length, x-max-length-bytes,
// x-overflow). Pure: the functions here say what to do, the queue does it. Only ready messages count, not those that are
// out unacknowledged.

import { BrokerError } from './errors.ts';
import { FIELD_TYPE_NAMES, type FieldTable, findField, integerOf, textOf } from './field-table.ts';

export const OVERFLOWS = ['drop-head', 'reject-publish'] as const;
/** The oldest messages go, or the newest is refused (its publisher gets a nack). */
export type Overflow = (typeof OVERFLOWS)[number];

export interface QueueLimits {
  /** Infinity where there is no bound. */
  readonly maxLength: number;
  /** Of bodies. */
  readonly maxBytes: number;
  readonly overflow: Overflow;
}

/** The limits that a queue is declared with; null: none. Throws precondition-failed, in RabbitMQ's words. */
export function readQueueLimits(args: FieldTable, queue: string, vhost: string): QueueLimits | null {
  const invalid = (name: string, why: string): BrokerError =>
    new BrokerError('precondition-failed', `invalid arg '${name}' for queue '${queue}' in vhost '${vhost}': ${why}`);
  const bound = (name: string): number => {
    const field = findField(args, name);
    if (field === null) return Number.POSITIVE_INFINITY;
    const value = integerOf(field);
    if (value === null) throw invalid(name, `"expected integer, got ${FIELD_TYPE_NAMES[field.type]}"`);
    if (value < 0) throw invalid(name, `{value_negative,${value}}`);
    return value;
  };
  const maxLength = bound('x-max-length');
  const maxBytes = bound('x-max-length-bytes');
  const field = findField(args, 'x-overflow');
  const asked = field === null ? 'drop-head' : textOf(field);
  const overflow = OVERFLOWS.find((known) => known === asked);
  if (overflow === undefined) throw invalid('x-overflow', 'invalid_overflow');
  if (maxLength === Number.POSITIVE_INFINITY && maxBytes === Number.POSITIVE_INFINITY) return null;
  return { maxLength, maxBytes, overflow };
}

/** Whether a queue with so many ready messages of so many bytes refuses one more. */
export function refusesMore(limits: QueueLimits, count: number, bytes: number): boolean {
  return limits.overflow === 'reject-publish' && (count >= limits.maxLength || bytes >= limits.maxBytes);
}

/** Whether a queue with so many ready messages of so many bytes has to drop its oldest. */
export function dropsHead(limits: QueueLimits, count: number, bytes: number): boolean {
  return limits.overflow === 'drop-head' && (count > limits.maxLength || bytes > limits.maxBytes);
}
