// The properties of a dead letter, and the queues to which it may not return. Pure functions. The rules are RabbitMQ's
// (dead letter exchanges, 3.10), because its users' code reads these headers.

import type { Field, FieldTable, FieldValue } from '../message/field-table.ts';
import { findField, integerOf, textField, textOf } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import type { Properties } from '../message/properties.ts';
import type { Death } from '../queue/death-reason.ts';

type Table = Extract<FieldValue, { type: 'F' }>;

/** One death of a message. */
export interface DeathEvent {
  readonly queue: string;
  readonly death: Death;
  readonly nowMs: number;
  /** Whether the queue sets the routing key of its dead letters. */
  readonly readdressed: boolean;
}

/** Field of the newest element of `x-death`, beside RabbitMQ's: copies that the deaths of the message have made of it. */
const COPIES = 'copies';

/**
 * The properties of a message that died: one more element of `x-death`, `x-first-death-…` at the first death, no
 * expiration. If the queue sets a routing key the CC header is removed. `copies` is noted in the element if it is more
 * than 1.
 */
export function propertiesOfDead(message: Message, event: DeathEvent, copies: number): Properties {
  const { queue, death, nowMs, readdressed } = event;
  const properties = message.properties();
  const fields = eventOf(message, queue, death, nowMs);
  if (copies > 1) fields.push({ name: COPIES, value: { type: 'l', value: BigInt(copies) } });
  let headers = withDeath(properties.headers, queue, death, fields);
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

/** The elements of `x-death`, the latest first; none if a client set the header to something else. */
export function deathsOf(headers: FieldTable): readonly FieldValue[] {
  const deaths = findField(headers, 'x-death');
  return deaths?.type === 'A' ? deaths.value : [];
}

/** Whether a message dies without a client's doing: it was neither rejected nor delivered too often. */
export function isAutomatic(death: Death): boolean {
  return death === 'expired' || death === 'maxlen';
}

/** Copies of the message that its deaths have made, this one included: 1 unless the latest death says more. */
export function copiesOf(headers: FieldTable): number {
  const latest = deathsOf(headers)[0];
  const copies = latest?.type === 'F' ? integerOf(findField(latest.value, COPIES)) : null;
  return copies !== null && copies > 0 && Number.isSafeInteger(copies) ? copies : 1;
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

/**
 * Deaths are counted by queue and reason; the latest comes first. Headers of RabbitMQ before 3.5 have an element for each
 * death and no count: elements of the same queue and reason are counted into the first.
 */
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
  const deaths = known.type === 'A' ? grouped(known.value) : [];
  const same = (each: FieldValue): boolean =>
    each.type === 'F' &&
    textOf(findField(each.value, 'queue')) === queue &&
    textOf(findField(each.value, 'reason')) === death;
  const before = deaths.find(same);
  const latest =
    before === undefined
      ? counted(event, 1n)
      : counted(again((before as Table).value, event), countOf(before as Table) + 1n);
  return [...others, deathsField([latest, ...deaths.filter((each) => !same(each))])];
}

/** The elements with each queue and reason once. A single one, and one that is no table, stays as it is. */
function grouped(deaths: readonly FieldValue[]): readonly FieldValue[] {
  if (deaths.length < 2) return deaths;
  const byKey = new Map<string, { readonly first: Table; count: bigint }>();
  const kept: (FieldValue | { readonly first: Table; count: bigint })[] = [];
  for (const each of deaths) {
    if (each.type !== 'F') {
      kept.push(each);
      continue;
    }
    const key = JSON.stringify([textOf(findField(each.value, 'queue')), textOf(findField(each.value, 'reason'))]);
    const known = byKey.get(key);
    if (known !== undefined) known.count++;
    else {
      const group = { first: each, count: 1n };
      byKey.set(key, group);
      kept.push(group);
    }
  }
  return kept.map((each) => {
    if (!('first' in each)) return each;
    return countOf(each.first) > 0n ? each.first : counted(each.first.value, each.count);
  });
}

function deathsField(deaths: readonly FieldValue[]): Field {
  return { name: 'x-death', value: { type: 'A', value: deaths } };
}

function counted(event: FieldTable, count: bigint): Table {
  const fields = event.filter(({ name }) => name !== 'count');
  return { type: 'F', value: [{ name: 'count', value: { type: 'l', value: count } }, ...fields] };
}

/** The element of a death that happened before: only its copies are those of this time. */
function again(before: FieldTable, event: FieldTable): FieldTable {
  const copies = event.filter(({ name }) => name === COPIES);
  return [...before.filter(({ name }) => name !== COPIES), ...copies];
}

function countOf(event: Table): bigint {
  const count = integerOf(findField(event.value, 'count'));
  return count !== null && count > 0 && Number.isSafeInteger(count) ? BigInt(count) : 0n;
}
