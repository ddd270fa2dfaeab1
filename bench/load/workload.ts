// What a load run does, and what it found. Plain data: it crosses from the runner to its worker threads.

export const SPEAKERS = ['amqp', 'mqtt', 'stomp', 'webstomp'] as const;
/** The protocol of one side; `webstomp` is STOMP over a WebSocket. */
export type Speaker = (typeof SPEAKERS)[number];

export interface Workload {
  readonly publisher: Speaker;
  readonly consumer: Speaker;
  /** Connections of the publishing side; each has its own `window`; a `rate` is for one only. */
  readonly publishers: number;
  readonly consumers: number;
  /** Bytes of a message's body. */
  readonly bytes: number;
  /**
   * `queue`: one queue that the consumer declares, published to by name. `topic`: a topic that each consumer subscribes
   * to (`amq.topic` in AMQP). `fanout`: `amq.fanout`, one queue for each consumer. `reply`: one queue of requests, whose
   * consumer answers each by direct reply; the requester's `window` is how many are out. AMQP only. `sessions`: nothing is
   * published; sessions come and go, `publishers` at a time. MQTT only.
   */
  readonly address: 'queue' | 'topic' | 'fanout' | 'reply' | 'sessions';
  /** Persistent messages to a durable queue. AMQP only. */
  readonly durable: boolean;
  /** MQTT, both sides. */
  readonly qos: 0 | 1 | 2;
  /** MQTT, both sides: sessions that outlive their connections (clean session 0). */
  readonly kept: boolean;
  /** Messages that may be unconfirmed; 0: publishes without confirms (AMQP) or without a window (MQTT QoS 0). */
  readonly window: number;
  /** AMQP: one cumulative ack every so many deliveries; 0: the broker needs none. */
  readonly ackEvery: number;
  readonly prefetch: number;
  /** Messages a second; 0: as many as go. Latencies are taken only where a rate is given. */
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

/** Whether nobody waits for what the consumer answers, nor for how soon it reads. */
export function oneWay(workload: Workload): boolean {
  return workload.window === 0 && workload.ackEvery === 0 && workload.rate === 0;
}

export interface LoadResult {
  /** Messages a second over the measured time. Deliveries count once for each consumer. */
  readonly sent: number;
  readonly received: number;
  readonly confirmed: number;
  /** Milliseconds from the publisher's write to the consumer's read; null where no rate was given. */
  readonly p50: number | null;
  readonly p99: number | null;
}

/** What a worker thread needs. The two arrays are shared with the runner. */
export interface Job {
  readonly role: 'publish' | 'consume';
  readonly workload: Workload;
  readonly port: number;
  readonly path: string;
  /** A name for queues, topics and client ids that no other run uses. */
  readonly name: string;
  readonly counters: SharedArrayBuffer;
  readonly latencies: SharedArrayBuffer;
}

/** Places in the counters: each is written by one thread only, so plain stores of doubles do. */
export const COUNTER = { sent: 0, received: 1, confirmed: 2, measuring: 3 } as const;
export const COUNTERS = 4;

export const LATENCY_BUCKET_US = 10;
/** Up to 4 s; what takes longer counts as that. */
export const LATENCY_BUCKETS = 400_000;

/** A clock that both threads share, in microseconds. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
