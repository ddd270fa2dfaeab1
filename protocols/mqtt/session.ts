// A session: what the broker remembers of a client id. A clean one lives as long as its connection, a persistent one
// (MQTT 3.1.1 §3.1.2.4) longer: its queue and bindings are durable definitions of the core and survive restarts; packet
// ids are remembered in memory. The queue is the session's one target: whatever its filters, a publish reaches it once.
//
// It is the core's end of the delivery: QoS 1 comes through a consumer on the queue, within the inflight window; QoS 0
// comes past the queue and is dropped and counted where the client cannot take it.

import type { Consumer, DeliverySink } from '../../src/core/consumer.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE, textField } from '../../src/core/field-table.ts';
import type { Message } from '../../src/core/message.ts';
import type { DirectReceiver } from '../../src/core/queue.ts';
import type { QueueEntry } from '../../src/core/queue-entry.ts';
import type { Session } from '../../src/core/session.ts';
import type { Target } from '../../src/core/target.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import type { Subscription } from './control.ts';
import { Inflight } from './inflight.ts';
import { FIRST_BYTE, SUBSCRIBE_REFUSED } from './packet-types.ts';
import { writeAck } from './publish.ts';
import { ARRIVAL, Received } from './received.ts';
import { RetainedBacklog } from './retained-backlog.ts';
import { queueNameOf, SESSION_ARGUMENT } from './session-queue.ts';
import type { MqttShared } from './shared.ts';
import { Subscriptions } from './subscriptions.ts';

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
  private consumer: Consumer | null;
  private subscriptions: Subscriptions | null;
  /** This and all below are made when they are first used: most sessions are idle. */
  private inflight: Inflight | null;
  private backlog: RetainedBacklog | null;
  private received: Received | null;

  constructor(clientId: string, persistent: boolean, shared: MqttShared) {
    this.clientId = clientId;
    this.queueName = queueNameOf(clientId);
    this.persistent = persistent;
    this.shared = shared;
    this.link = null;
    this.consumer = null;
    this.subscriptions = null;
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

  /** Subscribes and gives the SUBACK codes in the order of the request. Rejects with nothing but our own bugs. */
  async subscribe(requests: readonly Subscription[]): Promise<number[]> {
    const { link } = this;
    if (link !== null && this.subscriptions === null) await this.openForSubscriptions(link);
    if (this.link === null || this.subscriptions === null) return requests.map(() => SUBSCRIBE_REFUSED);
    return this.subscriptions.add(requests, this.link.core);
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    if (this.link !== null) await this.subscriptions?.remove(filters, this.link.core);
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
    this.subscriptions = null;
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

  /** A QoS 2 PUBLISH: true where it is new and to be published. A repeated one gets its PUBREC when that is due. */
  receiveOnce(id: number): boolean {
    const arrival = (this.received ??= new Received()).arrived(id);
    if (arrival === ARRIVAL.answer) this.writeReceived(id);
    return arrival === ARRIVAL.first;
  }

  /** QoS 2 publishes without PUBREL. */
  get unreleased(): number {
    return this.received === null ? 0 : this.received.size;
  }

  /** A QoS 2 publish was settled by the core, over the connection that is `connected` or over one before. */
  settled(id: number, ok: boolean, connected: boolean): void {
    if (this.received?.settled(id, ok, connected)) this.writeReceived(id);
  }

  /** PUBREL. */
  released(id: number): void {
    this.received?.released(id);
  }

  private writeReceived(id: number): void {
    if (this.link === null) return;
    const { outbox } = this.link;
    outbox.reserve(4);
    outbox.position = writeAck(outbox.buffer, outbox.position, FIRST_BYTE.pubrec, id);
  }

  /** A clean session gets its queue with its first subscription. Where that is refused there is none afterwards. */
  private async openForSubscriptions(link: SessionLink): Promise<void> {
    try {
      await this.openQueue(link);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      this.shared.log.info({ queue: this.queueName, error: error.message }, 'MQTT subscriptions refused');
    }
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
    consumer.queue.direct = this;
    this.subscriptions = new Subscriptions(consumer.queue, this.shared);
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
