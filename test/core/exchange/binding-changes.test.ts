// Protects that the log of binding changes invalidates every route that changed and keeps the others.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BindingChanges } from '../../../src/core/exchange/binding-changes.ts';
import type { Exchange } from '../../../src/core/exchange/exchange.ts';
import { Binding } from '../../../src/core/exchange/exchange.ts';
import { Route } from '../../../src/core/exchange/route.ts';
import { EMPTY_TABLE } from '../../../src/core/message/field-table.ts';
import type { Dialect } from '../../../src/core/message/topic-pattern.ts';
import { Core, message } from '../core.ts';

const word = fc.constantFrom('a', 'b', 'ab', '', '*', '#', '+', '$x');
const pattern = fc.array(word, { maxLength: 4 }).map((words) => words.join('.'));
const dialect = fc.constantFrom<Dialect>('amqp', 'mqtt');
const change = fc.tuple(fc.nat(3), pattern, dialect);

function reached(exchange: Exchange, key: string, cached: boolean): string[] {
  const published = message({ exchange: exchange.name, key });
  if (cached)
    return exchange
      .route(published)
      .map(({ queue }) => queue.name)
      .sort();
  const route = new Route(published);
  route.walk(exchange);
  return route.targets.map(({ queue }) => queue.name).sort();
}

describe('changed bindings', () => {
  for (const kind of ['topic', 'direct', 'fanout']) {
    it(`leave cached routes of a ${kind} exchange equal to a walk of its bindings`, () => {
      fc.assert(
        fc.property(
          fc.array(change, { maxLength: 100, size: 'max' }),
          fc.array(pattern, { maxLength: 6 }),
          (changes, keys) => {
            const core = new Core();
            const exchange = core.exchange('x', kind);
            const queues = [0, 1, 2, 3].map((i) => core.queue(`q${i}`));
            for (const [index, key, read] of changes) {
              const binding = new Binding(exchange, { queue: queues[index]! }, key, EMPTY_TABLE, read);
              const known = exchange.findBinding(binding.identity, EMPTY_TABLE, read);
              if (known === null) exchange.add(binding);
              else exchange.remove(known);
              // Only some keys are routed after each change, so that cached routes of many ages are looked up.
              for (const asked of keys)
                if ((asked.length + key.length) % 3 !== 0) {
                  assert.deepEqual(reached(exchange, asked, true), reached(exchange, asked, false), asked);
                }
            }
          },
        ),
      );
    });
  }

  it('keep a cached route that they do not concern while they are in the log', () => {
    const changes = new BindingChanges((bindingKey, routingKey) => bindingKey === routingKey);
    changes.binding('a');
    assert.equal(changes.concern('a', 0), true);
    assert.equal(changes.concern('b', 0), false);
    assert.equal(changes.concern('a', changes.generation), false);
    for (let i = 0; i < 64; i++) changes.binding('c');
    assert.equal(changes.concern('b', 0), true, 'more changes than are remembered');
    assert.equal(changes.concern('b', 1), false);
    changes.anything();
    assert.equal(changes.concern('b', changes.generation - 1), true);
  });
});
