// A session: what the broker remembers of a client id. A clean one lives as long as its connection, a persistent one
// (MQTT 3.1.1 §3.1.2.4) longer: its queue and bindings are durable definitions of the core and survive restarts; packet
// ids are remembered in memory. The queue is the session's one target: whatever its filters, a publish reaches it once.
//
// It is the core's end of the delivery: QoS 1 comes through a consumer on the queue, within the inflight window; QoS 0
// comes past the queue and is dropped and counted where the client cannot take it.

import { Binding } from '../../src/core/binding.ts';
import type { Consumer, DeliverySink } from '../../src/core/consumer.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE, type Field, type FieldTable, textField } from '../../src/core/field-table.ts';
import type { Message } from '../../src/core/message.ts';
import type { DirectReceiver, Queue } from '../../src/core/queue.ts';
import type { QueueEntry } from '../../src/core/queue-entry.ts';
import type { Session } from '../../src/core/session.ts';
import type { Target } from '../../src/core/target.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import type { Subscription } from './control.ts';
import { Inflight } from './inflight.ts';
import { FIRST_BYTE, SUBSCRIBE_REFUSED } from './packet-types.ts';
import { writeAck } from './publish.ts';
import { RetainedBacklog } from './retained-backlog.ts';
import { queueNameOf, SESSION_ARGUMENT } from './session-queue.ts';
import type { MqttShared } from './shared.ts';
import { filterWithin, swapSeparators } from './topics.ts';

/** The highest QoS that a subscription is granted. */
const GRANTED_QOS = 1;

/** Where a QoS 2 publish of the client stands between its PUBLISH and its PUBREL. */
const RECEIVED = {
  /** Offered to the core, not settled: no PUBREC yet. */
  offered: 0,
  /** The same, and the client asked again over a newer connection, which gets the PUBREC. */
  awaited: 1,
  settled: 2,
} as const;

/** The session's end of a connection. */
export interface SessionLink {
  readonly outbox: Outbox;
  readonly core: Session;
  /** The queue was deleted beneath the session. */
  queueGone(): void;
}

export class MqttSession implements DeliverySink, DirectReceiver {
  readonly clientId: string;
  readonly queueName: string;
  readonly persistent: boolean;
  private readonly shared: MqttShared;
  private link: SessionLink | null;
  private queue: Queue | null;
  private consumer: Consumer | null;
  /** How many subscriptions there are. Which they are is known to the core alone: they are bindings of the queue. */
  private subscriptionCount: number;
  /** This and all below are made when they are first used: most sessions are idle. */
  private inflight: Inflight | null;
  private backlog: RetainedBacklog | null;
  private received: Map<number, number> | null;

  constructor(clientId: string, persistent: boolean, shared: MqttShared) {
    this.clientId = clientId;
    this.queueName = queueNameOf(clientId);
    this.persistent = persistent;
    this.shared = shared;
    this.link = null;
    this.queue = null;
    this.consumer = null;
    this.subscriptionCount = 0;
    this.inflight = null;
    this.backlog = null;
    this.received = null;
  }

  /** A connection takes the session over; the one before was detached. Persistent sessions get their queue here. */
  async attach(link: SessionLink): Promise<void> {
    this.link = link;
    if (this.persistent) await this.openQueue(link);
  }

  /** The client knows that it is connected: what is waiting for it may come. */
  start(): void {
    const { link } = this;
    if (link === null) return;
    if (this.inflight !== null) {
      for (const [id, message] of this.inflight.retainedOut()) {
        this.shared.encoder.writeRetained(link.outbox, message, id, true);
      }
    }
    this.consumer?.start();
  }

  /** The connection is gone. What it held unacknowledged goes back to the queue. */
  detach(): void {
    const { link, consumer } = this;
    if (link === null) return;
    this.link = null;
    this.backlog = null;
    if (consumer !== null) link.core.cancel(consumer);
    this.consumer = null;
    if (this.persistent && this.inflight !== null) link.core.requeueAll(this.inflight.drain());
  }

  /** The outbox takes more again. */
  drained(): void {
    this.drainBacklog();
    this.consumer?.resume();
  }

  /** Subscribes and returns the SUBACK codes in the order of the request (§3.9.3). Rejects with nothing but our bugs. */
  async subscribe(requests: readonly Subscription[]): Promise<number[]> {
    if (this.queue === null && !(await this.openedQueue())) return requests.map(() => SUBSCRIBE_REFUSED);
    // Side by side, so that they share a commit; one filter that is there twice keeps its order.
    const byFilter = new Map<string, Promise<number>>();
    for (const { filter, qos } of requests) {
      const before = byFilter.get(filter);
      const granted = Math.min(qos, GRANTED_QOS);
      const subscribing =
        before === undefined
          ? this.subscribeOne(filter, granted)
          : before.then(() => this.subscribeOne(filter, granted));
      byFilter.set(filter, subscribing);
    }
    await Promise.all(byFilter.values());
    const codes: number[] = [];
    for (const { filter, qos } of requests) {
      const code = await byFilter.get(filter)!;
      codes.push(code === SUBSCRIBE_REFUSED ? code : Math.min(qos, GRANTED_QOS));
    }
    return codes;
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    for (const filter of filters) {
      const qos = this.subscribedQos(filter);
      if (qos === null || this.link === null) continue;
      this.subscriptionCount--;
      await this.link.core.unbindQueue(this.bindingOf(filter, qos));
    }
  }

  /** Sends the retained messages that a new subscription selects (§3.8.4), as the outbox takes them. */
  sendRetained(filter: string, qos: number): void {
    if (this.link === null) return;
    const messages = this.shared.retained.matching(this.link.core.vhost.name, filter);
    if (messages.length === 0) return;
    this.backlog ??= new RetainedBacklog();
    this.backlog.add(messages, qos);
    this.drainBacklog();
  }

  /** Deliveries of the queue may begin, where a subscription just opened it. */
  startDeliveries(): void {
    this.consumer?.start();
  }

  // What the core calls.

  deliver(_consumer: Consumer, message: Message, entry: QueueEntry, redelivered: boolean): void {
    const { encoder, meters } = this.shared;
    const { outbox, core } = this.link!;
    if (!message.persistent) {
      // QoS 0 has a way of its own; what came through the queue all the same was bound or requeued by other hands.
      if (!encoder.writeQos0(outbox, message)) meters.undeliverable++;
      core.acknowledge(entry);
      return;
    }
    const inflight = (this.inflight ??= new Inflight());
    const id = inflight.add(entry);
    if (encoder.writeQos1(outbox, message, id, redelivered)) return;
    meters.undeliverable++;
    inflight.take(id);
    core.acknowledge(entry);
  }

  writable(): boolean {
    return this.link?.outbox.writable === true && (this.inflight === null || this.inflight.hasRoom);
  }

  cancelled(): void {
    this.consumer = null;
    this.queue = null;
    this.link?.queueGone();
  }

  receive(message: Message, _target: Target): void {
    const { encoder, meters } = this.shared;
    const { link } = this;
    if (link === null || !link.outbox.writable) {
      meters.droppedDirect++;
      return;
    }
    if (!encoder.writeQos0(link.outbox, message)) {
      meters.undeliverable++;
      return;
    }
    meters.delivered++;
    meters.deliveredBytes += message.bodyLength;
  }

  // Acknowledgements, both ways.

  /** PUBACK. An id that is not out is ignored: the client may answer a message that expired meanwhile. */
  acknowledged(id: number): void {
    const { inflight, link } = this;
    if (inflight === null || link === null) return;
    const entry = inflight.take(id);
    if (entry !== null) link.core.acknowledge(entry);
    else if (inflight.takeRetained(id)) this.drainBacklog();
  }

  /**
   * A QoS 2 PUBLISH: true where it is new and to be published, false where it was seen before. A repeated one gets its
   * PUBREC once the first one is settled (§4.3.3).
   */
  receiveOnce(id: number): boolean {
    const received = (this.received ??= new Map());
    const state = received.get(id);
    if (state === undefined) {
      received.set(id, RECEIVED.offered);
      return true;
    }
    if (state === RECEIVED.settled) this.writeReceived(id);
    else received.set(id, RECEIVED.awaited);
    return false;
  }

  /** QoS 2 publishes without PUBREL. */
  get unreleased(): number {
    return this.received === null ? 0 : this.received.size;
  }

  /**
   * A QoS 2 publish was settled by the core, over the connection that asks or one before. Writes the PUBREC to whoever
   * waits for it. A refused one is forgotten, so that the client may send it again.
   */
  settled(id: number, ok: boolean, byCurrentConnection: boolean): void {
    const state = this.received?.get(id);
    if (state === undefined) return;
    if (!ok) {
      this.received!.delete(id);
      return;
    }
    this.received!.set(id, RECEIVED.settled);
    if (byCurrentConnection || state === RECEIVED.awaited) this.writeReceived(id);
  }

  /** PUBREL: the id may be used again. */
  released(id: number): void {
    this.received?.delete(id);
  }

  private writeReceived(id: number): void {
    if (this.link === null) return;
    const { outbox } = this.link;
    outbox.reserve(4);
    outbox.position = writeAck(outbox.buffer, outbox.position, FIRST_BYTE.pubrec, id);
  }

  private async subscribeOne(filter: string, qos: number): Promise<number> {
    const { limits } = this.shared;
    const { link } = this;
    const known = this.subscribedQos(filter);
    const room = known !== null || this.subscriptionCount < limits.subscriptionsPerSession;
    if (link === null || !room || !filterWithin(filter, limits)) return SUBSCRIBE_REFUSED;
    if (known === null) this.subscriptionCount++;
    try {
      await link.core.bindQueue(this.bindingOf(filter, qos));
      // [MQTT-3.8.4-3]: the new subscription takes the place of the old one, without a gap.
      if (known !== null && known !== qos) await link.core.unbindQueue(this.bindingOf(filter, known));
    } catch (error) {
      if (known === null) this.subscriptionCount--;
      return this.subscriptionRefused(error, filter);
    }
    return qos;
  }

  /** Whether the session has its queue now. */
  private async openedQueue(): Promise<boolean> {
    const { link } = this;
    if (link === null) return false;
    try {
      await this.openQueue(link);
    } catch (error) {
      this.subscriptionRefused(error, '');
    }
    return this.queue !== null;
  }

  private subscriptionRefused(error: unknown, filter: string): number {
    if (!(error instanceof BrokerError)) throw error;
    this.shared.log.info({ clientId: this.clientId, filter, error: error.message }, 'MQTT subscription refused');
    return SUBSCRIBE_REFUSED;
  }

  /** Declares or finds the session's queue and consumes it. A clean session's is exclusive and ends with it. */
  private async openQueue(link: SessionLink): Promise<void> {
    const { core } = link;
    const name = this.queueName;
    const clean = !this.persistent;
    await core.declareQueue({
      name,
      durable: this.persistent,
      exclusive: clean,
      autoDelete: false,
      args: [textField(SESSION_ARGUMENT, this.clientId)],
    });
    const consumer = await core.consume(
      name,
      {
        tag: this.clientId,
        noAck: false,
        exclusive: false,
        prefetch: this.shared.limits.receiveMaximum,
        priority: 0,
        args: EMPTY_TABLE,
      },
      this,
    );
    if (this.link !== link) {
      // The connection went meanwhile.
      core.cancel(consumer);
      if (clean) await core.deleteQueue(name, { ifUnused: false, ifEmpty: false });
      return;
    }
    this.consumer = consumer;
    this.queue = consumer.queue;
    this.queue.direct = this;
    this.subscriptionCount = 0;
    for (const binding of consumer.queue.bindings) if (binding.dialect === 'mqtt') this.subscriptionCount++;
  }

  /** The QoS of the subscription with that filter, or null where there is none. */
  private subscribedQos(filter: string): number | null {
    const { queue, link } = this;
    if (queue === null || link === null) return null;
    const exchange = link.core.vhost.exchanges.get(this.shared.exchange);
    if (exchange === undefined) return null;
    for (const [qos, args] of QOS_ARGUMENTS.entries()) {
      const probe = new Binding(exchange, { queue }, swapSeparators(filter), args, 'mqtt');
      if (exchange.findBinding(probe.identity, args, 'mqtt') !== null) return qos;
    }
    return null;
  }

  private bindingOf(
    filter: string,
    qos: number,
  ): { queue: string; exchange: string; routingKey: string; args: FieldTable; dialect: 'mqtt' } {
    return {
      queue: this.queueName,
      exchange: this.shared.exchange,
      routingKey: swapSeparators(filter),
      args: QOS_ARGUMENTS[qos]!,
      dialect: 'mqtt',
    };
  }

  private drainBacklog(): void {
    const { backlog, link, shared } = this;
    if (backlog === null || link === null) return;
    while (link.outbox.writable) {
      const message = backlog.peek();
      if (message === null) {
        this.backlog = null;
        return;
      }
      let id = 0;
      if (message.persistent && backlog.peekQos() > 0) {
        const inflight = (this.inflight ??= new Inflight());
        if (!inflight.hasRoom || inflight.retainedSize >= shared.limits.receiveMaximum) return;
        id = inflight.addRetained(message);
      }
      backlog.next();
      shared.encoder.writeRetained(link.outbox, message, id, false);
      shared.meters.delivered++;
      shared.meters.deliveredBytes += message.bodyLength;
    }
  }
}

/** Binding arguments by QoS, shared by all bindings. */
const QOS_ARGUMENTS: readonly FieldTable[] = [0, 1, 2].map((value): readonly Field[] => [
  { name: 'x-mqtt-qos', value: { type: 'B', value } },
]);
