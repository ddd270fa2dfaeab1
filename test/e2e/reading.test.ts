// Protects that all front-ends read their sockets by the same rules (src/net/read-gate.ts): each reason pauses reading,
// its end resumes it, and nothing sent meanwhile is lost. A memory transport stands in for the socket, so that the test
// can see whether it is read.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { amqpFrontEnd } from '../../protocols/amqp/front-end.ts';
import { MqttFrontEnd } from '../../protocols/mqtt/front-end.ts';
import { stompFrontEnd } from '../../protocols/stomp/front-end.ts';
import { STOMP_LIMITS } from '../../protocols/stomp/limits.ts';
import type { Permission } from '../../src/core/ports/authorization.ts';
import { OUTBOX_DEFAULTS } from '../../src/net/outbox.ts';
import type { Accept } from '../../src/net/transport.ts';
import * as amqp from '../../support/wire/amqp.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as stomp from '../../support/wire/stomp.ts';
import { MemoryTransport } from '../support/memory-transport.ts';
import { ProtocolHarness } from '../support/protocol-harness.ts';

const HELD = { reason: 'test', alarm: true, disk: false };
/** Small watermarks, so that a few answers fill an outbox. */
const OUTBOX = { ...OUTBOX_DEFAULTS, highWatermarkBytes: 256, lowWatermarkBytes: 16 };

/** The frames that a client sends, in each protocol. */
interface Dialogue {
  readonly protocol: string;
  accept(broker: Broker): Accept;
  /** The login, step by step. */
  readonly login: readonly Buffer[];
  publish(topic: string, body: Buffer): Buffer;
  /** A request that is answered at once. */
  readonly question: Buffer;
}

const DIALOGUES: readonly Dialogue[] = [
  {
    protocol: 'AMQP',
    accept: (broker) => amqpFrontEnd(broker.context, broker.ticker),
    login: [
      amqp.PROTOCOL_HEADER,
      amqp.startOk('guest', 'guest'),
      Buffer.concat([amqp.tuneOk(2047, 131_072, 0), amqp.open('/')]),
      amqp.channelOpen(1),
    ],
    publish: (topic, body) => amqp.publish(1, 'amq.topic', topic, body),
    question: amqp.qos(1, 1),
  },
  {
    protocol: 'MQTT',
    accept: (broker) => new MqttFrontEnd(broker.context, broker.ticker, broker.store.packets).accept,
    login: [mqtt.connect('client')],
    publish: (topic, body) => mqtt.publish(topic, body, 0, 0),
    question: mqtt.pingreq(),
  },
  {
    protocol: 'STOMP',
    accept: (broker) => stompFrontEnd(broker.context, broker.ticker, { ...STOMP_LIMITS, anonymous: null }),
    login: [stomp.connect('guest', 'guest')],
    publish: (topic, body) => stomp.send(`/topic/${topic}`, body),
    question: Buffer.concat([
      stomp.frame('BEGIN', { transaction: 't', receipt: 'r' }),
      stomp.frame('ABORT', { transaction: 't', receipt: 'r' }),
    ]),
  },
];

class Broker extends ProtocolHarness {
  /** If not null, permission checks wait until it resolves. */
  readonly permission: { known: Promise<boolean> | null };

  constructor() {
    const permission: Broker['permission'] = { known: null };
    const allows = (asked: Permission) => (asked === 'write' ? (permission.known ?? true) : true);
    super({ outbox: OUTBOX, allows });
    this.permission = permission;
  }

  async connect(dialogue: Dialogue): Promise<MemoryTransport> {
    const transport = new MemoryTransport(this);
    transport.handler = dialogue.accept(this)(transport);
    for (const step of dialogue.login) {
      transport.receive(step);
      await this.settle();
    }
    assert.equal(transport.ended, false);
    assert.equal(transport.reading, true);
    return transport;
  }
}

const ONE = Buffer.from('1');

for (const dialogue of DIALOGUES) {
  describe(`${dialogue.protocol}: a socket is not read`, () => {
    test('while an operation is awaited', async () => {
      const broker = new Broker();
      const transport = await broker.connect(dialogue);
      const { promise, resolve } = Promise.withResolvers<boolean>();
      broker.permission.known = promise;
      transport.receive(Buffer.concat([dialogue.publish('a', ONE), dialogue.publish('b', ONE)]));
      await broker.settle();
      assert.deepEqual([transport.reading, broker.meters.published], [false, 0]);
      resolve(true);
      broker.permission.known = null;
      await broker.settle();
      assert.deepEqual([transport.reading, broker.meters.published], [true, 2]);
    });

    test('while publishers are blocked, if it publishes', async () => {
      const broker = new Broker();
      const publisher = await broker.connect(dialogue);
      publisher.receive(dialogue.publish('a', ONE));
      await broker.settle();
      broker.connections.hold(HELD);
      assert.equal(publisher.reading, false);
      publisher.receive(dialogue.publish('a', ONE));
      broker.connections.hold(null);
      await broker.settle();
      assert.deepEqual([publisher.reading, broker.meters.published], [true, 2]);
    });

    test('from its first publish on, which waits, and not before', async () => {
      const broker = new Broker();
      const client = await broker.connect(dialogue);
      broker.connections.hold(HELD);
      client.written.length = 0;
      client.receive(dialogue.question);
      await broker.settle();
      assert.equal(client.reading, true);
      assert.ok(client.written.length > 0, 'who only consumes is answered');
      client.written.length = 0;
      // It may arrive in two chunks, between other bytes.
      const publish = dialogue.publish('a', ONE);
      client.receive(Buffer.concat([dialogue.question, publish.subarray(0, 10)]));
      client.receive(Buffer.concat([publish.subarray(10), dialogue.publish('a', ONE), dialogue.question]));
      await broker.settle();
      assert.deepEqual([client.reading, broker.meters.published], [false, 0]);
      const before = client.written.splice(0);
      assert.ok(before.length > 0, 'what stands before the publish is handled');
      broker.connections.hold(null);
      await broker.settle();
      assert.deepEqual([client.reading, broker.meters.published], [true, 2]);
      const bytesOf = (written: typeof before): Buffer => Buffer.concat(written.map(({ bytes }) => bytes));
      assert.deepEqual(bytesOf(client.written), bytesOf(before), 'and what stands behind it');
    });

    test('to the end of the turn once it has published much', async () => {
      const broker = new Broker();
      const transport = await broker.connect(dialogue);
      const message = dialogue.publish('a', Buffer.alloc(60_000));
      transport.receive(Buffer.concat(Array.from({ length: 10 }, () => message)));
      assert.equal(transport.reading, false);
      transport.receive(message);
      await broker.settle();
      assert.deepEqual([transport.reading, broker.meters.published], [true, 11]);
    });

    test('while its peer does not read answers', async () => {
      const broker = new Broker();
      const transport = await broker.connect(dialogue);
      transport.stuck = true;
      let asked = 0;
      while (transport.reading) {
        assert.ok(++asked < 2000, 'answers pile up without end');
        transport.receive(dialogue.question);
        await broker.settle();
      }
      assert.ok(transport.outbox.unsentBytes < 4 * OUTBOX.highWatermarkBytes);
      transport.unstick();
      await broker.settle();
      assert.equal(transport.reading, true);
    });
  });
}
