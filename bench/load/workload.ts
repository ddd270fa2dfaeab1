// The parameters and the result of a load run. Plain data, because it is posted between the runner and its threads.

export const SPEAKERS = ['amqp', 'mqtt', 'stomp', 'webstomp'] as const;
/** The protocol of one side; `webstomp` is STOMP over a WebSocket. */
export type Speaker = (typeof SPEAKERS)[number];

export interface Workload {
  readonly publisher: Speaker;
  readonly consumer: Speaker;
  /** Connections of the publishing side. Each has its own `window`. A `rate` requires exactly one. */
  readonly publishers: number;
  readonly consumers: number;
  /** Size of a message body in bytes. */
  readonly bytes: number;
  /**
   * `queue`: one queue that the consumer declares, published to by name. `topic`: a topic that each consumer subscribes
   * to (`amq.topic` in AMQP). `fanout`: `amq.fanout`, one queue for each consumer. `reply`: one queue of requests,
   * whose consumer answers each by direct reply; the requester's `window` bounds outstanding requests. AMQP only.
   * `sessions`: no messages, only sessions that connect and disconnect, `publishers` at a time. MQTT only.
   */
  readonly address: 'queue' | 'topic' | 'fanout' | 'reply' | 'sessions';
  /** Persistent messages to a durable queue. AMQP only. */
  readonly durable: boolean;
  /** MQTT, for publishing and subscribing. */
  readonly qos: 0 | 1 | 2;
  /** MQTT, both sides: persistent sessions (clean session 0). */
  readonly kept: boolean;
  /** Maximum of unconfirmed messages. 0 publishes without confirms (AMQP) or without a window (MQTT QoS 0). */
  readonly window: number;
  /** AMQP: deliveries for each cumulative acknowledgement; 0 consumes without acknowledgements. */
  readonly ackEvery: number;
  readonly prefetch: number;
  /** Messages a second; 0 publishes as fast as possible. Latencies are recorded only with a rate. */
  readonly rate: number;
}

export const ONE_TO_ONE: Workload = Object.freeze({
  publisher: 'amqp',
  consumer: 'amqp',
  publishers: 1,
  consumers: 1,
  bytes: 100,
  address: 'queue',
  durable: false,
  qos: 0,
  kept: false,
  window: 0,
  ackEvery: 0,
  prefetch: 0,
  rate: 0,
});

/** Whether the publisher is independent of the consumer's acknowledgements and of when it reads. */
export function oneWay(workload: Workload): boolean {
  return workload.window === 0 && workload.ackEvery === 0 && workload.rate === 0;
}

export interface LoadResult {
  /** Messages a second in the measured interval. Deliveries count once for each consumer. */
  readonly sent: number;
  readonly received: number;
  readonly confirmed: number;
  /** Milliseconds from the publisher's write to the consumer's read; null without a rate. */
  readonly p50: number | null;
  readonly p99: number | null;
}

/** What a worker thread needs. The two arrays are shared with the runner. */
export interface Job {
  readonly role: 'publish' | 'consume';
  readonly workload: Workload;
  readonly port: number;
  readonly path: string;
  /** A name for queues, topics and client ids that is unique to the run. */
  readonly name: string;
  readonly counters: SharedArrayBuffer;
  readonly latencies: SharedArrayBuffer;
}

/** Indexes of the counters. Each is written by one thread only, so plain stores of doubles suffice. */
export const COUNTER = { sent: 0, received: 1, confirmed: 2, measuring: 3 } as const;
export const COUNTERS = 4;

export const LATENCY_BUCKET_US = 10;
/** Buckets up to 4 s; the last one also counts longer latencies. */
export const LATENCY_BUCKETS = 400_000;

/** A clock that both threads share, in microseconds. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
