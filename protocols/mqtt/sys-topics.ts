// The broker's own topics below `$SYS/broker`, with Mosquitto's names (mosquitto(8)). Their values are computed when a
// subscription selects them, and at an interval those that have changed are published to subscribers. Computing them
// visits every queue, so it is done in slices, and whoever asks within a short time gets the same values. Nobody else can
// publish there (src/core/exchange/retainer.ts), and `#` and `+/…` do not select them [MQTT-4.7.2-1].
//
// Counts of published and delivered messages are of all protocols; counts of clients, packets, bytes and subscriptions
// are of MQTT. Made by front-end.ts.

import { Message, NEVER } from '../../src/core/message/message.ts';
import { NO_CODEC } from '../../src/core/message/properties.ts';
import type { Meters } from '../../src/core/ports/meters.ts';
import type { RetainedCursor, RetainedMoment } from '../../src/core/ports/retained-store.ts';
import type { Task } from '../../src/core/turn/turn.ts';
import type { WorkDescription } from '../../src/core/turn/turn-watch.ts';
import type { VirtualHost } from '../../src/core/vhost/virtual-host.ts';
import { TICK_MS, type Ticked } from '../../src/net/ticker.ts';
import type { MqttContext } from './context.ts';
import type { BrokerTopics } from './retained/retained.ts';
import { isShared } from './session/session-queue.ts';
import type { Sessions } from './session/sessions.ts';
import { filterMatches, swapSeparators } from './topic/topics.ts';

const ROOT = '$SYS';
const NO_BYTES = Buffer.alloc(0);
const NO_MOMENT: RetainedMoment = { epoch: 0, revision: 0 };
const MINUTES = [1, 5, 15] as const;
/** Values are computed again for those who ask after this time: one SUBSCRIBE may select them 10,000 times. */
const VALUES_MS = 100;
/** Queues and bindings that one slice counts. */
const COUNT_SLICE = 512;

const LOADS = [
  'messages/received',
  'messages/sent',
  'publish/received',
  'publish/sent',
  'publish/dropped',
  'bytes/received',
  'bytes/sent',
  'sockets',
  'connections',
] as const;
type LoadName = (typeof LOADS)[number];

/** Below `$SYS/broker`. */
const PLAIN = [
  'version',
  'uptime',
  'clients/connected',
  'clients/active',
  'clients/disconnected',
  'clients/inactive',
  'clients/total',
  'clients/maximum',
  'clients/expired',
  'messages/received',
  'messages/sent',
  'bytes/received',
  'bytes/sent',
  'publish/messages/received',
  'publish/messages/sent',
  'publish/messages/dropped',
  'publish/bytes/received',
  'publish/bytes/sent',
  'messages/stored',
  'store/messages/count',
  'store/messages/bytes',
  'subscriptions/count',
  'shared_subscriptions/count',
  'retained messages/count',
  'heap/current',
  'heap/maximum',
] as const;
type PlainTopic = (typeof PLAIN)[number];

const TOPICS: readonly string[] = [
  ...PLAIN,
  ...LOADS.flatMap((name) => MINUTES.map((minutes) => `load/${name}/${minutes}min`)),
].map((name) => `${ROOT}/broker/${name}`);

/** A rate per minute, averaged over 1, 5 and 15 minutes with exponentially decaying weights, as in Mosquitto. */
export class Load {
  private last: number;
  readonly averages: number[];

  constructor() {
    this.last = 0;
    this.averages = [0, 0, 0];
  }

  /** `total` is the count since the start, `seconds` the time since the last sample. */
  sample(total: number, seconds: number): void {
    const rate = ((total - this.last) * 60) / seconds;
    this.last = total;
    for (const [i, minutes] of MINUTES.entries()) {
      this.averages[i] = rate + Math.exp(-seconds / (60 * minutes)) * (this.averages[i]! - rate);
    }
  }
}

/** A topic of one virtual host that has subscribers. */
interface Subscribed {
  readonly host: VirtualHost;
  readonly topic: string;
}

export class SysTopics implements BrokerTopics, Ticked, Task {
  private readonly context: MqttContext;
  private readonly sessions: Sessions;
  private readonly hosts: () => Iterable<VirtualHost>;
  private readonly intervalTicks: number;
  private readonly seconds: number;
  private readonly startedAt: number;
  private readonly loads: Readonly<Record<LoadName, Load>>;
  /** The largest number of connected clients at any sample, and the largest heap. */
  private maximumClients: number;
  private maximumHeap: number;
  /** The values that were published last, by topic. */
  private published: ReadonlyMap<string, string>;
  /** The values that were computed last, and when that began. */
  private values: Promise<ReadonlyMap<string, string>> | null;
  private valuesOf: number;
  /** Topics that are still to be asked for subscribers, those that have some, and what is being published to these. */
  private asked: Subscribed[];
  private subscribed: Subscribed[];
  private publishing: { readonly values: ReadonlyMap<string, string>; readonly topics: Subscribed[] } | null;

  /** `context.options.sysIntervalSeconds` is not 0. */
  constructor(context: MqttContext, sessions: Sessions, hosts: () => Iterable<VirtualHost>) {
    this.context = context;
    this.sessions = sessions;
    this.hosts = hosts;
    this.seconds = context.options.sysIntervalSeconds;
    this.intervalTicks = Math.max(1, Math.round((this.seconds * 1000) / TICK_MS));
    this.startedAt = context.turn.now;
    this.loads = Object.fromEntries(LOADS.map((name) => [name, new Load()])) as Record<LoadName, Load>;
    this.maximumClients = 0;
    this.maximumHeap = 0;
    this.published = new Map();
    this.values = null;
    this.valuesOf = Number.NEGATIVE_INFINITY;
    this.asked = [];
    this.subscribed = [];
    this.publishing = null;
    context.ticker.add(this);
  }

  /** The topics that a filter selects, as they are now, in the form of retained messages. */
  find(filter: string): RetainedCursor {
    let left = TOPICS.filter((topic) => filterMatches(filter, topic));
    const read = async (): Promise<readonly Message[]> => {
      if (left.length === 0) return [];
      const values = await this.currentValues();
      const found = left.map((topic) => this.messageOf(topic, values.get(topic)!));
      left = [];
      return found;
    };
    // The selection of these topics is never stored (see retained-feed.ts), so nobody resumes this search.
    return { since: NO_MOMENT, empty: left.length === 0, read, isCurrent: () => true };
  }

  tick(nowTick: number): void {
    if (nowTick % this.intervalTicks !== 0) return;
    this.context.turn.begin();
    this.sample();
    this.publish();
  }

  describeWork(): WorkDescription {
    return { work: '$SYS topics' };
  }

  private sample(): void {
    const { sessions } = this;
    const { meters, traffic } = this.context;
    const totals: Record<LoadName, number> = {
      'messages/received': traffic.packetsReceived,
      'messages/sent': traffic.packetsSent,
      'publish/received': meters.published,
      'publish/sent': meters.delivered,
      'publish/dropped': droppedBy(meters),
      'bytes/received': traffic.bytesReceived,
      'bytes/sent': traffic.bytesSent,
      sockets: traffic.sockets,
      connections: sessions.claims,
    };
    for (const name of LOADS) this.loads[name].sample(totals[name], this.seconds);
    this.maximumClients = Math.max(this.maximumClients, sessions.connected);
  }

  /** Publishes the values that have changed. They are computed only if there is a subscriber. */
  private publish(): void {
    if (this.asked.length > 0 || this.subscribed.length > 0 || this.publishing !== null) return;
    for (const host of this.hosts()) {
      const exchange = host.exchanges.get(this.context.options.exchange);
      if (exchange === undefined || exchange.bindingCount === 0) continue;
      for (const topic of TOPICS) this.asked.push({ host, topic });
    }
    if (this.asked.length > 0) this.context.turn.work(this);
  }

  /** As a task of the work list: looks for the subscribers of one topic, or publishes one. */
  run(): boolean {
    const asked = this.asked.pop();
    if (asked !== undefined) {
      if (this.context.system.reaches(asked.host, this.messageOf(asked.topic, ''))) this.subscribed.push(asked);
      if (this.asked.length > 0) return true;
      if (this.subscribed.length > 0) this.publishLater();
      return false;
    }
    const { values, topics } = this.publishing!;
    const { host, topic } = topics.pop()!;
    const value = values.get(topic)!;
    if (this.published.get(topic) !== value) {
      this.context.system.publish(host, this.messageOf(topic, value), this.context.turn);
    }
    if (topics.length > 0) return true;
    this.published = values;
    this.publishing = null;
    return false;
  }

  private publishLater(): void {
    const topics = this.subscribed;
    this.subscribed = [];
    const begin = (values: ReadonlyMap<string, string>): void => {
      this.publishing = { values, topics };
      this.context.turn.work(this);
    };
    // Values of this moment, not those that a subscription was sent before.
    this.compute().then(begin, (error: unknown) => {
      this.context.log.error({ error }, '$SYS topics cannot be published');
    });
  }

  /** The values, computed not long ago. */
  private currentValues(): Promise<ReadonlyMap<string, string>> {
    const now = this.context.turn.watch.now();
    if (this.values === null || now - this.valuesOf >= VALUES_MS) {
      this.valuesOf = now;
      this.values = this.compute();
    }
    return this.values;
  }

  private async compute(): Promise<ReadonlyMap<string, string>> {
    const sums = await this.sums();
    const { meters, version, turn, traffic } = this.context;
    const { connected, disconnected } = this.sessions;
    this.maximumClients = Math.max(this.maximumClients, connected);
    const { heapUsed, external } = process.memoryUsage();
    const heap = heapUsed + external;
    this.maximumHeap = Math.max(this.maximumHeap, heap);
    const plain: Record<PlainTopic, string | number> = {
      version: `trivium version ${version}`,
      uptime: `${Math.floor((turn.now - this.startedAt) / 1000)} seconds`,
      'clients/connected': connected,
      'clients/active': connected,
      'clients/disconnected': disconnected,
      'clients/inactive': disconnected,
      'clients/total': connected + disconnected,
      'clients/maximum': this.maximumClients,
      'clients/expired': traffic.sessionsExpired,
      'messages/received': traffic.packetsReceived,
      'messages/sent': traffic.packetsSent,
      'bytes/received': traffic.bytesReceived,
      'bytes/sent': traffic.bytesSent,
      'publish/messages/received': meters.published,
      'publish/messages/sent': meters.delivered,
      'publish/messages/dropped': droppedBy(meters),
      'publish/bytes/received': meters.publishedBytes,
      'publish/bytes/sent': meters.deliveredBytes,
      'messages/stored': sums.messages + sums.retained,
      'store/messages/count': sums.messages + sums.retained,
      'store/messages/bytes': sums.bytes,
      'subscriptions/count': sums.subscriptions,
      'shared_subscriptions/count': sums.shared,
      'retained messages/count': sums.retained,
      'heap/current': heap,
      'heap/maximum': this.maximumHeap,
    };
    const values = new Map<string, string>();
    for (const name of PLAIN) values.set(`${ROOT}/broker/${name}`, String(plain[name]));
    for (const name of LOADS) {
      for (const [i, minutes] of MINUTES.entries()) {
        values.set(`${ROOT}/broker/load/${name}/${minutes}min`, this.loads[name].averages[i]!.toFixed(2));
      }
    }
    return values;
  }

  /** Counts in slices. */
  private async sums() {
    const sums = { messages: 0, bytes: 0, subscriptions: 0, shared: 0, retained: 0 };
    let left = COUNT_SLICE;
    for (const host of this.hosts()) {
      const { messages, bytes } = this.context.retained.count(host.name);
      sums.retained += messages;
      sums.bytes += bytes;
      for (const queue of host.queues.values()) {
        sums.messages += queue.readyCount + queue.unackedCount;
        const bindings = host.bindingsOf(queue);
        let count = 0;
        for (const { dialect } of bindings) if (dialect === 'mqtt') count++;
        if (isShared(queue)) sums.shared += count;
        else sums.subscriptions += count;
        left -= 1 + bindings.size;
        if (left > 0) continue;
        left = COUNT_SLICE;
        await this.context.turn.slices.next(this);
      }
    }
    return sums;
  }

  private messageOf(topic: string, value: string): Message {
    const body = Buffer.from(value);
    const key = swapSeparators(topic);
    const { options, turn } = this.context;
    const message = new Message(
      options.exchange,
      key,
      body,
      0,
      body.length,
      NO_BYTES,
      0,
      0,
      NO_CODEC,
      false,
      0,
      NEVER,
      turn.now,
    );
    message.owned = true;
    return message;
  }
}

/** Messages dropped because a QoS 0 receiver was slow, or because a queue was full. */
function droppedBy({ droppedDirect, overflowed }: Meters): number {
  return droppedDirect + overflowed;
}
