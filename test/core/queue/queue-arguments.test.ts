// Queue arguments: what RabbitMQ 3.10 accepts is accepted, and what it refuses is refused with the same error text,
// recorded from a RabbitMQ broker. Comments mark the deliberate differences.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Field, type FieldTable, textField } from '../../../src/core/message/field-table.ts';
import {
  COMPARED_ARGUMENTS,
  checkQueueDeclaration,
  type DeclaredProperties,
  readQueueArguments,
} from '../../../src/core/queue/queue-arguments.ts';

const PLAIN: DeclaredProperties = { durable: true, exclusive: false, autoDelete: false };
const QUORUM = textField('x-queue-type', 'quorum');
const integer = (name: string, value: number): Field => ({ name, value: { type: 'l', value: BigInt(value) } });
const bool = (name: string, value: boolean): Field => ({ name, value: { type: 't', value } });
const table = (name: string): Field => ({ name, value: { type: 'F', value: [] } });

function declared(args: FieldTable, properties: Partial<DeclaredProperties> = {}): void {
  checkQueueDeclaration(args, { ...PLAIN, ...properties }, 'q', '/');
}

describe('arguments of a queue', () => {
  it("are parsed into the queue's options", () => {
    const none = readQueueArguments([], 'q', '/');
    const infinite = Number.POSITIVE_INFINITY;
    assert.deepEqual(none, {
      quorum: false,
      messageTtlMs: infinite,
      expiresMs: infinite,
      deadLetters: null,
      maxPriority: 0,
      singleActiveConsumer: false,
      deliveryLimit: infinite,
      limits: null,
    });
    const all = readQueueArguments(
      [
        QUORUM,
        integer('x-message-ttl', 0),
        integer('x-expires', 1),
        textField('x-dead-letter-exchange', ''),
        textField('x-dead-letter-routing-key', ''),
        integer('x-max-priority', 255),
        bool('x-single-active-consumer', true),
        integer('x-delivery-limit', 3),
        integer('x-max-length', 4),
        textField('x-overflow', 'reject-publish-dlx'),
      ],
      'q',
      '/',
    );
    assert.deepEqual(all, {
      quorum: true,
      messageTtlMs: 0,
      expiresMs: 1,
      deadLetters: { exchange: '', routingKey: '' },
      maxPriority: 255,
      singleActiveConsumer: true,
      deliveryLimit: 3,
      limits: { maxLength: 4, maxBytes: infinite, overflow: 'reject-publish-dlx' },
    });
  });

  it('of all kinds are accepted', () => {
    for (const field of [
      integer('x-message-ttl', 315_360_000_000),
      integer('x-expires', 315_360_000_000),
      integer('x-max-priority', 0),
      integer('x-max-length', 315_360_000_001),
      textField('x-dead-letter-exchange', ''),
      textField('x-queue-type', 'classic'),
      textField('x-queue-mode', 'lazy'),
      textField('x-queue-mode', 'default'),
      integer('x-queue-version', 2),
      textField('x-queue-master-locator', 'min-masters'),
      bool('x-single-active-consumer', false),
      table('x-something-of-yours'),
      textField('x-consumer-timeout', 'anything'),
    ]) {
      declared([field]);
    }
    for (const field of [
      integer('x-delivery-limit', 0),
      integer('x-message-ttl', 5),
      textField('x-overflow', 'reject-publish'),
      textField('x-dead-letter-strategy', 'at-least-once'),
      textField('x-queue-leader-locator', 'balanced'),
      integer('x-quorum-initial-group-size', 3),
      integer('x-max-in-memory-length', 0),
      integer('x-max-in-memory-bytes', 0),
    ]) {
      declared([QUORUM, field]);
    }
  });

  const refusals: readonly (readonly [Field, string])[] = [
    [integer('x-message-ttl', -1), '{value_negative,-1}'],
    [integer('x-message-ttl', 315_360_000_001), '{value_too_large,315360000001}'],
    [textField('x-message-ttl', '1'), '"expected integer, got longstr"'],
    [{ name: 'x-message-ttl', value: { type: 'd', value: 1.5 } }, '"expected integer, got double"'],
    [{ name: 'x-message-ttl', value: { type: 'T', value: 1n } }, '"expected integer, got timestamp"'],
    [integer('x-expires', 0), '{value_zero,0}'],
    [integer('x-expires', -1), '{value_negative,-1}'],
    [integer('x-max-priority', -1), '{value_negative,-1}'],
    [integer('x-max-priority', 256), '{max_value_exceeded,256}'],
    [bool('x-max-priority', true), '"expected integer, got bool"'],
    [textField('x-dead-letter-routing-key', 'k'), 'routing_key_but_no_dlx_defined'],
    [integer('x-dead-letter-routing-key', 5), '{unacceptable_type,long}'],
    [textField('x-queue-mode', 'nonsense'), '"unsupported queue mode \'nonsense\'"'],
    [bool('x-queue-mode', true), '{unacceptable_type,bool}'],
    [textField('x-overflow', ''), 'invalid_overflow'],
    [bool('x-overflow', true), '{unacceptable_type,bool}'],
    [integer('x-queue-version', 3), '"unsupported queue version \'3\'"'],
    [textField('x-queue-version', ''), '"expected integer, got longstr"'],
    [textField('x-single-active-consumer', 'true'), '{unacceptable_type,longstr}'],
    [textField('x-queue-type', 'nonsense'), '"unsupported queue type \'nonsense\'"'],
    [bool('x-queue-type', true), '{unacceptable_type,bool}'],
    // RabbitMQ fails with an internal error here.
    [textField('x-queue-master-locator', 'nonsense'), 'invalid_queue_locator_arg'],
    [textField('x-queue-type', 'stream'), '"queue type \'stream\' is not supported by this broker"'],
  ];
  for (const [field, why] of refusals) {
    it(`are refused: ${field.name} ${String(field.value.value)}`, () => {
      const message = `invalid arg '${field.name}' for queue 'q' in vhost '/': ${why}`;
      assert.throws(() => declared([field]), { kind: 'precondition-failed', message });
    });
  }

  it('are refused with the error for exchanges if the dead letter exchange is not a name', () => {
    const message = "invalid type 'bool' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'";
    assert.throws(() => declared([bool('x-dead-letter-exchange', true)]), { kind: 'precondition-failed', message });
  });

  it('are accepted only for their queue type', () => {
    const cases: readonly (readonly [Field[], string, string])[] = [
      [[integer('x-delivery-limit', -1)], 'x-delivery-limit', 'classic'],
      [[textField('x-dead-letter-strategy', 'nonsense')], 'x-dead-letter-strategy', 'classic'],
      [[textField('x-queue-leader-locator', 'balanced')], 'x-queue-leader-locator', 'classic'],
      [[integer('x-quorum-initial-group-size', 1)], 'x-quorum-initial-group-size', 'classic'],
      [[integer('x-max-in-memory-length', 1)], 'x-max-in-memory-length', 'classic'],
      [[textField('x-max-age', '1D')], 'x-max-age', 'classic'],
      [[QUORUM, integer('x-max-priority', 5)], 'x-max-priority', 'quorum'],
      [[QUORUM, textField('x-queue-mode', 'lazy')], 'x-queue-mode', 'quorum'],
      [[QUORUM, integer('x-queue-version', 2)], 'x-queue-version', 'quorum'],
      [[QUORUM, textField('x-queue-master-locator', 'x')], 'x-queue-master-locator', 'quorum'],
      [[QUORUM, textField('x-max-age', '1D')], 'x-max-age', 'quorum'],
    ];
    for (const [args, name, type] of cases) {
      const message = `invalid arg '${name}' for queue 'q' in vhost '/' of queue type rabbit_${type}_queue`;
      assert.throws(() => declared(args), { kind: 'precondition-failed', message });
      assert.ok(COMPARED_ARGUMENTS.includes(name));
    }
  });

  it('of a quorum queue require a durable, non-exclusive queue', () => {
    for (const [properties, name] of [
      [{ durable: false }, 'non-durable'],
      [{ exclusive: true }, 'exclusive-owner'],
      [{ autoDelete: true }, 'auto-delete'],
    ] as const) {
      const message = `invalid property '${name}' for queue 'q' in vhost '/'`;
      assert.throws(() => declared([QUORUM], properties), { kind: 'precondition-failed', message });
    }
    // RabbitMQ takes any value here.
    assert.throws(() => declared([QUORUM, textField('x-delivery-limit', 'a')]), { kind: 'precondition-failed' });
  });
});

describe('arguments from hostile clients', () => {
  it('may have the names of object members', () => {
    for (const name of ['__proto__', 'constructor', 'hasOwnProperty', 'toString']) declared([textField(name, 'x')]);
  });

  it('refuse a dead letter routing key that is too long for one, but not at a restart', () => {
    const args = [textField('x-dead-letter-exchange', 'dlx'), textField('x-dead-letter-routing-key', 'a.'.repeat(200))];
    assert.throws(() => declared(args), /invalid arg 'x-dead-letter-routing-key' .* more than 128 words/);
    assert.equal(readQueueArguments(args, 'q', '/').deadLetters?.exchange, 'dlx');
  });
});

it('x-delivery-limit -1 stands for no limit, as in the definitions of RabbitMQ 4', () => {
  const args = [QUORUM, integer('x-delivery-limit', -1)];
  declared(args);
  assert.equal(readQueueArguments(args, 'q', '/').deliveryLimit, Number.POSITIVE_INFINITY);
  assert.throws(() => declared([QUORUM, integer('x-delivery-limit', -2)]), /value_negative,-2/);
});
