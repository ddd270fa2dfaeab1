// The fixture of the core's tests: a core without protocols or disk. It has one virtual host over a fake store that the
// test controls, turns that the test awaits, messages and sinks.

import { setImmediate as nextImmediate } from 'node:timers/promises';
import { amqpRewriter } from '../../protocols/amqp/foreign-properties.ts';
import { type CoreLimits, DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { type Logger, SILENT } from '../../src/core/logger.ts';
import { EMPTY_TABLE, type FieldTable } from '../../src/core/message/field-table.ts';
import { Message, NEVER } from '../../src/core/message/message.ts';
import { NO_PROPERTIES, type Properties, type PropertyCodec } from '../../src/core/message/properties.ts';
import { type Meters, newMeters } from '../../src/core/ports/meters.ts';
import type { ConsumeOptions, Consumer, DeliverySink } from '../../src/core/queue/consumer.ts';
import { MemoryBudget } from '../../src/core/queue/memory-budget.ts';
import type { Queue } from '../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../src/core/queue/queue-entry.ts';
import type { ConfirmRing } from '../../src/core/turn/confirms.ts';
import { Turn } from '../../src/core/turn/turn.ts';
import type { QueueDeclaration } from '../../src/core/vhost/declarations.ts';
import { VirtualHost } from '../../src/core/vhost/virtual-host.ts';
import { FakeRetained } from '../../support/fake-retained.ts';
import { FakeStore } from '../support/fake-store.ts';

const NO_BYTES = Buffer.alloc(0);

export interface MessageFields {
  readonly exchange?: string;
  readonly key?: string;
  readonly body?: string | Buffer;
  readonly persistent?: boolean;
  readonly headers?: FieldTable;
  readonly expirationMs?: number;
  readonly priority?: number;
  readonly properties?: Partial<Properties>;
}

export function message(fields: MessageFields = {}): Message {
  const { exchange = '', key = '', persistent = false, headers = EMPTY_TABLE } = fields;
  const { expirationMs = NEVER, priority = 0 } = fields;
  const body = Buffer.from(fields.body ?? '');
  const expiration = expirationMs === NEVER ? null : `${expirationMs}`;
  const properties = { ...NO_PROPERTIES, headers, expiration, ...fields.properties };
  const codec: PropertyCodec = { id: 0, retainHeader: true, decode: () => properties };
  return new Message(exchange, key, body, 0, body.length, NO_BYTES, 0, 0, codec, persistent, priority, expirationMs, 0);
}

export class Core {
  readonly store: FakeStore;
  readonly turn: Turn;
  readonly memory: MemoryBudget;
  readonly meters: Meters;
  readonly limits: CoreLimits;
  readonly log: Logger;
  readonly retained: FakeRetained;
  readonly host: VirtualHost;
  /** The clock's time in milliseconds. */
  time = 0;
  /** Delay of the pending timer; null if none is pending. */
  timer: number | null = null;

  constructor(store: FakeStore = new FakeStore({ automatic: true }), limits: Partial<CoreLimits> = {}) {
    this.store = store;
    this.turn = new Turn({ now: () => this.time }, (delayMs) => {
      this.timer = delayMs;
      return () => {
        this.timer = null;
      };
    });
    this.turn.sealWith(() => store.seal());
    this.limits = { ...DEFAULT_LIMITS, ...limits };
    this.memory = new MemoryBudget(this.limits.memoryHighBytes);
    this.meters = newMeters();
    this.log = SILENT;
    this.retained = new FakeRetained();
    this.host = new VirtualHost('/', this.dependencies);
  }

  get dependencies() {
    const { store, turn, memory, meters, limits, log, retained } = this;
    const { definitions } = store;
    const topics = { retained, retainedExchange: 'amq.topic' };
    return { store, definitions, turn, memory, meters, limits, rewriter: amqpRewriter, log, ...topics };
  }

  queue(name: string, options: Partial<QueueDeclaration> = {}): Queue {
    const declaration = { name, durable: true, autoDelete: false, args: EMPTY_TABLE, owner: null, ...options };
    return this.host.declareQueue(declaration).queue;
  }

  exchange(name: string, kind: string, args: FieldTable = EMPTY_TABLE, autoDelete = false) {
    this.host.declareExchange({ name, kind, durable: true, autoDelete, internal: false, args });
    return this.host.exchange(name);
  }

  /** Sorted names of the queues that a message reaches. */
  reached(exchange: string, key: string, headers: FieldTable = EMPTY_TABLE): string[] {
    const targets = this.host.exchange(exchange).route(message({ exchange, key, headers }));
    return targets.map((target) => target.queue.name).sort();
  }

  /** Advances the clock and fires the timers that are due. */
  async pass(ms: number): Promise<void> {
    await turns();
    this.time += ms;
    this.turn.timers.fire();
    await turns();
  }

  /** Publishes a message to the default exchange without a session. */
  publish(fields: MessageFields, ring: ConfirmRing | null = null, slot = 0): void {
    this.turn.begin();
    const sent = message(fields);
    for (const target of this.host.exchange(sent.exchange).route(sent)) target.queue.accept(sent, target, ring, slot);
  }

  /** Publishes to the default exchange without a session. */
  put(queue: Queue, body: string, persistent = false): void {
    this.turn.begin();
    queue.accept(message({ key: queue.name, body, persistent }), queue.selfRoute[0]!, null, 0);
  }
}

/** Waits until the current turn and the turns that it schedules have ended. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await nextImmediate();
}

export interface Delivery {
  readonly body: string;
  readonly entry: QueueEntry | null;
  readonly redelivered: boolean;
}

/** A sink that records its deliveries. */
export class RecordingSink implements DeliverySink {
  readonly deliveries: Delivery[] = [];
  open = true;
  cancellations = 0;

  deliver(_consumer: Consumer, given: Message, entry: QueueEntry | null, redelivered: boolean): void {
    this.deliveries.push({ body: given.bodyBytes().toString(), entry, redelivered });
  }

  writable(): boolean {
    return this.open;
  }

  cancelled(): void {
    this.cancellations++;
  }

  get bodies(): string[] {
    return this.deliveries.map(({ body }) => body);
  }

  /** Returns the delivered entries and clears the record. */
  take(): QueueEntry[] {
    return this.deliveries.splice(0).map(({ entry }) => entry!);
  }
}

export function consumeOptions(options: Partial<ConsumeOptions> = {}): ConsumeOptions {
  return { tag: 'c', noAck: false, exclusive: false, prefetch: 0, priority: 0, args: EMPTY_TABLE, ...options };
}
