// A second declaration of an exchange or queue must be equivalent to the first (AMQP 0-9-1 §1.7.2.1, rule
// "equivalent"). The error texts are RabbitMQ's, because its users search for them.

import { BrokerError } from '../errors.ts';
import type { Exchange } from '../exchange/exchange.ts';
import {
  FIELD_TYPE_NAMES,
  type FieldTable,
  type FieldValue,
  findField,
  sameValue,
  textOf,
} from '../message/field-table.ts';
import type { Queue } from '../queue/queue.ts';
import { COMPARED_ARGUMENTS } from '../queue/queue-arguments.ts';
import type { ExchangeDeclaration, QueueDeclaration } from './declarations.ts';

/** Exchange arguments that are compared. */
const EXCHANGE_ARGUMENTS = ['alternate-exchange'] as const;

/** Throws precondition-failed if the declaration differs from the exchange. */
export function requireSameExchange(known: Exchange, asked: ExchangeDeclaration, vhost: string): void {
  const what = `exchange '${known.name}' in vhost '${vhost}'`;
  requireSame('type', asked.kind, known.kind, what);
  requireSame('durable', asked.durable, known.durable, what);
  requireSame('auto_delete', asked.autoDelete, known.autoDelete, what);
  requireSame('internal', asked.internal, known.internal, what);
  for (const name of EXCHANGE_ARGUMENTS) requireSameArgument(name, asked.args, known.args, what);
}

/** Throws precondition-failed if the declaration differs from the queue, resource-locked if its exclusivity does. */
export function requireSameQueue(known: Queue, asked: QueueDeclaration, vhost: string): void {
  const what = `queue '${known.name}' in vhost '${vhost}'`;
  requireSame('durable', asked.durable, known.durable, what);
  if ((asked.owner === null) !== (known.owner === null)) {
    throw new BrokerError(
      'resource-locked',
      `cannot obtain exclusive access to locked ${what}. It could be originally declared on another connection or the ` +
        'exclusive property value does not match that of the original declaration.',
    );
  }
  requireSame('auto_delete', asked.autoDelete, known.autoDelete, what);
  requireSameType(asked.args, known.args, what);
  for (const name of COMPARED_ARGUMENTS) requireSameArgument(name, asked.args, known.args, what);
}

function requireSame(name: string, asked: string | boolean, known: string | boolean, what: string): void {
  if (asked === known) return;
  throw new BrokerError(
    'precondition-failed',
    `inequivalent arg '${name}' for ${what}: received '${asked}' but current is '${known}'`,
  );
}

/** The type `classic` is equal to no type. */
function requireSameType(asked: FieldTable, known: FieldTable, what: string): void {
  const type = 'x-queue-type';
  if ((textOf(findField(asked, type)) ?? 'classic') === (textOf(findField(known, type)) ?? 'classic')) return;
  requireSameArgument(type, asked, known, what);
}

function requireSameArgument(name: string, asked: FieldTable, known: FieldTable, what: string): void {
  const received = findField(asked, name);
  const current = findField(known, name);
  if (received === null && current === null) return;
  if (received !== null && current !== null && sameValue(received, current)) return;
  // As RabbitMQ: types are named only if one of the two values is missing.
  const show = received !== null && current !== null ? shownWithoutType : shown;
  throw new BrokerError(
    'precondition-failed',
    `inequivalent arg '${name}' for ${what}: received ${show(received)} but current is ${show(current)}`,
  );
}

function shown(value: FieldValue | null): string {
  if (value === null) return 'none';
  const type = FIELD_TYPE_NAMES[value.type];
  if (value.type === 'F' || value.type === 'A') return `a value of type '${type}'`;
  if (value.type === 'D') return `the value '${value.value.unscaled}e-${value.value.scale}' of type '${type}'`;
  return `the value '${String(value.value)}' of type '${type}'`;
}

function shownWithoutType(value: FieldValue | null): string {
  if (value === null || typeof value.value === 'object') return shown(value);
  return `'${String(value.value)}'`;
}
