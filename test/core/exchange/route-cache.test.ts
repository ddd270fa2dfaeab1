// Protects the route cache: keyed by routing key, invalidated by generation, bounded in keys and targets.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BindingChanges } from '../../../src/core/exchange/binding-changes.ts';
import { RouteCache } from '../../../src/core/exchange/route-cache.ts';
import { DEFAULT_SUBSCRIPTION_OPTIONS } from '../../../src/core/queue/subscription-options.ts';
import { NO_TARGETS, Target } from '../../../src/core/queue/target.ts';
import { Core } from '../core.ts';

const target = new Target(new Core().queue('q'), DEFAULT_SUBSCRIPTION_OPTIONS);

const unchanging = (): BindingChanges => new BindingChanges(() => true);

function kept(cache: RouteCache, keys: Iterable<string>): number {
  let count = 0;
  for (const key of keys) if (cache.find(key) !== null) count++;
  return count;
}

const keys = (count: number): string[] => Array.from({ length: count }, (_, i) => `key.${i}`);

describe('the route cache', () => {
  it('caches routes, including empty ones, for one generation', () => {
    const changes = new BindingChanges(() => true);
    const cache = new RouteCache(changes);
    assert.equal(cache.find('a'), null);
    const targets = [target];
    cache.keep('a', targets);
    cache.keep('b', NO_TARGETS);
    assert.equal(cache.find('a'), targets);
    assert.equal(cache.find('b'), NO_TARGETS);
    changes.anything();
    assert.equal(cache.find('a'), null);
  });

  it('holds a bounded number of keys and keeps those in use', () => {
    const cache = new RouteCache(unchanging());
    for (const key of keys(100_000)) {
      cache.keep(key, NO_TARGETS);
      if (cache.find('in.use') === null) cache.keep('in.use', NO_TARGETS);
    }
    assert.notEqual(cache.find('in.use'), null);
    const count = kept(cache, keys(100_000));
    assert.ok(count >= 8192 && count <= 16_384, `${count}`);
  });

  it('holds a bounded number of targets', () => {
    const cache = new RouteCache(unchanging());
    const thousand = Array(1000).fill(target);
    for (const key of keys(10_000)) cache.keep(key, thousand);
    const count = kept(cache, keys(10_000));
    assert.ok(count >= 64 && count <= 132, `${count}`);
    const huge = Array(1_000_000).fill(target);
    cache.keep('huge', huge);
    assert.equal(cache.find('huge'), huge);
  });

  it('bounds the total length of its keys', () => {
    const cache = new RouteCache(unchanging());
    const long = 'x'.repeat(65_536);
    for (const key of keys(1000)) cache.keep(long + key, NO_TARGETS);
    assert.ok(
      kept(
        cache,
        keys(1000).map((key) => long + key),
      ) < 100,
    );
  });

  it('releases routes of old generations', () => {
    const changes = new BindingChanges((bindingKey, routingKey) => bindingKey === routingKey);
    const cache = new RouteCache(changes);
    for (const key of keys(100)) cache.keep(key, [target]);
    for (let i = 0; i < 200; i++) {
      changes.binding(`other.${i}`);
      cache.keep('another', NO_TARGETS);
      assert.ok(cache.find('key.7') !== null, 'in use');
    }
    assert.ok(cache.size <= 2, `${cache.size}`);
  });
});
