// What the broker does by itself, without a user: it deletes the queue of an MQTT session that has expired, removes a
// subscription that its user is no longer permitted, delivers retained messages to a session that has subscribed, and
// publishes below `$SYS`. Front-ends act through their client's session, which checks permissions. For these operations
// there is no client, or the permission was checked before. One object for the broker (FrontEndContext).

import type { Binding } from '../exchange/exchange.ts';
import type { Message } from '../message/message.ts';
import { FAN_OUT_SLICE, FanOut } from '../queue/fan-out.ts';
import type { DirectReceiver, Queue } from '../queue/queue.ts';
import { NEVER_EXPIRES, type QueueEntry } from '../queue/queue-entry.ts';
import type { Target } from '../queue/target.ts';
import type { ConfirmRing } from '../turn/confirms.ts';
import type { Turn } from '../turn/turn.ts';
import type { VirtualHost } from '../vhost/virtual-host.ts';

export class SystemSession {
  /** Deletes a queue with its bindings and messages. Durable with the store's next commit. */
  deleteQueue(host: VirtualHost, queue: Queue): void {
    host.deleteQueue(queue);
  }

  /** Removes a binding to a queue. Durable with the store's next commit. */
  unbind(host: VirtualHost, { source, queue, routingKey, args, dialect }: Binding): void {
    host.unbind(source, { queue: queue! }, routingKey, args, dialect);
  }

  /** From now on the QoS 0 messages of a queue go to `receiver` and not into the queue. */
  receiveDirect(queue: Queue, receiver: DirectReceiver): void {
    queue.direct = receiver;
  }

  /**
   * Puts a message into one queue, without a route. A durable queue adds a hold to `slot`; the caller opened the slot and
   * releases its own hold afterwards.
   */
  enqueue(queue: Queue, message: Message, target: Target, ring: ConfirmRing | null, slot: number): void {
    queue.accept(message, target, ring, slot);
  }

  /** Removes an entry whose client will never settle it: its session has ended. */
  acknowledge(entry: QueueEntry): void {
    entry.queue.acknowledge(entry);
  }

  /** The entry no longer expires: its client has part of a delivery that must be completed (QoS 2). */
  removeExpiry(entry: QueueEntry): void {
    entry.expiresAt = NEVER_EXPIRES;
  }

  /**
   * Publishes a message of the broker's own (`$SYS`), without a confirm; to thousands of queues in slices. Nothing happens
   * without such an exchange.
   */
  publish(host: VirtualHost, message: Message, turn: Turn): void {
    const targets = this.targetsOf(host, message);
    if (targets.length > FAN_OUT_SLICE) {
      new FanOut(message, targets, null, 0, turn, () => {});
      return;
    }
    for (const target of targets) target.queue.accept(message, target, null, 0);
  }

  /** Whether a message would reach a queue. */
  reaches(host: VirtualHost, message: Message): boolean {
    return this.targetsOf(host, message).length > 0;
  }

  private targetsOf(host: VirtualHost, message: Message): readonly Target[] {
    return host.exchanges.get(message.exchange)?.route(message) ?? [];
  }
}
