// Messages a second through the core alone: a session publishes, a queue delivers, a sink counts. Input arrives as from
// a socket: 400 messages of 100 bytes in a 64 KiB chunk, one chunk a turn. Acknowledgements arrive 100 at a time. Run
// it alone with `node bench/core.ts`; add `--cpu-prof` to profile a message.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { amqpRewriter } from '../protocols/amqp/foreign-properties.ts';
import { DEFAULT_LIMITS } from '../src/core/limits.ts';
import { SILENT } from '../src/core/logger.ts';
import { EMPTY_TABLE } from '../src/core/message/field-table.ts';
import { Message, NEVER } from '../src/core/message/message.ts';
import { NO_CODEC } from '../src/core/message/properties.ts';
import { newMeters } from '../src/core/ports/meters.ts';
import { Consumer, type DeliverySink } from '../src/core/queue/consumer.ts';
import { MemoryBudget } from '../src/core/queue/memory-budget.ts';
import { Unacked } from '../src/core/queue/unacked.ts';
import { Session } from '../src/core/session/session.ts';
import { SYSTEM_CLOCK } from '../src/core/turn/clock.ts';
import { Turn } from '../src/core/turn/turn.ts';
import { VirtualHosts } from '../src/core/vhost/virtual-hosts.ts';
import { FakeRetained } from '../support/fake-retained.ts';
import { forgetfulStore } from '../support/forgetful-store.ts';
import { type Figure, printFigures } from './figure.ts';

const BODY_BYTES = 100;
const FRAME_BYTES = 160;
const BATCH = 400;
const ACK_EVERY = 100;
const PREFETCH = 400;
const WARM_MS = 500;
const MEASURED_MS = 1500;

/** Counts deliveries, and acknowledges every hundredth message with `multiple`, as a client would. */
class CountingSink implements DeliverySink {
  readonly unacked = new Unacked();
  delivered = 0;
  bytes = 0;

  deliver(_consumer: Consumer, message: Message, entry: Parameters<Unacked['add']>[0] | null): void {
    this.delivered++;
    this.bytes += message.bodyLength;
    if (entry !== null) this.unacked.add(entry);
  }

  writable(): boolean {
    return true;
  }

  cancelled(): void {}

  acknowledge(session: Session): void {
    while (this.unacked.size >= ACK_EVERY) {
      const last = this.unacked.lastTag - this.unacked.size + ACK_EVERY;
      for (let entry = this.unacked.takeFirst(last); entry !== null; entry = this.unacked.takeFirst(last)) {
        session.acknowledge(entry);
      }
    }
  }
}

interface Case {
  readonly title: string;
  readonly exchange: string;
  readonly keys: readonly string[];
  readonly queues: number;
  readonly noAck: boolean;
  readonly target: string;
}

const ONE_KEY = ['bench.q0.temperature'];
const MANY_KEYS = Array.from({ length: 1000 }, (_, i) => `bench.d${i}.temperature`);
const CASES: readonly Case[] = [
  {
    title: 'default exchange, automatic acks',
    exchange: '',
    keys: ['q0'],
    queues: 1,
    noAck: true,
    target: '>= 6000000',
  },
  {
    title: 'default exchange, ack every 100',
    exchange: '',
    keys: ['q0'],
    queues: 1,
    noAck: false,
    target: '>= 3000000',
  },
  {
    title: 'topic exchange, automatic acks',
    exchange: 'amq.topic',
    keys: ONE_KEY,
    queues: 1,
    noAck: true,
    target: '>= 6000000',
  },
  {
    title: 'topic exchange, ack every 100',
    exchange: 'amq.topic',
    keys: ONE_KEY,
    queues: 1,
    noAck: false,
    target: '>= 3000000',
  },
  {
    title: 'topic exchange, 1,000 keys, automatic acks',
    exchange: 'amq.topic',
    keys: MANY_KEYS,
    queues: 1,
    noAck: true,
    target: '',
  },
  {
    title: 'topic exchange, 1 to 10 queues, automatic acks (deliveries)',
    exchange: 'amq.topic',
    keys: ONE_KEY,
    queues: 10,
    noAck: true,
    target: '',
  },
];

const chosen = process.argv[2]?.startsWith('--') ? undefined : process.argv[2];
const figures: Figure[] = [];
for (const one of CASES) {
  if (chosen !== undefined && !one.title.includes(chosen)) continue;
  figures.push({ title: one.title, value: await measure(one), unit: '/s', target: one.target });
}
printFigures(figures);

async function measure(one: Case): Promise<number> {
  const turn = new Turn(SYSTEM_CLOCK);
  const store = forgetfulStore();
  const limits = DEFAULT_LIMITS;
  const meters = newMeters();
  const definitions = { all: () => [], put() {}, remove() {} };
  const memory = new MemoryBudget(limits.memoryHighBytes);
  const topics = { retained: new FakeRetained(), retainedExchange: 'amq.topic' };
  const shared = { turn, store, definitions, memory, limits, meters, rewriter: amqpRewriter, log: SILENT, ...topics };
  const hosts = new VirtualHosts(shared);
  hosts.recover();
  const host = hosts.get('/')!;
  const nobody = { refused: 'the bench logs nobody in' };
  const session = new Session(
    host,
    { user: 'bench', tags: [] },
    {
      ...shared,
      hosts,
      authenticator: {
        authenticate: async () => nobody,
        identify: async () => nobody,
        certified: () => nobody,
        knows: () => false,
        exchange: () => null,
        mayEnter: () => false,
      },
      authorizer: { generation: 1, allows: () => true, restrictsTopics: () => false, allowsTopic: () => true },
    },
  );
  const sinks = Array.from({ length: one.queues }, (_, i) => {
    const declaration = { name: `q${i}`, durable: false, autoDelete: false, args: EMPTY_TABLE, owner: null };
    const { queue } = host.declareQueue(declaration);
    if (one.exchange !== '') host.bind(host.exchange(one.exchange), { queue }, 'bench.*.#', EMPTY_TABLE, 'amqp');
    const sink = new CountingSink();
    const options = {
      tag: 'c',
      noAck: one.noAck,
      exclusive: false,
      prefetch: PREFETCH,
      priority: 0,
      args: EMPTY_TABLE,
    };
    const consumer = new Consumer(queue, sink, options);
    queue.addConsumer(consumer);
    consumer.start();
    return sink;
  });

  let published = 0;
  const run = async (forMs: number): Promise<number> => {
    const before = delivered(sinks);
    const started = performance.now();
    let elapsed = 0;
    while (elapsed < forMs) {
      turn.begin();
      for (const sink of sinks) sink.acknowledge(session);
      const chunk = Buffer.allocUnsafeSlow(BATCH * FRAME_BYTES);
      for (let i = 0; i < BATCH; i++) {
        const key = one.keys[published++ % one.keys.length]!;
        const at = i * FRAME_BYTES;
        session.publish(
          new Message(
            one.exchange,
            key,
            chunk,
            at + 50,
            BODY_BYTES,
            chunk,
            at + 28,
            14,
            NO_CODEC,
            false,
            0,
            NEVER,
            turn.now,
          ),
          null,
          0,
        );
      }
      await nextTurn();
      elapsed = performance.now() - started;
    }
    return ((delivered(sinks) - before) * 1000) / elapsed;
  };
  await run(WARM_MS);
  return run(MEASURED_MS);
}

function delivered(sinks: readonly CountingSink[]): number {
  return sinks.reduce((sum, sink) => sum + sink.delivered, 0);
}
