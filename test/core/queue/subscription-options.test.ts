// Subscription options of bindings: parsing from arguments, and merging for a queue with several matching bindings.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Field } from '../../../src/core/message/field-table.ts';
import {
  DEFAULT_SUBSCRIPTION_OPTIONS,
  mergeSubscriptionOptions,
  readSubscriptionOptions,
  SUBSCRIPTION_ARGUMENT,
  SubscriptionOptions,
} from '../../../src/core/queue/subscription-options.ts';
import { Core, message } from '../core.ts';

function args(qos: number, noLocal = false, retain = false, id = 0): Field[] {
  const fields: Field[] = [{ name: SUBSCRIPTION_ARGUMENT.qos, value: { type: 'B', value: qos } }];
  if (noLocal) fields.push({ name: SUBSCRIPTION_ARGUMENT.noLocal, value: { type: 't', value: true } });
  if (retain) fields.push({ name: SUBSCRIPTION_ARGUMENT.retainAsPublished, value: { type: 't', value: true } });
  if (id > 0) fields.push({ name: SUBSCRIPTION_ARGUMENT.subscriptionId, value: { type: 'I', value: id } });
  return fields;
}

describe('subscriptionOptions', () => {
  it('are read from arguments, and are anything where these say nothing', () => {
    assert.equal(readSubscriptionOptions([]), DEFAULT_SUBSCRIPTION_OPTIONS);
    assert.equal(readSubscriptionOptions(args(1)), readSubscriptionOptions(args(1)), 'plain ones are shared');
    assert.deepEqual(readSubscriptionOptions(args(1, true, true, 7)), new SubscriptionOptions(1, true, true, [7]));
    assert.equal(readSubscriptionOptions(args(250)).qos, 2);
  });

  it('merge to the wider of each', () => {
    const merged = mergeSubscriptionOptions(
      readSubscriptionOptions(args(0, true, false, 1)),
      readSubscriptionOptions(args(2, false, true, 2)),
    );
    assert.deepEqual(merged, new SubscriptionOptions(2, false, true, [1, 2]));
    assert.equal(
      mergeSubscriptionOptions(readSubscriptionOptions(args(0)), readSubscriptionOptions(args(1))),
      readSubscriptionOptions(args(1)),
    );
    assert.ok(
      mergeSubscriptionOptions(readSubscriptionOptions(args(0, true)), readSubscriptionOptions(args(1, true))).noLocal,
    );
  });

  it('reach an entry: one for each queue, whatever matches; without no-local ones for its own client', () => {
    const core = new Core();
    const exchange = core.host.exchange('amq.topic');
    const queue = core.queue('q');
    core.host.bind(exchange, { queue }, 'a.+', args(0, false, false, 1), 'mqtt');
    core.host.bind(exchange, { queue }, 'a.#', args(2, true, false, 2), 'mqtt');
    const [target, ...more] = exchange.route(message({ exchange: 'amq.topic', key: 'a.b' }));
    assert.deepEqual(more, []);
    assert.deepEqual([target!.qos, [...target!.subscriptionOptions.subscriptionIds].sort()], [2, [1, 2]]);
    assert.deepEqual(target!.ownPublishOptions, new SubscriptionOptions(0, false, false, [1]));
    const [only] = exchange.route(message({ exchange: 'amq.topic', key: 'a.b.c' }));
    assert.equal(only!.ownPublishOptions, null);
  });
});
