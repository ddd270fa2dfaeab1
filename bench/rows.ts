// The rows of the table: each workload, and its target ratio to a peer.

import type { PeerName } from '../support/peers.ts';
import { ONE_TO_ONE, type Workload } from './load/workload.ts';

export interface Row {
  /** The group that `--only` matches, besides the title. */
  readonly group: 'amqp' | 'mqtt' | 'stomp' | 'cross' | 'latency';
  readonly title: string;
  readonly workload: Workload;
  /** The peer and the target multiple of its rate (1: as fast as it), or null without a target. */
  readonly target: { readonly peer: PeerName; readonly times: number } | null;
}

const MQTT: Workload = { ...ONE_TO_ONE, publisher: 'mqtt', consumer: 'mqtt', address: 'topic' };
const STOMP: Workload = { ...ONE_TO_ONE, publisher: 'stomp', consumer: 'stomp', address: 'topic' };
const WEB: Workload = { ...STOMP, publisher: 'webstomp', consumer: 'webstomp' };
const DURABLE: Workload = { ...ONE_TO_ONE, durable: true, window: 1000, bytes: 1024, ackEvery: 100, prefetch: 400 };

/** A rate far below every broker's capacity, so that a latency does not include queueing. */
const PACED = 5000;

export const ROWS: readonly Row[] = [
  { group: 'amqp', title: 'amqp → amqp, auto-ack', workload: ONE_TO_ONE, target: { peer: 'rabbitmq', times: 10 } },
  {
    group: 'amqp',
    title: 'amqp → amqp, ack 100, prefetch 400',
    workload: { ...ONE_TO_ONE, ackEvery: 100, prefetch: 400 },
    target: { peer: 'rabbitmq', times: 10 },
  },
  {
    // The consumer acknowledges, because RabbitMQ confirms without writing what an auto-ack consumer takes at once.
    group: 'amqp',
    title: 'amqp → amqp, durable, confirms 1000, 1 KiB',
    workload: DURABLE,
    target: { peer: 'rabbitmq', times: 15 },
  },
  {
    group: 'amqp',
    title: 'amqp fanout 1 → 10, deliveries',
    workload: { ...ONE_TO_ONE, address: 'fanout', consumers: 10 },
    target: { peer: 'rabbitmq', times: 8 },
  },
  {
    group: 'amqp',
    title: 'amqp topic 1 → 10, deliveries',
    workload: { ...ONE_TO_ONE, address: 'topic', consumers: 10 },
    target: { peer: 'rabbitmq', times: 8 },
  },
  {
    group: 'amqp',
    title: 'amqp request and direct reply, 100 out',
    workload: { ...ONE_TO_ONE, address: 'reply', window: 100 },
    target: { peer: 'rabbitmq', times: 8 },
  },
  {
    group: 'amqp',
    title: 'amqp → amqp, auto-ack, 1 MiB',
    workload: { ...ONE_TO_ONE, bytes: 1024 * 1024 },
    target: null,
  },
  { group: 'mqtt', title: 'mqtt → mqtt, QoS 0', workload: MQTT, target: { peer: 'mosquitto', times: 6 } },
  {
    group: 'mqtt',
    title: 'mqtt → mqtt, QoS 1, window 100',
    workload: { ...MQTT, qos: 1, window: 100 },
    target: { peer: 'mosquitto', times: 4 },
  },
  {
    group: 'mqtt',
    title: 'mqtt → mqtt, QoS 2, window 100',
    workload: { ...MQTT, qos: 2, window: 100 },
    target: { peer: 'mosquitto', times: 3 },
  },
  {
    // Trivium writes exactly-once state to disk before it answers; Mosquitto keeps it in memory.
    group: 'mqtt',
    title: 'mqtt → mqtt, QoS 1, window 100, kept sessions',
    workload: { ...MQTT, qos: 1, window: 100, kept: true },
    target: { peer: 'mosquitto', times: 4 },
  },
  {
    group: 'mqtt',
    title: 'mqtt → mqtt, QoS 2, window 100, kept sessions',
    workload: { ...MQTT, qos: 2, window: 100, kept: true },
    target: { peer: 'mosquitto', times: 3 },
  },
  {
    group: 'mqtt',
    title: 'mqtt 1,000 → 1, QoS 0',
    workload: { ...MQTT, publishers: 1000 },
    target: { peer: 'mosquitto', times: 1 },
  },
  {
    group: 'mqtt',
    title: 'mqtt 1,000 → 1, QoS 1, window 10',
    workload: { ...MQTT, publishers: 1000, qos: 1, window: 10 },
    target: { peer: 'mosquitto', times: 1 },
  },
  {
    group: 'mqtt',
    title: 'mqtt sessions that come and go, 50 at a time',
    workload: { ...MQTT, address: 'sessions', publishers: 50, consumers: 0 },
    target: { peer: 'mosquitto', times: 1 },
  },
  {
    group: 'mqtt',
    title: 'mqtt fan-out 1 → 20, deliveries',
    workload: { ...MQTT, consumers: 20 },
    target: { peer: 'mosquitto', times: 4 },
  },
  {
    group: 'mqtt',
    title: 'mqtt fan-out 1 → 1,000, deliveries',
    workload: { ...MQTT, consumers: 1000 },
    target: { peer: 'mosquitto', times: 4 },
  },
  { group: 'stomp', title: 'stomp → stomp, TCP, topic', workload: STOMP, target: { peer: 'activemq', times: 4 } },
  { group: 'stomp', title: 'stomp → stomp, WebSocket', workload: WEB, target: { peer: 'rabbitmq', times: 40 } },
  {
    group: 'stomp',
    title: 'stomp fan-out 1 → 10, WebSocket, deliveries',
    workload: { ...WEB, consumers: 10 },
    target: { peer: 'rabbitmq', times: 40 },
  },
  {
    group: 'cross',
    title: 'mqtt → amqp, QoS 0, auto-ack',
    workload: { ...ONE_TO_ONE, publisher: 'mqtt', address: 'topic' },
    target: null,
  },
  {
    group: 'cross',
    title: 'mqtt → amqp, QoS 0, auto-ack, 1,000 publishers',
    workload: { ...ONE_TO_ONE, publisher: 'mqtt', publishers: 1000, address: 'topic' },
    target: { peer: 'rabbitmq', times: 1 },
  },
  {
    group: 'cross',
    title: 'mqtt → amqp, QoS 1, window 10, ack 100, 1,000 publishers',
    workload: {
      ...ONE_TO_ONE,
      publisher: 'mqtt',
      publishers: 1000,
      address: 'topic',
      qos: 1,
      window: 10,
      ackEvery: 100,
      prefetch: 400,
    },
    target: { peer: 'rabbitmq', times: 1 },
  },
  {
    group: 'cross',
    title: 'mqtt → stomp, QoS 0, 1 → 100 WebSockets, deliveries',
    workload: { ...WEB, publisher: 'mqtt', consumers: 100 },
    target: null,
  },
  {
    group: 'cross',
    title: 'amqp → stomp, WebSocket',
    workload: { ...ONE_TO_ONE, consumer: 'webstomp', address: 'topic' },
    target: null,
  },
  { group: 'latency', title: 'amqp → amqp, 5,000/s', workload: { ...ONE_TO_ONE, rate: PACED }, target: null },
  { group: 'latency', title: 'mqtt → mqtt, 5,000/s', workload: { ...MQTT, rate: PACED }, target: null },
  { group: 'latency', title: 'stomp → stomp, 5,000/s', workload: { ...STOMP, rate: PACED }, target: null },
];

/** The target of a latency row: 99th percentile in milliseconds. */
export const LATENCY_P99_MS = 1;
