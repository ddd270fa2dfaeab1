// What a message becomes when it dies in a queue: the dead letter's properties, and where it may not go. Pure. The rules
// are RabbitMQ's (dead letter exchanges, 3.10), because its users' code reads these headers.

import type { Field, FieldTable, FieldValue } from '../message/field-table.ts';
import { findField, integerOf, textField, textOf } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import type { Properties } from '../message/properties.ts';
import type { Death } from '../queue/death-reason.ts';

type Table = Extract<FieldValue, { type: 'F' }>;

/**
 * The properties of a message that died in `queue`: one more death in `x-death`, the first one in `x-first-death-…`, no
 * expiration. Where it gets a routing key of the queue's (`readdressed`) its further keys go.
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

/** Further routing keys that a message was published with, as far as its receivers may know (header CC). */
export function furtherKeys(headers: FieldTable): string[] {
  const field = findField(headers, 'CC');
  if (field === null || field.type !== 'A') return [];
  const keys: string[] = [];
  for (const item of field.value) if (item.type === 'S') keys.push(item.value.toString());
  return keys;
}

/**
 * Whether a dead letter with these headers has been in that queue before and came back to it by itself: with no rejection
 * on the way. It must not go there again, because that would never end.
 */
export function isAutomaticCycle(headers: FieldTable, queue: string, death: Death): boolean {
  if (death === 'rejected') return false;
  const deaths = findField(headers, 'x-death');
  if (deaths === null || deaths.type !== 'A') return false;
  for (const each of deaths.value) {
    // Not written by a broker: whoever did it had a hand in it.
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

/** Deaths are counted by queue and reason; the latest kind stands in front. */
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
  // Something else of that name came from a client: it makes room.
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
