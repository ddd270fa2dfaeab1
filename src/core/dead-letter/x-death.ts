// The properties of a dead letter, and the queues to which it may not return. Pure functions. The rules are RabbitMQ's
// (dead letter exchanges, 3.10), because its users' code reads these headers.

import type { Field, FieldTable, FieldValue } from '../message/field-table.ts';
import { findField, integerOf, textField, textOf } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import type { Properties } from '../message/properties.ts';
import type { Death } from '../queue/death-reason.ts';

type Table = Extract<FieldValue, { type: 'F' }>;

/**
 * The properties of a message that died in `queue`: one more element of `x-death`, `x-first-death-…` at the first
 * death, no expiration. If the queue sets a routing key (`readdressed`) the CC header is removed.
 */
export function propertiesOfDead(
  message: Message,
  queue: string,
  death: Death,
  nowMs: number,
  readdressed: boolean,
): Properties {
  const properties = message.properties();
  let headers = withDeath(properties.headers, queue, death, eventOf(message, queue, death, nowMs));
  if (readdressed) headers = headers.filter(({ name }) => name !== 'CC');
  return { ...properties, headers, expiration: null };
}

/**
 * Further routing keys that a message was published with, from the header CC. BCC was removed when it was published.
 */
export function furtherKeys(headers: FieldTable): string[] {
  const field = findField(headers, 'CC');
  if (field === null || field.type !== 'A') return [];
  const keys: string[] = [];
  for (const item of field.value) if (item.type === 'S') keys.push(item.value.toString());
  return keys;
}

/**
 * Whether a dead letter with these headers was in that queue before and came back without a rejection in between. It
 * must not enter the queue again: the cycle would never end.
 */
export function isAutomaticCycle(headers: FieldTable, queue: string, death: Death): boolean {
  if (death === 'rejected') return false;
  const deaths = findField(headers, 'x-death');
  if (deaths === null || deaths.type !== 'A') return false;
  for (const each of deaths.value) {
    // An element that no broker wrote, or a rejection: a client took part, so the cycle is not automatic.
    if (each.type !== 'F' || textOf(findField(each.value, 'reason')) === 'rejected') return false;
    if (textOf(findField(each.value, 'queue')) === queue) return true;
  }
  return false;
}

/** One element of `x-death`, without its count. */
function eventOf(message: Message, queue: string, death: Death, nowMs: number): Field[] {
  const { headers, expiration } = message.properties();
  const keys = [message.routingKey, ...furtherKeys(headers)];
  const event: Field[] = [
    textField('reason', death),
    textField('queue', queue),
    { name: 'time', value: { type: 'T', value: BigInt(Math.floor(nowMs / 1000)) } },
    textField('exchange', message.exchange),
    { name: 'routing-keys', value: { type: 'A', value: keys.map((value) => ({ type: 'S', value })) } },
  ];
  if (expiration !== null) event.push(textField('original-expiration', expiration));
  return event;
}

/** Deaths are counted by queue and reason; the latest comes first. */
function withDeath(headers: FieldTable, queue: string, death: Death, event: readonly Field[]): Field[] {
  const others = headers.filter(({ name }) => name !== 'x-death');
  const known = findField(headers, 'x-death');
  if (known === null) {
    const exchange = textOf(findField(event, 'exchange'))!;
    const first = { 'x-first-death-exchange': exchange, 'x-first-death-queue': queue, 'x-first-death-reason': death };
    const kept = others.filter(({ name }) => !Object.hasOwn(first, name));
    const fields = Object.entries(first).map(([name, value]) => textField(name, value));
    return [...kept, ...fields, deathsField([counted(event, 1n)])];
  }
  // A client set this header to something else: it is replaced.
  const deaths = known.type === 'A' ? known.value : [];
  const same = (each: FieldValue): boolean =>
    each.type === 'F' &&
    textOf(findField(each.value, 'queue')) === queue &&
    textOf(findField(each.value, 'reason')) === death;
  const before = deaths.find(same);
  const latest =
    before === undefined ? counted(event, 1n) : counted((before as Table).value, countOf(before as Table) + 1n);
  return [...others, deathsField([latest, ...deaths.filter((each) => !same(each))])];
}

function deathsField(deaths: readonly FieldValue[]): Field {
  return { name: 'x-death', value: { type: 'A', value: deaths } };
}

function counted(event: FieldTable, count: bigint): Table {
  const fields = event.filter(({ name }) => name !== 'count');
  return { type: 'F', value: [{ name: 'count', value: { type: 'l', value: count } }, ...fields] };
}

function countOf(event: Table): bigint {
  const count = integerOf(findField(event.value, 'count'));
  return count !== null && count > 0 && Number.isSafeInteger(count) ? BigInt(count) : 0n;
}
