// The registry of a virtual host: what may be declared, when two declarations are equivalent and which error a
// different one gets, what is written for the next start, and recovery from it.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { FieldTable, FieldValue } from '../../../src/core/message/field-table.ts';
import { EMPTY_TABLE, textField } from '../../../src/core/message/field-table.ts';
import type { ExchangeDeclaration } from '../../../src/core/vhost/declarations.ts';
import { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import { VirtualHosts } from '../../../src/core/vhost/virtual-hosts.ts';
import { Core, message } from '../core.ts';

let core: Core;
beforeEach(() => {
  core = new Core();
});

function exchange(options: Partial<ExchangeDeclaration> = {}): boolean {
  const declaration = { name: 'x', kind: 'direct', durable: true, autoDelete: false, internal: false, args: [] };
  return core.host.declareExchange({ ...declaration, ...options });
}

function arg(name: string, type: FieldValue['type'], value: unknown): FieldTable {
  return [{ name, value: { type, value } as FieldValue }];
}

function refusal(message: string) {
  return { kind: 'precondition-failed', message };
}

describe('declaring a queue again', () => {
  const inequivalent = (arg: string, received: string, current: string) =>
    refusal(`inequivalent arg '${arg}' for queue 'q' in vhost '/': received ${received} but current is ${current}`);

  it('is nothing where it is the same', () => {
    const queue = core.queue('q', { args: arg('x-cloud', 'I', 1) });
    assert.equal(core.queue('q', { args: arg('x-cloud', 'I', 1) }), queue);
  });

  it('compares what has a meaning, as RabbitMQ does, and the default type as if it were given', () => {
    const queue = core.queue('q');
    assert.equal(core.queue('q', { args: arg('x-cloud', 'I', 1) }), queue);
    assert.equal(core.queue('q', { args: [textField('x-queue-type', 'classic')] }), queue);
  });

  it('is refused where it differs', () => {
    core.queue('q');
    assert.throws(() => core.queue('q', { durable: false }), inequivalent('durable', "'false'", "'true'"));
    assert.throws(() => core.queue('q', { autoDelete: true }), inequivalent('auto_delete', "'true'", "'false'"));
    assert.throws(
      () => core.queue('q', { args: arg('x-message-ttl', 'I', 5) }),
      inequivalent('x-message-ttl', "the value '5' of type 'signedint'", 'none'),
    );
    assert.throws(
      () => core.queue('q', { args: arg('x-max-length', 'F', []) }),
      inequivalent('x-max-length', "a value of type 'table'", 'none'),
    );
    assert.throws(
      () => core.queue('q', { args: [textField('x-queue-type', 'quorum')] }),
      inequivalent('x-queue-type', "the value 'quorum' of type 'longstr'", 'none'),
    );
  });

  it('as exclusive, or no longer so, meets a lock', () => {
    core.queue('q');
    const owner = { disowned() {} };
    assert.throws(() => core.queue('q', { owner }), { kind: 'resource-locked' });
    core.queue('mine', { owner });
    assert.throws(() => core.queue('mine'), { kind: 'resource-locked' });
    assert.throws(() => core.queue('mine', { owner: { disowned() {} } }), { kind: 'resource-locked' });
  });
});

describe('declaring an exchange again', () => {
  const inequivalent = (arg: string, received: string, current: string) =>
    refusal(`inequivalent arg '${arg}' for exchange 'x' in vhost '/': received ${received} but current is ${current}`);

  it('is nothing where it is the same, and refused where it differs', () => {
    assert.equal(exchange(), true);
    assert.equal(exchange(), false);
    assert.equal(exchange({ args: arg('x-cloud', 'I', 1) }), false);
    assert.throws(() => exchange({ kind: 'fanout' }), inequivalent('type', "'fanout'", "'direct'"));
    assert.throws(() => exchange({ durable: false }), inequivalent('durable', "'false'", "'true'"));
    assert.throws(() => exchange({ autoDelete: true }), inequivalent('auto_delete', "'true'", "'false'"));
    assert.throws(() => exchange({ internal: true }), inequivalent('internal', "'true'", "'false'"));
    assert.throws(
      () => exchange({ args: [textField('alternate-exchange', 'y')] }),
      inequivalent('alternate-exchange', "the value 'y' of type 'longstr'", 'none'),
    );
  });
});

describe('names and kinds', () => {
  it('of exchanges are reserved where they start with amq.', () => {
    assert.throws(() => exchange({ name: 'amq.mine' }), {
      kind: 'access-refused',
      message: "exchange name 'amq.mine' contains reserved prefix 'amq.*'",
    });
    assert.equal(exchange({ name: 'amq.topic', kind: 'topic' }), false);
    assert.throws(() => core.host.deleteExchange('amq.topic', false), { kind: 'access-refused' });
  });

  it('of exchanges are known', () => {
    assert.throws(() => exchange({ kind: 'x-delayed-message' }), { kind: 'not-allowed' });
    assert.throws(() => exchange({ kind: 'constructor' }), { kind: 'not-allowed' });
  });

  it('of a queue with arguments that cannot be are not taken', () => {
    assert.throws(() => core.queue('q', { args: arg('x-expires', 'I', 0) }), { kind: 'precondition-failed' });
    assert.throws(() => core.queue('q', { args: [textField('x-queue-type', 'stream')] }), {
      kind: 'precondition-failed',
    });
    assert.ok(!core.host.queues.has('q'));
  });
});

describe('a virtual host', () => {
  it('has a bounded number of everything', () => {
    core = new Core(undefined, { queuesPerVhost: 1, exchangesPerVhost: 7, bindingsPerVhost: 1 });
    const queue = core.queue('q');
    const full = (what: string, limit: number) => ({
      kind: 'limit-exceeded',
      message: `vhost '/' has reached its limit of ${limit} ${what}`,
    });
    assert.throws(() => core.queue('p'), full('queues', 1));
    exchange();
    assert.throws(() => exchange({ name: 'y' }), full('exchanges', 7));
    const bind = (key: string) => core.host.bind(core.host.exchange('x'), { queue }, key, EMPTY_TABLE, 'amqp');
    bind('a');
    assert.throws(() => bind('b'), full('bindings', 1));
    core.host.unbind(core.host.exchange('x'), { queue }, 'a', EMPTY_TABLE, 'amqp');
    bind('b');
  });

  it('counts the memory of its definitions, and forgets it with them', () => {
    assert.equal(core.host.definitionBytes, 0);
    const large = arg('x-large', 'x', Buffer.alloc(10_000));
    const before: number[] = [];
    const step = (change: () => unknown, atLeast: number): void => {
      before.push(core.host.definitionBytes);
      change();
      assert.ok(core.host.definitionBytes - before.at(-1)! >= atLeast);
    };
    const { host } = core;
    step(() => core.queue('q', { args: large }), 10_000);
    step(() => exchange({ kind: 'topic', args: large }), 10_000);
    const deep = Array(100).fill('w').join('.');
    const destination = { queue: host.queue('q', core) };
    step(() => host.bind(host.exchange('x'), destination, deep, large, 'amqp'), 20_000);
    step(() => host.bind(host.exchange('x'), { exchange: host.exchange('amq.topic') }, 'k', [], 'amqp'), 500);
    host.unbind(host.exchange('x'), { exchange: host.exchange('amq.topic') }, 'k', [], 'amqp');
    assert.equal(host.definitionBytes, before.pop());
    host.unbind(host.exchange('x'), destination, deep, large, 'amqp');
    assert.equal(host.definitionBytes, before.pop());
    host.bind(host.exchange('x'), destination, deep, large, 'amqp');
    const recovered = new VirtualHost('/', core.dependencies);
    recovered.recover();
    assert.equal(recovered.definitionBytes, host.definitionBytes, 'as after a restart');
    host.deleteExchange('x', false);
    host.deleteQueue(host.queue('q', core));
    assert.equal(host.definitionBytes, 0);
  });

  it('has a bound for that memory, and defines nothing new while the process is short of it', () => {
    core = new Core(undefined, { definitionBytesPerVhost: 30_000 });
    const large = arg('x-large', 'x', Buffer.alloc(10_000));
    for (const name of ['a', 'b', 'c']) core.queue(name, { args: large });
    const full = { kind: 'limit-exceeded', message: /its limit of 30000 bytes of queues, exchanges and bindings/ };
    assert.throws(() => core.queue('d'), full);
    assert.throws(() => exchange(), full);
    assert.equal(core.meters.limitHits['limits.definitionBytesPerVhost'], 2);
    core.queue('a', { args: large });
    core.host.deleteQueue(core.host.queue('a', core));
    core.queue('d');
    core.memory.processLow = true;
    assert.throws(() => core.queue('e'), { kind: 'limit-exceeded', message: 'low on memory: no new queues now' });
    core.memory.processLow = false;
    core.queue('e');
  });

  it('deletes an exchange that is in use only where that is asked for', () => {
    exchange();
    const queue = core.queue('q');
    core.host.bind(core.host.exchange('x'), { queue }, '', EMPTY_TABLE, 'amqp');
    assert.throws(() => core.host.deleteExchange('x', true), refusal("exchange 'x' in vhost '/' in use"));
    assert.equal(core.host.deleteExchange('x', false), true);
    assert.equal(core.host.deleteExchange('x', true), false);
    assert.deepEqual([...core.host.bindingsOf(queue)], []);
  });

  it('writes what is durable, and nothing else', () => {
    core.queue('durable');
    core.queue('transient', { durable: false });
    core.queue('mine', { owner: { disowned() {} } });
    exchange();
    exchange({ name: 'y', durable: false });
    for (const source of ['x', 'y']) {
      for (const queue of core.host.queues.values()) {
        core.host.bind(core.host.exchange(source), { queue }, 'k', EMPTY_TABLE, 'amqp');
      }
    }
    const names = (kind: 'queue' | 'exchange' | 'binding') =>
      [...core.store.definitions.all(kind)].map(({ name }) => name);
    assert.deepEqual(names('queue'), [['/', 'durable']]);
    assert.deepEqual(names('exchange'), [['/', 'x']]);
    assert.deepEqual(names('binding'), [['/', 'x', 'queue', 'durable', 'k', '["amqp",[]]']]);
    for (const queue of [...core.host.queues.values()]) core.host.deleteQueue(queue);
    core.host.deleteExchange('x', false);
    assert.equal(core.store.definitions.records.size, 0);
  });

  it('takes up at a start what was written', () => {
    const args = [textField('a', '1'), ...arg('n', 'l', 2n ** 60n)];
    const queue = core.queue('q', { autoDelete: true, args });
    exchange({ args: [textField('alternate-exchange', 'alt')], internal: true });
    core.exchange('alt', 'fanout');
    core.host.bind(core.host.exchange('x'), { exchange: core.host.exchange('amq.headers') }, 'k', [], 'amqp');
    core.host.bind(core.host.exchange('amq.headers'), { queue }, '', args, 'amqp');
    core.host.bind(core.host.exchange('amq.topic'), { queue }, 'a.+', arg('x-mqtt-qos', 'B', 1), 'mqtt');
    core.host.bind(core.host.exchange('alt'), { queue }, '', [], 'amqp');
    core.store.metas.set(queue.id, { count: 2, bytes: 2, nextSeq: 9, floor: 4, deliveredTo: 0 });
    for (const [seq, body] of [
      [5, 'a'],
      [7, 'b'],
    ] as const)
      core.store.stored(queue, seq, message({ body }));

    const host = new VirtualHost('/', core.dependencies);
    host.recover();
    const again = host.queues.get('q')!;
    assert.deepEqual([again.autoDelete, again.durable, again.args], [true, true, args]);
    assert.deepEqual([again.readyCount, again.pagedCount], [2, 2]);
    const x = host.exchange('x');
    assert.deepEqual([x.internal, x.alternate, x.kind], [true, 'alt', 'direct']);
    const reached = (name: string, key: string, headers: FieldTable = []) =>
      host
        .exchange(name)
        .route(message({ key, headers }))
        .map(({ queue, qos }) => `${queue.name} ${qos}`);
    assert.deepEqual(reached('x', 'k', args), ['q 2']);
    assert.deepEqual(reached('x', 'k'), []);
    assert.deepEqual(reached('x', 'other'), ['q 2']);
    assert.deepEqual(reached('amq.topic', 'a.b'), ['q 1']);

    const entries = [again.takeNext(false)!, again.takeNext(false)!];
    assert.deepEqual(
      entries.map(({ seq, message }) => [seq, message.bodyBytes().toString()]),
      [
        [5, 'a'],
        [7, 'b'],
      ],
    );
    again.accept(message({ body: 'c' }), again.selfRoute[0]!, null, 0);
    assert.equal(again.takeNext(false)!.seq, 9, 'sequence numbers are never used again');
    // A recovered queue can be deleted.
    host.deleteQueue(again);
    host.deleteExchange('x', false);
    host.deleteExchange('alt', false);
    assert.equal(core.store.definitions.records.size, 0);
  });

  it('counts no more what a start finds missing', () => {
    const queue = core.queue('q');
    core.store.metas.set(queue.id, { count: 5, bytes: 2, nextSeq: 9, floor: 1, deliveredTo: 0 });
    core.store.stored(queue, 5, message({ body: 'a' }));
    const host = new VirtualHost('/', core.dependencies);
    host.recover();
    const again = host.queues.get('q')!;
    assert.equal(again.readyCount, 5);
    again.takeNext(true);
    assert.equal(again.takeNext(true), null);
    assert.equal(again.readyCount, 0);
    assert.equal(core.memory.held, 0);
  });
});

describe('virtual hosts', () => {
  it('start with / and are remembered', () => {
    const hosts = new VirtualHosts(core.dependencies);
    hosts.recover();
    assert.equal(hosts.create('/'), hosts.get('/'));
    hosts.create('other').declareQueue({ name: 'q', durable: true, autoDelete: false, args: [], owner: null });
    const again = new VirtualHosts(core.dependencies);
    again.recover();
    assert.deepEqual([...again].map(({ name }) => name).sort(), ['/', 'other']);
    assert.deepEqual([again.get('/')!.queues.size, again.get('other')!.queues.size], [0, 1]);
    assert.equal(again.get('nowhere'), null);
  });
});
