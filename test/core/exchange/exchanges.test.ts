// What each exchange type matches, and what all types share: merging of targets, cycles, alternate exchanges, and
// invalidation of cached routes when a binding on the way changes.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { Exchange } from '../../../src/core/exchange/exchange.ts';
import { EMPTY_TABLE, type FieldTable, type FieldValue, textField } from '../../../src/core/message/field-table.ts';
import type { Dialect } from '../../../src/core/message/topic-pattern.ts';
import { counted } from '../../support/work.ts';
import { Core, message } from '../core.ts';

let core: Core;
beforeEach(() => {
  core = new Core();
});

function bind(exchange: string, queue: string, key: string, args: FieldTable = EMPTY_TABLE, dialect: Dialect = 'amqp') {
  const known = core.host.queues.get(queue) ?? core.queue(queue);
  return core.host.bind(core.host.exchange(exchange), { queue: known }, key, args, dialect);
}

function unbind(exchange: string, queue: string, key: string, args: FieldTable = EMPTY_TABLE) {
  return core.host.unbind(core.host.exchange(exchange), { queue: core.host.queues.get(queue)! }, key, args, 'amqp');
}

function lead(source: string, destination: string, key: string) {
  core.host.bind(core.host.exchange(source), { exchange: core.host.exchange(destination) }, key, EMPTY_TABLE, 'amqp');
}

function field(name: string, type: FieldValue['type'], value: unknown): FieldTable[number] {
  return { name, value: { type, value } as FieldValue };
}

function match(mode: string | null, ...fields: FieldTable): FieldTable {
  return mode === null ? fields : [textField('x-match', mode), ...fields];
}

const alternate = (name: string): FieldTable => [textField('alternate-exchange', name)];

describe('the default exchange', () => {
  it('reaches the queue of that name and nothing else', () => {
    core.queue('a');
    assert.deepEqual(core.reached('', 'a'), ['a']);
    assert.deepEqual(core.reached('', 'b'), []);
    core.queue('b');
    assert.deepEqual(core.reached('', 'b'), ['b']);
    core.host.deleteQueue(core.host.queues.get('b')!);
    assert.deepEqual(core.reached('', 'b'), []);
  });
});

describe('a direct exchange', () => {
  it('matches equal keys', () => {
    bind('amq.direct', 'a', 'k');
    bind('amq.direct', 'b', 'k');
    bind('amq.direct', 'c', 'K');
    assert.deepEqual(core.reached('amq.direct', 'k'), ['a', 'b']);
    assert.deepEqual(core.reached('amq.direct', 'x'), []);
    unbind('amq.direct', 'a', 'k');
    assert.deepEqual(core.reached('amq.direct', 'k'), ['b']);
  });
});

describe('a fanout exchange', () => {
  it('matches any key', () => {
    bind('amq.fanout', 'a', 'k');
    bind('amq.fanout', 'b', '');
    assert.deepEqual(core.reached('amq.fanout', 'x'), ['a', 'b']);
    unbind('amq.fanout', 'a', 'k');
    assert.deepEqual(core.reached('amq.fanout', 'x'), ['b']);
  });
});

describe('a headers exchange', () => {
  const one = textField('a', '1');
  const two = textField('b', '2');
  const hidden = textField('x-c', '3');

  it('matches all headers by default', () => {
    bind('amq.headers', 'plain', '', match(null, one, two));
    bind('amq.headers', 'all', '', match('all', one, two));
    assert.deepEqual(core.reached('amq.headers', '', [one, two]), ['all', 'plain']);
    assert.deepEqual(core.reached('amq.headers', '', [one]), []);
    assert.deepEqual(core.reached('amq.headers', '', [one, textField('b', 'other')]), []);
  });

  it('matches one header in mode `any`', () => {
    bind('amq.headers', 'any', '', match('any', one, two));
    assert.deepEqual(core.reached('amq.headers', '', [two]), ['any']);
    assert.deepEqual(core.reached('amq.headers', '', [textField('b', '1')]), []);
    assert.deepEqual(core.reached('amq.headers', ''), []);
  });

  it('compares x- headers only in the -with-x modes', () => {
    bind('amq.headers', 'all', '', match('all', one, hidden));
    bind('amq.headers', 'all-with-x', '', match('all-with-x', one, hidden));
    bind('amq.headers', 'any', '', match('any', hidden));
    bind('amq.headers', 'any-with-x', '', match('any-with-x', hidden));
    assert.deepEqual(core.reached('amq.headers', '', [one]), ['all']);
    assert.deepEqual(core.reached('amq.headers', '', [hidden]), ['any-with-x']);
    assert.deepEqual(core.reached('amq.headers', '', [one, hidden]), ['all', 'all-with-x', 'any-with-x']);
  });

  it('matches any value of a header if the argument is void', () => {
    bind('amq.headers', 'q', '', match('all', field('a', 'V', null)));
    assert.deepEqual(core.reached('amq.headers', '', [field('a', 'I', 7)]), ['q']);
    assert.deepEqual(core.reached('amq.headers', '', [two]), []);
  });

  it('without arguments matches everything in mode all and nothing in mode any', () => {
    bind('amq.headers', 'all', '', match('all'));
    bind('amq.headers', 'any', '', match('any'));
    assert.deepEqual(core.reached('amq.headers', ''), ['all']);
  });

  it('compares integers by value, not by width, and exactly', () => {
    bind('amq.headers', 'q', '', match('all', field('n', 'l', 5n)));
    bind('amq.headers', 'big', '', match('all', field('n', 'l', 2n ** 53n)));
    assert.deepEqual(core.reached('amq.headers', '', [field('n', 'b', 5)]), ['q']);
    assert.deepEqual(core.reached('amq.headers', '', [field('n', 'l', 2n ** 53n)]), ['big']);
    assert.deepEqual(core.reached('amq.headers', '', [field('n', 'l', 2n ** 53n + 1n)]), []);
  });

  it('refuses an unknown mode and is unchanged', () => {
    assert.throws(() => bind('amq.headers', 'q', '', match('some', one)), { kind: 'precondition-failed' });
    assert.throws(() => bind('amq.headers', 'q', '', [field('x-match', 'I', 1)]), { kind: 'precondition-failed' });
    assert.equal(core.host.exchange('amq.headers').bindingCount, 0);
    assert.deepEqual(core.reached('amq.headers', '', [one]), []);
  });

  it('compares numbers by value, whatever their type', () => {
    bind('amq.headers', 'q', '', match('all', field('n', 'I', 1)));
    bind('amq.headers', 'r', '', match('all', field('n', 'd', 1.5)));
    assert.deepEqual(core.reached('amq.headers', '', [field('n', 'd', 1)]), ['q']);
    assert.deepEqual(core.reached('amq.headers', '', [field('n', 'l', 1n)]), ['q']);
    assert.deepEqual(core.reached('amq.headers', '', [field('n', 'f', 1.5)]), ['r']);
    assert.deepEqual(core.reached('amq.headers', '', [textField('n', '1')]), []);
  });

  it('uses the first of several headers with the same name', () => {
    bind('amq.headers', 'q', '', match('all', textField('h1', 'first')));
    const many = Array.from({ length: 100 }, (_, i) => textField(`h${i}`, 'first'));
    assert.deepEqual(core.reached('amq.headers', '', [...many, textField('h1', 'second')]), ['q']);
    assert.deepEqual(core.reached('amq.headers', '', [textField('h1', 'second'), ...many]), []);
  });

  it('compares tens of thousands of hostile fields in less than quadratic time', () => {
    const fields = Array.from({ length: 40_000 }, (_, i) => field(`h${i}`, 'V', null));
    bind('amq.headers', 'q', '', fields.slice(-256));
    bind('amq.headers', 'q', '', fields.slice(-256).reverse());
    const { result, steps } = counted(() => core.reached('amq.headers', '', [...fields].reverse()));
    assert.deepEqual(result, ['q']);
    assert.ok(steps >= 40_000 && steps < 40_000 * 20, `${steps} steps`);
  });

  it('refuses bindings with more fields than each message should be compared with', () => {
    const fields = Array.from({ length: 257 }, (_, i) => field(`h${i}`, 'V', null));
    assert.throws(() => bind('amq.headers', 'q', '', fields), /has at most 256 arguments, not 257/);
    assert.equal(core.host.exchange('amq.headers').bindingCount, 0);
    bind('amq.direct', 'q', '', fields);
    assert.equal(core.host.exchange('amq.direct').bindingCount, 1, 'other types compare nothing');
  });
});

describe('bindings', () => {
  it('are identified by destination, key, arguments and dialect', () => {
    assert.equal(bind('amq.topic', 'q', 'k'), true);
    assert.equal(bind('amq.topic', 'q', 'k'), false);
    assert.equal(bind('amq.topic', 'q', 'k', [field('n', 'I', 1)]), true);
    assert.equal(bind('amq.topic', 'q', 'k', [field('n', 'l', 1n)]), false);
    assert.equal(bind('amq.topic', 'q', 'k', EMPTY_TABLE, 'mqtt'), true);
    assert.equal(core.host.exchange('amq.topic').bindingCount, 3);
    assert.equal(unbind('amq.topic', 'q', 'k', [field('n', 'I', 2)]), false);
    assert.equal(unbind('amq.topic', 'q', 'k', [field('n', 'I', 1)]), true);
    assert.equal(unbind('amq.topic', 'q', 'k'), true);
    assert.equal(core.host.exchange('amq.topic').bindingCount, 1);
    assert.deepEqual(core.reached('amq.topic', 'k'), ['q']);
  });

  it('of different queues are different, whatever characters names and keys have', () => {
    bind('amq.direct', 'a', 'b\u0000c');
    assert.equal(bind('amq.direct', 'a\u0000b', 'c'), true);
    assert.deepEqual(core.reached('amq.direct', 'c'), ['a\u0000b']);
  });

  it('with similar but unequal argument tables are different', () => {
    bind('amq.direct', 'q', 'k', [field('n', 'I', 1), field('n', 'I', 1)]);
    assert.equal(bind('amq.direct', 'q', 'k', [field('n', 'I', 1), field('m', 'I', 1)]), true);
  });

  it('with NaN in their arguments are equal to themselves', () => {
    bind('amq.direct', 'q', 'k', [field('n', 'd', Number.NaN)]);
    assert.equal(bind('amq.direct', 'q', 'k', [field('n', 'd', Number.NaN)]), false);
    assert.equal(unbind('amq.direct', 'q', 'k', [field('n', 'd', Number.NaN)]), true);
  });

  it('of one queue that match together make one target of the highest QoS', () => {
    const qos = (value: number) => [field('x-mqtt-qos', 'B', value)];
    bind('amq.topic', 'q', 'a.#', qos(0), 'mqtt');
    bind('amq.topic', 'q', 'a.+', qos(1), 'mqtt');
    const route = (key: string) =>
      core.host
        .exchange('amq.topic')
        .route(message({ key }))
        .map(({ qos }) => qos);
    assert.deepEqual(route('a.b'), [1]);
    assert.deepEqual(route('a.b.c'), [0]);
    bind('amq.topic', 'q', 'a.b');
    assert.deepEqual(route('a.b'), [2]);
    bind('amq.topic', 'p', 'wild', qos(77), 'mqtt');
    assert.deepEqual(route('wild'), [2]);
  });
});

describe('exchanges bound to exchanges', () => {
  it('forward a message, and through a cycle once', () => {
    for (const name of ['x', 'y', 'z']) core.exchange(name, 'fanout');
    lead('x', 'y', '');
    lead('y', 'z', '');
    lead('z', 'x', '');
    lead('x', 'x', 'itself');
    for (const name of ['x', 'y', 'z']) bind(name, `q${name}`, '');
    bind('z', 'qx', '');
    for (const name of ['x', 'y', 'z']) assert.deepEqual(core.reached(name, ''), ['qx', 'qy', 'qz']);
  });

  it('may form a chain of any depth', () => {
    const depth = 10_000;
    for (let i = 0; i <= depth; i++) core.exchange(`x${i}`, 'fanout', EMPTY_TABLE, true);
    // From the last exchange to the first, so that a new binding has no cached route to invalidate.
    bind(`x${depth}`, 'q', '');
    for (let i = depth - 1; i >= 0; i--) lead(`x${i}`, `x${i + 1}`, '');
    assert.deepEqual(core.reached('x0', ''), ['q']);
    const before = core.host.exchanges.size;
    core.host.deleteQueue(core.host.queues.get('q')!);
    assert.equal(before - core.host.exchanges.size, depth + 1);
  });

  it('invalidate cached routes when a binding further down changes', () => {
    core.exchange('x', 'topic');
    core.exchange('y', 'direct');
    core.exchange('z', 'fanout');
    lead('x', 'y', '#');
    lead('y', 'z', 'k');
    assert.deepEqual(core.reached('x', 'k'), []);
    bind('z', 'q', '');
    assert.deepEqual(core.reached('x', 'k'), ['q']);
    core.host.unbind(core.host.exchange('y'), { exchange: core.host.exchange('z') }, 'k', EMPTY_TABLE, 'amqp');
    assert.deepEqual(core.reached('x', 'k'), []);
    bind('z', 'p', '');
    assert.deepEqual(core.reached('x', 'k'), []);
    lead('y', 'z', 'k');
    assert.deepEqual(core.reached('x', 'k'), ['p', 'q']);
    core.host.deleteExchange('z', false);
    assert.deepEqual(core.reached('x', 'k'), []);
    assert.equal(core.host.exchange('y').bindingCount, 0);
  });

  it('cache no routes by key if a headers exchange follows further down', () => {
    core.exchange('x', 'direct');
    lead('x', 'amq.headers', 'k');
    bind('amq.headers', 'q', '', match('all', textField('a', '1')));
    assert.deepEqual(core.reached('x', 'k'), []);
    assert.deepEqual(core.reached('x', 'k', [textField('a', '1')]), ['q']);
    assert.deepEqual(core.reached('x', 'k'), []);
    assert.equal(core.host.exchange('x').cacheable, false);
    core.host.unbind(core.host.exchange('x'), { exchange: core.host.exchange('amq.headers') }, 'k', [], 'amqp');
    assert.equal(core.host.exchange('x').cacheable, true);
  });

  it('stay connected while one of several bindings remains', () => {
    lead('amq.topic', 'amq.fanout', 'a');
    lead('amq.topic', 'amq.fanout', 'b');
    core.host.unbind(core.host.exchange('amq.topic'), { exchange: core.host.exchange('amq.fanout') }, 'a', [], 'amqp');
    assert.deepEqual(core.reached('amq.topic', 'b'), []);
    bind('amq.fanout', 'q', '');
    assert.deepEqual(core.reached('amq.topic', 'b'), ['q']);
  });
});

describe('an alternate exchange', () => {
  it('gets messages that match no binding', () => {
    core.exchange('alt', 'fanout');
    core.exchange('x', 'direct', alternate('alt'));
    bind('alt', 'rest', '');
    bind('x', 'q', 'k');
    assert.deepEqual(core.reached('x', 'k'), ['q']);
    assert.deepEqual(core.reached('x', 'other'), ['rest']);
  });

  it('may be declared later, deleted and redeclared, and may be a headers exchange', () => {
    core.exchange('x', 'direct', alternate('alt'));
    assert.deepEqual(core.reached('x', 'k'), []);
    core.exchange('alt', 'fanout');
    bind('alt', 'rest', '');
    assert.deepEqual(core.reached('x', 'k'), ['rest']);
    core.host.deleteExchange('alt', false);
    assert.deepEqual(core.reached('x', 'k'), []);
    core.exchange('alt', 'headers');
    bind('alt', 'rest', '', match('all', textField('a', '1')));
    assert.deepEqual(core.reached('x', 'k'), []);
    assert.deepEqual(core.reached('x', 'k', [textField('a', '1')]), ['rest']);
  });

  it('may be the exchange itself or form a cycle', () => {
    core.exchange('x', 'direct', alternate('y'));
    core.exchange('y', 'direct', alternate('x'));
    core.exchange('self', 'direct', alternate('self'));
    assert.deepEqual(core.reached('x', 'k'), []);
    assert.deepEqual(core.reached('self', 'k'), []);
  });

  it('keeps no reference to deleted exchanges', () => {
    const alt: Exchange = core.exchange('alt', 'fanout');
    for (let i = 0; i < 10; i++) {
      core.exchange('x', 'direct', alternate('alt'));
      core.host.deleteExchange('x', false);
    }
    assert.equal(alt.dependents.size, 0);
  });
});

describe('an auto-delete exchange', () => {
  it('is deleted with its last binding, and so are auto-delete exchanges bound only to it', () => {
    core.exchange('x', 'fanout', EMPTY_TABLE, true);
    core.exchange('y', 'fanout', EMPTY_TABLE, true);
    lead('x', 'y', '');
    bind('y', 'q', 'one');
    bind('y', 'q', 'two');
    unbind('y', 'q', 'one');
    assert.ok(core.host.exchanges.has('y'));
    core.host.deleteQueue(core.host.queues.get('q')!);
    assert.ok(!core.host.exchanges.has('y') && !core.host.exchanges.has('x'));
    assert.deepEqual([...core.store.definitions.all('binding')], []);
  });
});

describe('bindings that differ in their arguments only', () => {
  it('are found by them, whatever the order and width of their fields', () => {
    const args = (n: number): FieldTable => [field('n', 'I', n), textField('text', 'x')];
    for (let n = 0; n < 50; n++) assert.ok(bind('amq.direct', 'a', 'k', args(n)) !== false, `binding ${n}`);
    const exchange = core.host.exchange('amq.direct');
    assert.equal(exchange.bindingCount, 50);
    bind('amq.direct', 'a', 'k', [textField('text', 'x'), field('n', 'l', 7n)]);
    assert.equal(exchange.bindingCount, 50, 'equal to the one with n = 7');
    for (let n = 0; n < 49; n++) unbind('amq.direct', 'a', 'k', args(n));
    assert.deepEqual(core.reached('amq.direct', 'k'), ['a']);
    unbind('amq.direct', 'a', 'k', args(3));
    assert.equal(exchange.bindingCount, 1);
    unbind('amq.direct', 'a', 'k', args(49));
    assert.deepEqual(core.reached('amq.direct', 'k'), []);
    assert.equal(exchange.bindingCount, 0);
  });

  it('are added and removed without a search among them', () => {
    const COUNT = 2000;
    const { steps } = counted(() => {
      for (let n = 0; n < COUNT; n++) bind('amq.direct', 'a', 'k', [field('n', 'I', n)]);
      for (let n = 0; n < COUNT; n++) unbind('amq.direct', 'a', 'k', [field('n', 'I', n)]);
    });
    assert.ok(steps < COUNT * 200, `${steps} steps`);
    assert.equal(core.host.exchange('amq.direct').bindingCount, 0);
  });

  for (const [name, one, other] of [
    ['a value', [field('n', 'I', 1)], [field('n', 'I', 2)]],
    ['a type', [field('n', 'I', 1)], [textField('n', '1')]],
    ['a name', [field('n', 'I', 1)], [field('m', 'I', 1)]],
    ['nothing against void', [], [field('n', 'V', null)]],
    ['nested fields', [field('n', 'F', [field('a', 'I', 1)])], [field('n', 'F', [field('a', 'I', 2)])]],
    ['the border of name and text', [textField('ab', 'c')], [textField('a', 'bc')]],
    [
      'the order of an array',
      [field('n', 'A', [field('', 'I', 1).value, field('', 'I', 2).value])],
      [field('n', 'A', [field('', 'I', 2).value, field('', 'I', 1).value])],
    ],
  ] as [string, FieldTable, FieldTable][]) {
    it(`are two if they differ in ${name}`, () => {
      bind('amq.direct', 'a', 'k', one);
      bind('amq.direct', 'a', 'k', other);
      bind('amq.direct', 'a', 'k', other);
      assert.equal(core.host.exchange('amq.direct').bindingCount, 2);
    });
  }
});

describe('a long chain of exchanges', () => {
  it('leads to what its end is bound to, after each change', () => {
    const LENGTH = 2000;
    for (let i = 0; i < LENGTH; i++) {
      core.exchange(`e${i}`, 'fanout');
      if (i > 0) lead(`e${i - 1}`, `e${i}`, '');
    }
    for (const queue of ['a', 'b', 'c']) {
      const { steps } = counted(() => bind(`e${LENGTH - 1}`, queue, ''));
      assert.ok(steps < LENGTH, `a change at the end took ${steps} steps`);
      assert.ok(core.reached('e0', 'k').includes(queue));
      unbind(`e${LENGTH - 1}`, queue, '');
      assert.deepEqual(core.reached('e0', 'k'), []);
    }
  });
});
