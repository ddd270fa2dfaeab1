// Sends the retained messages that the subscriptions of one session selected. They are read one selection after another.
// Those for QoS 1 and 2 are enqueued in the session's queue a few at a time, where they are like all other messages:
// acknowledged, redelivered, and durable if the session is. Those for QoS 0 go to the client as its outbox has room.
//
// However many messages a filter selects, a bounded number of them is in memory and in the queue: the next ones are
// enqueued when the earlier ones were delivered. The progress of each selection of a persistent session is committed
// together with the messages.
//
// A message that was replaced after it was read and before it is enqueued is skipped: its successor was delivered live,
// and the older value must not follow it. Once enqueued, the older one is in front. Called by delivery.ts.

import type { Message } from '../../../src/core/message/message.ts';
import type { DefinitionValue } from '../../../src/core/ports/definitions.ts';
import type { RetainedCursor } from '../../../src/core/ports/retained-store.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { retainedSubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';
import { ConfirmRing, type ConfirmSink } from '../../../src/core/turn/confirms.ts';
import type { Task } from '../../../src/core/turn/turn.ts';
import type { WorkDescription } from '../../../src/core/turn/turn-watch.ts';
import { isExpired, publishByte } from '../packet/encoder-v5.ts';
import { qosOf } from '../packet/property-codec.ts';
import { selectsBrokerTopics } from '../topic/topics.ts';
import { RetainedSelection } from './retained-selection.ts';
import type { SessionConnection } from './session-connection.ts';
import type { SessionContext } from './session-context.ts';

/** Messages, and bytes of bodies, that are read ahead. */
const READ_AHEAD_MESSAGES = 64;
const READ_AHEAD_BYTES = 256 * 1024;
/** Reads of searches before others have their turn; a search that takes longer makes pauses of its own. */
const READS_SLICE = 8;
/** Slices after which SUBACK is sent though no retained message was found yet. */
const SUBACK_SLICES = 32;
/** Messages that are enqueued ahead of their delivery. */
const ENQUEUED_AHEAD = 64;

/** What the feed needs of its session. */
export interface FeedSession {
  readonly vhost: string;
  readonly clientId: string;
  readonly persistent: boolean;
}

/** A retained message that was read and not yet sent. */
interface Found {
  readonly selection: RetainedSelection;
  readonly message: Message;
  readonly cursor: RetainedCursor;
  /** The selection's position before this message. */
  before: string | null;
}

export class RetainedFeed implements Task, ConfirmSink {
  private readonly session: FeedSession;
  private readonly context: SessionContext;
  /** By filter: a session has as many as subscriptions at most. */
  private readonly selections: Map<string, RetainedSelection>;
  private connection: SessionConnection | null;
  private queue: Queue | null;
  /** What was read; entries before `at` were handed on. */
  private found: Found[];
  private at: number;
  /** Messages that a full disk refused: they are enqueued again before all others. */
  private refused: Found[];
  private filling: Promise<void> | null;
  /** Called when SUBACK waits no longer for a retained message; null: it does not wait. */
  private enough: (() => void) | null;
  /** Counts connections: a read that was started for an earlier one is discarded. */
  private epoch: number;
  private scheduled: boolean;
  /** The sequence number after the last entry that was enqueued. */
  private enqueuedTo: number;
  /** Entries enqueued since all earlier ones were delivered. */
  private enqueued: number;
  /** Reports which messages a full disk refused. Made with the first durable message. */
  private ring: ConfirmRing | null;

  constructor(session: FeedSession, context: SessionContext) {
    this.session = session;
    this.context = context;
    this.selections = new Map();
    this.connection = null;
    this.queue = null;
    this.found = [];
    this.at = 0;
    this.refused = [];
    this.filling = null;
    this.enough = null;
    this.epoch = 0;
    this.scheduled = false;
    this.enqueuedTo = 0;
    this.enqueued = 0;
    this.ring = null;
  }

  /** Restores a selection after a restart. */
  recover(filter: string, value: DefinitionValue): void {
    this.selections.set(filter, RetainedSelection.fromJson(filter, value));
  }

  /** Whether the feed can be dropped: nothing is left to send, and nothing can be refused any more. */
  get idle(): boolean {
    return this.selections.size === 0 && this.first() === undefined && (this.ring === null || this.ring.size === 0);
  }

  /** A client connected; `resume` starts sending. */
  attach(connection: SessionConnection, queue: Queue): void {
    this.connection = connection;
    if (this.queue === queue) return;
    this.queue = queue;
    // After a restart, messages of a recovered selection may be in the queue already.
    this.enqueuedTo = this.selections.size === 0 ? 0 : queue.nextSeq;
    this.enqueued = ENQUEUED_AHEAD;
  }

  /** The connection closed. Selections of a persistent session keep their position. */
  detach(): void {
    this.connection = null;
    this.epoch++;
    this.filling = null;
    this.found = [];
    this.at = 0;
    for (const selection of this.selections.values()) {
      selection.cursor = null;
      selection.exhausted = false;
      selection.waiting = this.refused.filter((found) => found.selection === selection).length;
      if (!selection.durable) this.drop(selection.filter);
    }
  }

  /**
   * Selects the retained messages for a subscription, and drops what a subscription with the same filter had left. The
   * selection of a persistent session is stored with the next commit, and its messages are enqueued after `granted`,
   * because the subscription may be refused.
   */
  select(filter: string, qos: number, identifier: number): void {
    const { session, context } = this;
    this.drop(filter);
    const cursor = context.retainedMessages.find(session.vhost, filter);
    if (cursor.empty) return;
    const durable = session.persistent && qos > 0 && !selectsBrokerTopics(filter);
    const selection = new RetainedSelection(
      filter,
      retainedSubscriptionOptions(qos, identifier),
      durable,
      cursor.since,
      null,
    );
    selection.cursor = cursor;
    selection.ungranted = durable;
    this.selections.set(filter, selection);
    if (durable) this.save(selection);
  }

  /** The subscription of the filter is committed. */
  granted(filter: string): void {
    const selection = this.selections.get(filter);
    if (selection?.ungranted !== true) return;
    selection.ungranted = false;
    this.resume();
  }

  /** The subscription was removed: its messages are not sent any more. */
  drop(filter: string): void {
    const selection = this.selections.get(filter);
    if (selection === undefined) return;
    selection.dropped = true;
    this.forget(selection);
  }

  /** The session has ended or has lost its subscriptions. */
  dropAll(): void {
    for (const filter of [...this.selections.keys()]) this.drop(filter);
  }

  /** Reads ahead. Resolves when messages were read, none are left, or the searches take long. */
  async firstFound(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.enough = resolve;
    await Promise.race([this.fill(), promise]);
    this.enough = null;
  }

  /** Reads ahead. Resolves when messages were read or none are left. */
  private fill(): Promise<void> {
    if (this.filling !== null) return this.filling;
    const { epoch } = this;
    // Reset after `read` and not in it: a read without anything to wait for would end before the assignment below.
    const filling = this.read(epoch).then(() => {
      if (epoch === this.epoch) this.filling = null;
    });
    this.filling = filling;
    return filling;
  }

  /** Continues: the outbox has room again, or the client has acknowledged messages. */
  resume(): void {
    if (this.scheduled || this.selections.size === 0) return;
    this.scheduled = true;
    this.context.turn.work(this);
  }

  /** An entry of the session's queue was delivered. */
  delivered(seq: number): void {
    if (seq + 1 >= this.enqueuedTo) this.resume();
  }

  describeWork(): WorkDescription {
    const { vhost, clientId } = this.session;
    return { work: 'retained messages of a session', vhost, clientId, selections: this.selections.size };
  }

  /** As a task of the turn's work list: sends or enqueues what was read, as far as possible. */
  run(): boolean {
    this.scheduled = false;
    const { connection, queue } = this;
    if (connection === null || queue === null) return false;
    const moved = new Set<RetainedSelection>();
    for (let next = this.next(moved); next !== null; next = this.next(moved)) {
      const { selection, message } = next;
      const enqueues = Math.min(qosOf(message), selection.options.qos) > 0;
      if (enqueues ? !this.mayEnqueue(queue, message) : !connection.outbox.writable) break;
      this.takeFirst(next, moved);
      if (enqueues) this.enqueue(queue, next);
      else this.send(connection, selection, message);
    }
    for (const selection of moved) this.saveProgress(selection);
    return false;
  }

  /** Enqueued messages are committed, or a full disk refused them: then they are enqueued again. */
  confirmed(ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    if (ok) return;
    for (let slot = from; slot <= to; slot++) {
      const found = ring.tagAt(slot) as Found;
      const { selection } = found;
      if (selection.dropped) continue;
      this.refused.push(found);
      selection.waiting++;
      // The selection may have been removed already.
      this.selections.set(selection.filter, selection);
      this.save(selection);
    }
    this.resume();
  }

  /** The next message to send; null if none is read yet or none is left. Skips those that are not to be sent. */
  private next(moved: Set<RetainedSelection>): Found | null {
    for (let found = this.first(); found !== undefined; found = this.first()) {
      const { selection, message, cursor } = found;
      if (selection.ungranted && !selection.dropped) return null;
      if (!selection.dropped && cursor.isCurrent(message) && !isExpired(message, this.context.turn.now)) return found;
      this.takeFirst(found, moved);
    }
    if (this.connection === null || this.selections.size === 0 || this.filling !== null) return null;
    const { epoch } = this;
    this.fill().then(() => {
      if (epoch === this.epoch) this.resume();
    });
    return null;
  }

  private first(): Found | undefined {
    return this.refused[0] ?? this.found[this.at];
  }

  /** Removes `found`, which is `first()`, and moves its selection on. */
  private takeFirst(found: Found, moved: Set<RetainedSelection>): void {
    const { selection, message } = found;
    selection.waiting--;
    moved.add(selection);
    if (this.refused.length > 0) {
      this.refused.shift();
      return;
    }
    this.at++;
    found.before = selection.after;
    selection.after = message.routingKey;
  }

  /**
   * Whether one more message may be enqueued: while the queue is short, or while fewer than `ENQUEUED_AHEAD` were enqueued
   * behind its backlog. Not while publishing is blocked because of the disk, and not if the queue would drop a message.
   */
  private mayEnqueue(queue: Queue, message: Message): boolean {
    if (this.session.persistent && this.context.connections.held?.disk === true) return false;
    if (queue.readyCount === 0) return true;
    if (!queue.hasRoomFor(message)) return false;
    if (queue.deliveredTo >= this.enqueuedTo) this.enqueued = 0;
    return queue.readyCount < ENQUEUED_AHEAD || this.enqueued < ENQUEUED_AHEAD;
  }

  private enqueue(queue: Queue, found: Found): void {
    const { selection, message } = found;
    let slot = 0;
    let ring: ConfirmRing | null = null;
    if (selection.durable) {
      ring = this.ring ??= new ConfirmRing(this, this.context.turn);
      slot = ring.open(found);
    }
    // Set before the entry can be delivered: `delivered` compares with it.
    this.enqueuedTo = queue.nextSeq + 1;
    this.enqueued++;
    this.context.system.enqueue(queue, message, selection.targetOf(queue), ring, slot);
    ring?.settle(slot);
  }

  private send(connection: SessionConnection, { options }: RetainedSelection, message: Message): void {
    const { writer, meters } = this.context;
    if (!writer.publish(connection, message, publishByte(0, true, false), 0, options.subscriptionIds)) return;
    meters.delivered++;
    meters.deliveredBytes += message.bodyLength;
  }

  /** Stores the progress of a selection in the commit of the messages that were enqueued. */
  private saveProgress(selection: RetainedSelection): void {
    if (selection.dropped) return;
    if (selection.exhausted && selection.waiting === 0) this.forget(selection);
    else if (selection.durable) this.save(selection);
  }

  private async read(epoch: number): Promise<void> {
    this.found = this.found.slice(this.at);
    this.at = 0;
    let bytes = 0;
    let reads = 0;
    for (const { message } of this.found) bytes += message.bodyLength;
    for (const selection of this.selections.values()) {
      while (!selection.exhausted && this.found.length < READ_AHEAD_MESSAGES && bytes < READ_AHEAD_BYTES) {
        const cursor = (selection.cursor ??= this.cursorOf(selection));
        if (++reads % READS_SLICE === 0) {
          await this.context.turn.slices.next(this);
          if (reads >= READS_SLICE * SUBACK_SLICES) this.enough?.();
          if (epoch !== this.epoch) return;
          if (selection.dropped) break;
        }
        const messages = await this.readSome(selection, cursor);
        // Checked after every await: the connection may have closed, or the subscription be removed.
        if (epoch !== this.epoch) return;
        if (selection.dropped) break;
        for (const message of messages) {
          this.found.push({ selection, message, cursor, before: null });
          bytes += message.bodyLength;
        }
        selection.waiting += messages.length;
        if (messages.length > 0) continue;
        selection.exhausted = true;
        if (selection.waiting === 0) this.forget(selection);
      }
    }
  }

  /** Resumes its search. */
  private cursorOf(selection: RetainedSelection): RetainedCursor {
    return this.context.retainedMessages.find(this.session.vhost, selection.filter, selection);
  }

  private async readSome({ filter }: RetainedSelection, cursor: RetainedCursor): Promise<readonly Message[]> {
    try {
      return await cursor.read();
    } catch (error) {
      this.context.log.error({ filter, error }, 'retained messages cannot be read');
      return [];
    }
  }

  /** After a restart it resumes before the first message that was refused. */
  private save(selection: RetainedSelection): void {
    const refused = this.refused.find((found) => found.selection === selection);
    const record = selection.toJson(refused === undefined ? selection.after : refused.before);
    this.context.definitions.put('retained-selection', this.nameOf(selection), record);
    this.context.turn.begin();
  }

  private forget(selection: RetainedSelection): void {
    this.selections.delete(selection.filter);
    if (!selection.durable) return;
    this.context.definitions.remove('retained-selection', this.nameOf(selection));
    this.context.turn.begin();
  }

  private nameOf({ filter }: RetainedSelection): readonly string[] {
    return [this.session.vhost, this.session.clientId, filter];
  }
}
