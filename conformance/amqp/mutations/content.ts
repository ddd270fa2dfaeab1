// Mutations of properties, headers and bodies.

import { FRAME } from '../wire/frames.ts';
import { PROPERTIES, type Properties } from '../wire/methods.ts';
import type { Table, Value } from '../wire/table.ts';
import {
  type AmqpMutation,
  altersDelivery,
  type Message,
  refuses,
  refusesPackets,
  withBody,
  withProperties,
} from './breaking.ts';
import type { AmqpPacket } from './packets.ts';

const DEEPEST = 8;

/** Replaces headers, if the message has any. */
function withHeaders(message: Message, change: (headers: Table) => Table): readonly AmqpPacket[] {
  const { headers, ...others } = message.header.properties;
  return headers === undefined ? message.packets : withProperties(message, { ...others, headers: change(headers) });
}

/** Another value of the same type. */
function another(field: Value): Value {
  switch (field.type) {
    case 't':
      return { ...field, value: !field.value };
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
      return { ...field, value: field.value ^ 1 };
    case 'f':
    case 'd':
      return { ...field, value: field.value / 2 };
    case 'l':
    case 'L':
    case 'T':
      return { ...field, value: field.value + 1n };
    case 'D':
      return { ...field, scale: field.scale + 1 };
    case 'S':
      return { ...field, value: `${field.value} ` };
    case 'x':
      return { ...field, value: field.value.subarray(1) };
    case 'A':
      return { ...field, value: field.value.length === 0 ? [{ type: 'V' }] : field.value.slice(1) };
    case 'F':
      return { ...field, value: { ...field.value, more: { type: 'V' } } };
    case 'V':
      return { type: 'S', value: '' };
  }
}

/** The same value with another type, as brokers convert that know fewer types. */
function retyped(field: Value): Value {
  switch (field.type) {
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
      return { type: 'l', value: BigInt(field.value) };
    case 'l':
    case 'L':
    case 'T':
      return { type: 'S', value: String(field.value) };
    case 'f':
      return { type: 'd', value: field.value };
    case 'd':
    case 'D':
    case 't':
      return { type: 'S', value: String(field.value) };
    case 'x':
      return { type: 'S', value: field.value.toString('latin1') };
    case 'S':
      return { type: 'x', value: Buffer.from(field.value) };
    case 'A':
      return { type: 'F', value: Object.fromEntries(field.value.map((value, index) => [`${index}`, value])) };
    case 'F':
      return { type: 'A', value: Object.values(field.value) };
    case 'V':
      return { type: 't', value: false };
  }
}

function flattened(field: Value, depth: number): Value {
  if (depth === DEEPEST) return { type: 'V' };
  if (field.type === 'A') return { ...field, value: field.value.map((value) => flattened(value, depth + 1)) };
  if (field.type !== 'F') return field;
  return { ...field, value: mapped(field.value, (value) => flattened(value, depth + 1)) };
}

function mapped(table: Table, change: (value: Value) => Value): Table {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, change(value)]));
}

function isEmpty(value: unknown): boolean {
  return value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
}

export const CONTENT_MUTATIONS: readonly AmqpMutation[] = [
  ...(Object.keys(PROPERTIES) as (keyof Properties)[]).map((name) =>
    altersDelivery(`property.${name}`, `loses the property ${name}`, (message) => {
      const { [name]: lost, ...others } = message.header.properties;
      return lost === undefined ? message.packets : withProperties(message, others);
    }),
  ),
  altersDelivery('properties.stamped', 'adds a timestamp to messages', (message) => {
    return withProperties(message, { ...message.header.properties, timestamp: 1n });
  }),
  altersDelivery('properties.empty-dropped', 'drops properties that are empty', (message) => {
    const kept = Object.entries(message.header.properties).filter(([, value]) => !isEmpty(value));
    return withProperties(message, Object.fromEntries(kept));
  }),
  altersDelivery('properties.cut', 'cuts properties at 127 octets', (message) => {
    const cut = Object.entries(message.header.properties).map(([name, value]) => {
      return [name, typeof value === 'string' ? value.slice(0, 127) : value];
    });
    return withProperties(message, Object.fromEntries(cut));
  }),
  refusesPackets('properties.one-word', 'knows one word of property flags', 502, ({ type, payload }) => {
    return type === FRAME.header && payload.length >= 14 && (payload.readUInt16BE(12) & 1) === 1;
  }),
  altersDelivery('field.value', 'changes the value of a header', (message) => {
    return withHeaders(message, (headers) => mapped(headers, another));
  }),
  altersDelivery('field.type', 'changes the type of a header', (message) => {
    return withHeaders(message, (headers) => mapped(headers, retyped));
  }),
  altersDelivery('headers.sorted', 'sorts headers by their name', (message) => {
    return withHeaders(message, (headers) => Object.fromEntries(Object.entries(headers).sort()));
  }),
  altersDelivery('headers.shallow', `forgets what is nested deeper than ${DEEPEST}`, (message) => {
    return withHeaders(message, (headers) => mapped(headers, (value) => flattened(value, 0)));
  }),
  altersDelivery('headers.few', 'keeps 128 headers', (message) => {
    return withHeaders(message, (headers) => Object.fromEntries(Object.entries(headers).slice(0, 128)));
  }),
  altersDelivery('headers.names-cut', 'cuts the names of headers at 64 octets', (message) => {
    return withHeaders(message, (headers) => {
      return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.slice(0, 64), value]));
    });
  }),
  refuses('arguments.known-only', 'refuses arguments that it does not know', 'queue.bind', 406, (args) => {
    return Object.keys(args.arguments).length > 0;
  }),
  altersDelivery('content.second-properties', 'gives the second receiver other properties', (message, talk) => {
    return talk.times('deliver') === 0 ? message.packets : withProperties(message, {});
  }),
  altersDelivery('content.second-body', 'gives the second receiver another body', (message, talk) => {
    return talk.times('deliver') === 0 ? message.packets : withBody(message, Buffer.from('other'));
  }),
];
