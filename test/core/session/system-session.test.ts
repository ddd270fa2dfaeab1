// What the broker does by itself, without a user: the same effects as a session's, and no permission is asked.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { EMPTY_TABLE } from '../../../src/core/message/field-table.ts';
import type { Message } from '../../../src/core/message/message.ts';
import { NEVER_EXPIRES } from '../../../src/core/queue/queue-entry.ts';
import { SystemSession } from '../../../src/core/session/system-session.ts';
import { Core, message, turns } from '../core.ts';

describe('the system session', () => {
  let core: Core;
  let system: SystemSession;

  beforeEach(() => {
    core = new Core();
    system = new SystemSession();
  });

  it('deletes a queue with its bindings', async () => {
    const queue = core.queue('q');
    core.host.bind(core.host.exchange('amq.topic'), { queue }, 'a.b', EMPTY_TABLE, 'mqtt');
    system.deleteQueue(core.host, queue);
    await turns();
    assert.ok(queue.deleted);
    assert.equal(core.host.exchange('amq.topic').bindingCount, 0);
  });

  it('removes one binding of a queue and leaves the others', () => {
    const queue = core.queue('q');
    const topic = core.host.exchange('amq.topic');
    for (const key of ['a', 'b']) core.host.bind(topic, { queue }, key, EMPTY_TABLE, 'mqtt');
    const [first] = core.host.bindingsOf(queue);
    system.unbind(core.host, first!);
    assert.deepEqual(
      [...core.host.bindingsOf(queue)].map(({ routingKey }) => routingKey),
      ['b'],
    );
  });

  it('puts a message into a queue, and takes an entry out for good', async () => {
    const queue = core.queue('q');
    core.turn.begin();
    system.enqueue(queue, message({ key: 'elsewhere' }), queue.selfRoute[0]!, null, 0);
    assert.equal(queue.readyCount, 1);
    const entry = queue.takeNext(false)!;
    entry.expiresAt = 1;
    system.removeExpiry(entry);
    assert.equal(entry.expiresAt, NEVER_EXPIRES);
    system.acknowledge(entry);
    await turns();
    assert.deepEqual([queue.readyCount, queue.unackedCount], [0, 0]);
  });

  it('hands the QoS 0 messages of a queue to a receiver', () => {
    const queue = core.queue('q');
    const received: Message[] = [];
    system.receiveDirect(queue, { receive: (sent) => received.push(sent) });
    core.turn.begin();
    system.enqueue(queue, message({ key: 'q', body: 'x' }), queue.selfRoute[0]!, null, 0);
    assert.deepEqual(
      received.map((sent) => sent.bodyBytes().toString()),
      ['x'],
    );
    assert.equal(queue.readyCount, 0);
  });

  it("publishes to the broker's own topics, where users may not, and says whether anybody would get it", () => {
    const queue = core.queue('q');
    const uptime = message({ exchange: 'amq.topic', key: '$SYS.broker.uptime', body: '1' });
    assert.equal(system.reaches(core.host, uptime), false);
    core.host.bind(core.host.exchange('amq.topic'), { queue }, '$SYS.#', EMPTY_TABLE, 'mqtt');
    assert.equal(system.reaches(core.host, uptime), true);
    core.turn.begin();
    system.publish(core.host, uptime, core.turn);
    assert.equal(queue.readyCount, 1);
    system.publish(core.host, message({ exchange: 'none', key: 'a' }), core.turn);
    assert.equal(system.reaches(core.host, message({ exchange: 'none', key: 'a' })), false);
  });
});
