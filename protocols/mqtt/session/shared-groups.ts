// Shared subscriptions (MQTT 5 §4.8.2, offered to every version). Each pair of group and filter has one queue, bound like a
// session's; its consumers are the connected members. When a member disconnects, its unacknowledged messages are requeued
// for the others, except QoS 2 messages that were sent to it: only that member may complete them, so it has a claim on
// their entries. The queue is deleted with its last member, connected or not. Used by the sessions.

import type { Message } from '../../../src/core/message/message.ts';
import type { Meters } from '../../../src/core/ports/meters.ts';
import type { DirectReceiver, Queue } from '../../../src/core/queue/queue.ts';
import type { QueueEntry } from '../../../src/core/queue/queue-entry.ts';
import type { SubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';
import type { SystemSession } from '../../../src/core/session/system-session.ts';
import type { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import type { SharedFilter } from '../topic/shared-filter.ts';
import { isShared, sharedQueueNameOf } from './session-queue.ts';

/** A session that is in a group, connected or not. */
export interface GroupMember {
  /** Whether it would take a QoS 0 message now. */
  readonly takesDirect: boolean;
  /** The group passes over this member until it says that it is `ready` again. */
  passedOver(group: SharedGroup): void;
  /** Sends a QoS 0 message to its client. */
  receiveWith(message: Message, options: SubscriptionOptions): void;
  /** An entry that it has claimed was handed to another member: it completes the delivery. */
  deliverClaimed(entry: QueueEntry, message: Message): void;
  /** An entry that it has claimed left the queue without being delivered. */
  claimLost(queueId: number, seq: number): void;
}

export class SharedGroup implements DirectReceiver {
  readonly queue: Queue;
  /** Members, each with the options of its subscription. */
  readonly members: Map<GroupMember, SubscriptionOptions>;
  /** Members that may take a QoS 0 message, in the order of their turns: of 10,000 members most may be away. */
  private readonly takers: Set<GroupMember>;
  /** Subscriptions in progress, which may become members. */
  joining: number;
  /** The member that must complete an entry, by sequence number, ascending unless `unsorted`; null: none. */
  claims: Map<number, GroupMember> | null;
  private unsorted: boolean;
  private readonly meters: Meters;

  constructor(queue: Queue, meters: Meters, system: SystemSession) {
    this.queue = queue;
    this.members = new Map();
    this.takers = new Set();
    this.joining = 0;
    this.claims = null;
    this.unsorted = false;
    this.meters = meters;
    system.receiveDirect(queue, this);
  }

  /** A QoS 0 message goes to the first member whose client can take it now. Members take turns. */
  receive(message: Message): void {
    for (const member of this.takers) {
      this.takers.delete(member);
      if (!member.takesDirect) {
        member.passedOver(this);
        continue;
      }
      this.takers.add(member);
      member.receiveWith(message, this.members.get(member)!);
      return;
    }
    this.meters.droppedDirect++;
  }

  /** A member may take QoS 0 messages. */
  ready(member: GroupMember): void {
    if (this.members.has(member)) this.takers.add(member);
  }

  leave(member: GroupMember): void {
    this.members.delete(member);
    this.takers.delete(member);
  }

  claim(seq: number, member: GroupMember): void {
    this.claims ??= new Map();
    this.claims.set(seq, member);
    this.unsorted = true;
  }

  /**
   * Removes and returns the claim on an entry; null: any member may get it. Entries arrive in the order of their queue, so
   * claimed entries before it are gone (purged, dropped): calls `claimLost` for each.
   */
  takeClaim(seq: number): GroupMember | null {
    if (this.claims === null) return null;
    if (this.unsorted) this.claims = new Map([...this.claims].sort(([a], [b]) => a - b));
    this.unsorted = false;
    const { claims } = this;
    let claimant: GroupMember | null = null;
    for (const [claimed, member] of claims) {
      if (claimed > seq) break;
      claims.delete(claimed);
      if (claimed === seq) claimant = member;
      else member.claimLost(this.queue.id, claimed);
    }
    if (claims.size === 0) this.claims = null;
    return claimant;
  }
}

export class SharedGroups {
  private readonly byQueue: Map<Queue, SharedGroup>;
  private readonly meters: Meters;
  private readonly system: SystemSession;

  constructor(meters: Meters, system: SystemSession) {
    this.byQueue = new Map();
    this.meters = meters;
    this.system = system;
  }

  /** The group of a filter; null where it has no queue. */
  find(host: VirtualHost, filter: SharedFilter): SharedGroup | null {
    const queue = host.queues.get(sharedQueueNameOf(filter));
    return queue === undefined || !isShared(queue) ? null : this.of(queue);
  }

  /** The group whose queue it is. */
  of(queue: Queue): SharedGroup {
    let group = this.byQueue.get(queue);
    if (group === undefined) {
      group = new SharedGroup(queue, this.meters, this.system);
      this.byQueue.set(queue, group);
    }
    return group;
  }

  /** A member unsubscribes or its session ends. Deletes the queue with the last member. */
  leave(host: VirtualHost, filter: SharedFilter, member: GroupMember): void {
    const group = this.find(host, filter);
    if (group === null) return;
    group.leave(member);
    this.deleteUnused(host, group);
  }

  /** Deletes the group's queue if the group has no members. */
  deleteUnused(host: VirtualHost, group: SharedGroup): void {
    const { queue, members, joining } = group;
    if (members.size === 0 && joining === 0 && host.queues.get(queue.name) === queue) this.delete(host, queue);
  }

  delete(host: VirtualHost, queue: Queue): void {
    this.byQueue.delete(queue);
    this.system.deleteQueue(host, queue);
  }

  /** The queue was deleted by somebody else. */
  forget(queue: Queue): void {
    this.byQueue.delete(queue);
  }
}
