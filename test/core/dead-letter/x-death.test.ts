// The x-death headers as RabbitMQ 3.10 writes them, and its rule about cycles. The expected values were recorded from a
// RabbitMQ broker.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  copiesOf,
  deathsOf,
  furtherKeys,
  isAutomaticCycle,
  propertiesOfDead,
} from '../../../src/core/dead-letter/x-death.ts';
import type { Field, FieldTable, FieldValue } from '../../../src/core/message/field-table.ts';
import { findField, textField } from '../../../src/core/message/field-table.ts';
import type { Properties } from '../../../src/core/message/properties.ts';
import type { Death } from '../../../src/core/queue/death-reason.ts';
import { message } from '../core.ts';

const NOW = 1_795_691_876_999;

type Plain = string | number | bigint | boolean | Plain[] | { [name: string]: Plain } | null;

/** A field table as plain values. */
function plain(table: FieldTable): Record<string, Plain> {
  return Object.fromEntries(table.map(({ name, value }) => [name, plainValue(value)]));
}

function plainValue(value: FieldValue): Plain {
  if (value.type === 'F') return plain(value.value);
  if (value.type === 'A') return value.value.map(plainValue);
  return value.value as Plain;
}

function died(properties: Partial<Properties>, queue = 'q', death: Death = 'expired', readdressed = false): Properties {
  const dead = message({ exchange: 'x', key: 'k', properties });
  return propertiesOfDead(dead, { queue, death, nowMs: NOW, readdressed }, 1);
}

const array = (name: string, value: readonly FieldValue[]): Field => ({ name, value: { type: 'A', value } });
const text = (value: string): FieldValue => ({ type: 'S', value });
const event = (queue: string, reason: string, ...more: Field[]): FieldValue => ({
  type: 'F',
  value: [textField('queue', queue), textField('reason', reason), ...more],
});
const count = (value: bigint): Field => ({ name: 'count', value: { type: 'l', value } });

describe('the x-death header of a message', () => {
  it('has queue, reason, time, exchange and routing keys', () => {
    const { headers, expiration, messageId } = died({
      headers: [{ name: 'a', value: { type: 'I', value: 1 } }, array('CC', [text('other')])],
      expiration: '50',
      messageId: 'm',
    });
    assert.equal(expiration, null);
    assert.equal(messageId, 'm');
    assert.deepEqual(plain(headers), {
      a: 1,
      CC: ['other'],
      'x-death': [
        {
          count: 1n,
          reason: 'expired',
          queue: 'q',
          time: 1_795_691_876n,
          exchange: 'x',
          'routing-keys': ['k', 'other'],
          'original-expiration': '50',
        },
      ],
      'x-first-death-exchange': 'x',
      'x-first-death-queue': 'q',
      'x-first-death-reason': 'expired',
    });
  });

  it("has RabbitMQ's field types", () => {
    const deaths = findField(died({}).headers, 'x-death')!;
    assert.equal(deaths.type, 'A');
    const [first] = deaths.value as FieldValue[];
    const types = Object.fromEntries((first!.value as FieldTable).map(({ name, value }) => [name, value.type]));
    assert.deepEqual(types, { count: 'l', reason: 'S', queue: 'S', time: 'T', exchange: 'S', 'routing-keys': 'A' });
  });

  it('omits CC keys if the queue has a dead letter routing key', () => {
    const headers = [array('CC', [text('c')]), textField('z', 'z')];
    const dead = plain(died({ headers }, 'q', 'rejected', true).headers);
    assert.ok(!('CC' in dead));
    assert.equal(dead.z, 'z');
    assert.deepEqual((dead['x-death'] as { [name: string]: Plain }[])[0]!['routing-keys'], ['k', 'c']);
  });

  it('gets a new first event for another queue or reason, and keeps its first death', () => {
    const once = died({}, 'one', 'rejected');
    const twice = died(once, 'two', 'expired');
    const dead = plain(twice.headers);
    assert.deepEqual(
      (dead['x-death'] as { [name: string]: Plain }[]).map(({ queue, reason, count }) => [queue, reason, count]),
      [
        ['two', 'expired', 1n],
        ['one', 'rejected', 1n],
      ],
    );
    assert.equal(dead['x-first-death-queue'], 'one');
    assert.equal(dead['x-first-death-reason'], 'rejected');
  });

  it('counts a repeated death in its event, which moves to the front unchanged', () => {
    const headers = [
      array('x-death', [
        event('other', 'expired', count(2n)),
        event('q', 'expired', count(7n), textField('extra', 'e')),
        event('q', 'expired', count(2n)),
      ]),
    ];
    assert.deepEqual(plain(died({ headers }).headers)['x-death'], [
      { count: 8n, queue: 'q', reason: 'expired', extra: 'e' },
      { count: 2n, queue: 'other', reason: 'expired' },
    ]);
  });

  it('counts the events of earlier versions, which have no counts, by queue and reason', () => {
    const earlier = Array.from({ length: 22 }, (_, i) => event(`q${i % 5}`, 'expired', textField('nth', `${i}`)));
    const { headers } = died({ headers: [array('x-death', earlier)] }, 'other');
    const events = plain(headers)['x-death'] as { count: bigint; queue: string; nth?: string }[];
    assert.equal(events.length, 6, 'as RabbitMQ');
    assert.deepEqual(
      events.slice(1).map(({ count: deaths, queue, nth }) => [queue, deaths, nth]),
      [5n, 5n, 4n, 4n, 4n].map((deaths, i) => [`q${i}`, deaths, `${i}`]),
    );
    const again = died({ headers: [array('x-death', earlier)] }, 'q3');
    assert.deepEqual(
      (plain(again.headers)['x-death'] as { count: bigint; queue: string }[]).map(({ count: n, queue }) => [queue, n]),
      [
        ['q3', 5n],
        ['q0', 5n],
        ['q1', 5n],
        ['q2', 4n],
        ['q4', 4n],
      ],
    );
    const counts = [event('a', 'rejected', count(3n)), event('a', 'rejected', count(9n)), event('b', 'expired')];
    const mixed = plain(died({ headers: [array('x-death', counts)] }).headers)['x-death'] as { count: bigint }[];
    assert.deepEqual(
      mixed.map(({ count: n }) => n),
      [1n, 3n, 1n],
      'a count that is there is kept',
    );
  });

  it('is valid whatever a client wrote into x-death', () => {
    for (const value of [text('text'), { type: 'I', value: 5 } as const]) {
      const dead = plain(died({ headers: [{ name: 'x-death', value }] }).headers);
      assert.equal((dead['x-death'] as Plain[]).length, 1);
    }
    const odd = died({ headers: [array('x-death', [text('text'), event('q', 'expired', textField('count', 'x'))])] });
    assert.deepEqual(plain(odd.headers)['x-death'], [{ count: 2n, queue: 'q', reason: 'expired' }, 'text']);
    const uncounted = died({ headers: [array('x-death', [event('q', 'expired')])] });
    assert.deepEqual(plain(uncounted.headers)['x-death'], [{ count: 1n, queue: 'q', reason: 'expired' }]);
  });
});

describe('a dead letter', () => {
  const cycle = (death: Death, ...events: FieldValue[]): boolean =>
    isAutomaticCycle([array('x-death', events)], 'q', death);

  it('does not return to a queue without a rejection on the way', () => {
    assert.ok(cycle('expired', event('q', 'expired')));
    assert.ok(cycle('maxlen', event('b', 'expired'), event('q', 'maxlen'), event('c', 'rejected')));
  });

  it('returns to a queue if a consumer rejected it on the way', () => {
    assert.ok(!cycle('expired', event('b', 'expired'), event('q', 'rejected')));
    assert.ok(!cycle('expired', event('b', 'rejected'), event('q', 'expired')));
    assert.ok(!cycle('rejected', event('q', 'expired')));
  });

  it('enters a queue that it has not been in, and any queue if a client wrote its history', () => {
    assert.ok(!cycle('expired', event('b', 'expired')));
    assert.ok(!cycle('expired', text('?'), event('q', 'expired')));
    assert.ok(!isAutomaticCycle([textField('x-death', 'q')], 'q', 'expired'));
    assert.ok(!isAutomaticCycle([], 'q', 'expired'));
  });

  it('has the routing keys of its CC header, even of a malformed one', () => {
    assert.deepEqual(furtherKeys([array('CC', [text('a'), { type: 'I', value: 1 }, text('b')])]), ['a', 'b']);
    assert.deepEqual(furtherKeys([textField('CC', 'a')]), []);
    assert.deepEqual(furtherKeys([array('BCC', [text('a')])]), []);
  });
});

describe('the copies that deaths make', () => {
  const copied = (headers: FieldTable, copies: number): FieldTable =>
    propertiesOfDead(
      message({ properties: { headers } }),
      { queue: 'q', death: 'expired', nowMs: NOW, readdressed: false },
      copies,
    ).headers;

  it('are noted in the latest element, if there are several', () => {
    assert.equal(copiesOf([]), 1);
    assert.equal(copiesOf(copied([], 1)), 1);
    const once = copied([], 6);
    assert.equal(copiesOf(once), 6);
    assert.equal(copiesOf(copied(once, 12)), 12);
    assert.equal(copiesOf(copied(once, 1)), 1);
    assert.equal(deathsOf(copied(once, 12)).length, 1);
  });

  it('are one where a client says something impossible', () => {
    for (const value of [-1n, 0n, 2n ** 63n - 1n]) {
      const copies = { name: 'copies', value: { type: 'l', value } } as const;
      assert.equal(copiesOf([{ name: 'x-death', value: { type: 'A', value: [{ type: 'F', value: [copies] }] } }]), 1);
    }
    assert.equal(copiesOf([textField('x-death', 'x')]), 1);
  });
});
