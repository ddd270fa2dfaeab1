// Headers exchange (AMQP 0-9-1 §3.1.3.4, with RabbitMQ's `all-with-x` and `any-with-x`): a binding's arguments are
// compared with the message's headers. A binding argument of type void only requires that the header exists. Arguments
// that start with `x-` are not compared unless the mode ends in `-with-x`.

import { BrokerError } from '../errors.ts';
import {
  type FieldTable,
  type FieldValue,
  fieldFinder,
  findField,
  integerOf,
  sameValue,
  textOf,
} from '../message/field-table.ts';
import type { Binding } from './exchange.ts';
import { Exchange } from './exchange.ts';
import type { Route } from './route.ts';

const MODES = ['all', 'any', 'all-with-x', 'any-with-x'] as const;
type Mode = (typeof MODES)[number];

/** Each message is compared with the arguments of all bindings. */
const MOST_FIELDS = 256;

interface Matcher {
  readonly binding: Binding;
  readonly any: boolean;
  readonly fields: FieldTable;
}

export class HeadersExchange extends Exchange {
  readonly kind = 'headers';
  private readonly matchers = new Map<Binding, Matcher>();

  override admit(args: FieldTable): void {
    if (args.length <= MOST_FIELDS) return;
    const text = `a binding of a headers exchange has at most ${MOST_FIELDS} arguments, not ${args.length}`;
    throw new BrokerError('limit-exceeded', text);
  }

  protected override get readsMessage(): boolean {
    return true;
  }

  match(route: Route): boolean {
    if (this.matchers.size === 0) return false;
    const find = fieldFinder(route.message.properties().headers);
    let matched = false;
    for (const matcher of this.matchers.values()) {
      if (!matches(matcher, find)) continue;
      matched = true;
      route.follow(matcher.binding);
    }
    return matched;
  }

  protected mayMatch(): boolean {
    return true;
  }

  protected file(binding: Binding): void {
    const mode = modeOf(binding.args);
    const withX = mode === 'all-with-x' || mode === 'any-with-x';
    this.matchers.set(binding, {
      binding,
      any: mode === 'any' || mode === 'any-with-x',
      fields: binding.args.filter((field) => field.name !== 'x-match' && (withX || !field.name.startsWith('x-'))),
    });
  }

  protected unfile(binding: Binding): void {
    this.matchers.delete(binding);
  }
}

function modeOf(args: FieldTable): Mode {
  const given = findField(args, 'x-match');
  if (given === null) return 'all';
  const mode = textOf(given);
  for (const known of MODES) if (known === mode) return known;
  const shown = given.type === 'S' ? `<<"${String(given.value)}">>` : `a field of type ${given.type}`;
  const known = `${MODES.slice(0, -1).join(', ')}, or ${MODES[MODES.length - 1]}`;
  throw new BrokerError('precondition-failed', `Invalid x-match field value ${shown}; expected ${known}`);
}

/** `all` of no fields matches everything, `any` of no fields matches nothing, as in RabbitMQ. */
function matches(matcher: Matcher, find: (name: string) => FieldValue | null): boolean {
  for (const field of matcher.fields) {
    const header = find(field.name);
    const same = header !== null && (field.value.type === 'V' || equalHeaders(field.value, header));
    if (same === matcher.any) return matcher.any;
  }
  return !matcher.any;
}

/** Numbers by value, whatever their type: 1 matches 1.0, as in RabbitMQ. */
function equalHeaders(a: FieldValue, b: FieldValue): boolean {
  const [x, y] = [numberOf(a), numberOf(b)];
  return x !== null && y !== null && (isFloat(a) || isFloat(b)) ? x === y : sameValue(a, b);
}

function isFloat({ type }: FieldValue): boolean {
  return type === 'f' || type === 'd';
}

function numberOf(value: FieldValue): number | null {
  return value.type === 'f' || value.type === 'd' ? value.value : integerOf(value);
}
