// The retained messages that one session still has to be sent after its subscriptions. They are searched for one
// selection after the other, and join the session's queue a few at a time (QoS 1 and 2), where they are what all other
// messages are: numbered, acknowledged, sent again, and durable where the session is. What is for QoS 0 goes to the client
// as its outbox allows.
//
// However many a filter selects, a bounded number is in memory and in the queue at a time: the next ones join when those
// before them were handed out. How far each selection of a persistent session has come is committed with the messages.
//
// What was replaced between reading and joining is left out: its successor has come live, and the older one must not come
// behind it. In the queue the older one is in front.

import type { Message } from '../../../src/core/message/message.ts';
import type { DefinitionValue } from '../../../src/core/ports/definitions.ts';
import type { RetainedCursor } from '../../../src/core/ports/retained-store.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { retainedSubscriptionOptions } from '../../../src/core/queue/subscription-options.ts';
import { ConfirmRing, type ConfirmSink } from '../../../src/core/turn/confirms.ts';
import type { Task } from '../../../src/core/turn/turn.ts';
import { isExpired, publishByte } from '../packet/encoder-v5.ts';
import { qosOf } from '../packet/property-codec.ts';
import { selectsBrokerTopics } from '../topic/topics.ts';
import { RetainedSelection } from './retained-selection.ts';
import type { SessionConnection } from './session-connection.ts';
import type { SessionContext } from './session-context.ts';

/** Reading stops when so many messages or bytes of bodies are there. */
const ENOUGH_MESSAGES = 64;
const ENOUGH_BYTES = 256 * 1024;
/** Messages that join a queue ahead of its deliveries. */
const AHEAD = 64;

/** Whose messages they are. */
export interface FeedSession {
  readonly vhost: string;
  readonly clientId: string;
  readonly persistent: boolean;
}

/** A message that was read. */
interface Found {
  readonly selection: RetainedSelection;
  readonly message: Message;
  readonly cursor: RetainedCursor;
  /** Where the selection stood when it was handed on. */
  before: string | null;
}

export class RetainedFeed implements Task, ConfirmSink {
  private readonly session: FeedSession;
  private readonly context: SessionContext;
  /** By filter: a session has as many as subscriptions at most. */
  private readonly selections: Map<string, RetainedSelection>;
  private connection: SessionConnection | null;
  private queue: Queue | null;
  private found: Found[];
  private at: number;
  /** What joined the queue and was refused by a full disk: it is to join again, before all else. */
  private refused: Found[];
  private filling: Promise<void> | null;
  /** Grows with each connection: what was being read for the one before is void. */
  private epoch: number;
  private scheduled: boolean;
  /** The number behind the last entry that joined the queue, and how many did since all before them were handed out. */
  private joinedTo: number;
  private joined: number;
  /** What a full disk refuses comes back through it. Made with the first message that is stored. */
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
    this.epoch = 0;
    this.scheduled = false;
    this.joinedTo = 0;
    this.joined = 0;
    this.ring = null;
  }

  /** Takes up what an earlier start left of a selection. */
  recover(filter: string, value: DefinitionValue): void {
    this.selections.set(filter, RetainedSelection.fromJson(filter, value));
  }

  /** Whether it may be forgotten: nothing waits, and nothing may come back. */
  get idle(): boolean {
    return this.selections.size === 0 && this.first() === undefined && (this.ring === null || this.ring.size === 0);
  }

  /** A client is there; `resume` begins. */
  attach(connection: SessionConnection, queue: Queue): void {
    this.connection = connection;
    if (this.queue === queue) return;
    this.queue = queue;
    // Where something was recovered, some may have joined before.
    this.joinedTo = this.selections.size === 0 ? 0 : queue.nextSeq;
    this.joined = AHEAD;
  }

  /** It is gone. Selections of persistent sessions wait for it where they are. */
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
   * A subscription selects retained messages, in the place of what the one with the same filter before it had left. Of a
   * persistent session it is durable with what is committed next, and its messages join the queue after that (`granted`):
   * the subscription may be refused.
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
    selection.awaited = durable;
    this.selections.set(filter, selection);
    if (durable) this.save(selection);
  }

  /** The subscription is committed. */
  granted(filter: string): void {
    const selection = this.selections.get(filter);
    if (selection?.awaited !== true) return;
    selection.awaited = false;
    this.resume();
  }

  /** The subscription is over: what waits for it is not sent any more. */
  drop(filter: string): void {
    const selection = this.selections.get(filter);
    if (selection === undefined) return;
    selection.dropped = true;
    this.remove(selection);
  }

  /** The session has ended, or has lost its subscriptions. */
  dropAll(): void {
    for (const filter of [...this.selections.keys()]) this.drop(filter);
  }

  /** Resolves when the first messages are there, or none are left. */
  fill(): Promise<void> {
    if (this.filling !== null) return this.filling;
    const { epoch } = this;
    // Reset behind it and not within: where there is nothing to wait for it ends before it is kept here.
    const filling = this.read(epoch).then(() => {
      if (epoch === this.epoch) this.filling = null;
    });
    this.filling = filling;
    return filling;
  }

  /** Messages may go on: the outbox takes more, or the client has acknowledged some. */
  resume(): void {
    if (this.scheduled || this.selections.size === 0) return;
    this.scheduled = true;
    this.context.turn.work(this);
  }

  /** An entry of the queue was handed out. */
  handedOut(seq: number): void {
    if (seq + 1 >= this.joinedTo) this.resume();
  }

  /** As a task of the work list: hands on what was read, as far as that goes. */
  run(): boolean {
    this.scheduled = false;
    const { connection, queue } = this;
    if (connection === null || queue === null) return false;
    const moved = new Set<RetainedSelection>();
    for (let next = this.next(moved); next !== null; next = this.next(moved)) {
      const { selection, message } = next;
      const joins = Math.min(qosOf(message), selection.subscriptionOptions.qos) > 0;
      if (joins ? !this.mayJoin(queue, message) : !connection.outbox.writable) break;
      this.handOn(next, moved);
      if (joins) this.join(queue, next);
      else this.send(connection, selection, message);
    }
    for (const selection of moved) this.settle(selection);
    return false;
  }

  /** What joined the queue is on disk, or a full disk refused it: then it is to join again. */
  confirmed(ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    if (ok) return;
    for (let slot = from; slot <= to; slot++) {
      const found = ring.tagAt(slot) as Found;
      const { selection } = found;
      if (selection.dropped) continue;
      this.refused.push(found);
      selection.waiting++;
      // It may have been done with.
      this.selections.set(selection.filter, selection);
      this.save(selection);
    }
    this.resume();
  }

  /** The next message that is to be handed on, or null where none is there yet or none is left. */
  private next(moved: Set<RetainedSelection>): Found | null {
    for (let found = this.first(); found !== undefined; found = this.first()) {
      const { selection, message, cursor } = found;
      if (selection.awaited && !selection.dropped) return null;
      if (!selection.dropped && cursor.isCurrent(message) && !isExpired(message, this.context.turn.now)) return found;
      this.handOn(found, moved);
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

  /** The first one leaves, whatever becomes of it. */
  private handOn(found: Found, moved: Set<RetainedSelection>): void {
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
   * Whether one more may join the queue: as long as that is short, and so many at a time behind whatever waits there.
   * Nothing is written while the disk keeps publishers waiting, and nothing is dropped for a retained message.
   */
  private mayJoin(queue: Queue, message: Message): boolean {
    if (this.session.persistent && this.context.connections.held?.disk === true) return false;
    if (queue.readyCount === 0) return true;
    if (!queue.hasRoomFor(message)) return false;
    if (queue.deliveredTo >= this.joinedTo) this.joined = 0;
    return queue.readyCount < AHEAD || this.joined < AHEAD;
  }

  private join(queue: Queue, found: Found): void {
    const { selection, message } = found;
    let slot = 0;
    let ring: ConfirmRing | null = null;
    if (selection.durable) {
      ring = this.ring ??= new ConfirmRing(this, this.context.turn);
      slot = ring.open(found);
    }
    // Before it is handed out: `handedOut` compares with it.
    this.joinedTo = queue.nextSeq + 1;
    this.joined++;
    queue.accept(message, selection.targetOf(queue), ring, slot);
    ring?.settle(slot);
  }

  private send(connection: SessionConnection, { subscriptionOptions }: RetainedSelection, message: Message): void {
    const { writer, meters } = this.context;
    if (!writer.publish(connection, message, publishByte(0, true, false), 0, subscriptionOptions.subscriptionIds))
      return;
    meters.delivered++;
    meters.deliveredBytes += message.bodyLength;
  }

  /** Some of its messages were handed on: that is kept together with them. */
  private settle(selection: RetainedSelection): void {
    if (selection.dropped) return;
    if (selection.exhausted && selection.waiting === 0) this.remove(selection);
    else if (selection.durable) this.save(selection);
  }

  private async read(epoch: number): Promise<void> {
    this.found = this.found.slice(this.at);
    this.at = 0;
    let bytes = 0;
    for (const { message } of this.found) bytes += message.bodyLength;
    for (const selection of this.selections.values()) {
      while (!selection.exhausted && this.found.length < ENOUGH_MESSAGES && bytes < ENOUGH_BYTES) {
        const cursor = (selection.cursor ??= this.cursorOf(selection));
        const messages = await this.readSome(selection, cursor);
        // The client went meanwhile, or does not want them any more.
        if (epoch !== this.epoch) return;
        if (selection.dropped) break;
        for (const message of messages) {
          this.found.push({ selection, message, cursor, before: null });
          bytes += message.bodyLength;
        }
        selection.waiting += messages.length;
        if (messages.length > 0) continue;
        selection.exhausted = true;
        if (selection.waiting === 0) this.remove(selection);
      }
    }
  }

  /** Takes its search up. */
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

  /** A start goes on before the first message that was refused. */
  private save(selection: RetainedSelection): void {
    const refused = this.refused.find((found) => found.selection === selection);
    const record = selection.toJson(refused === undefined ? selection.after : refused.before);
    this.context.definitions.put('retained-selection', this.nameOf(selection), record);
    this.context.turn.begin();
  }

  private remove(selection: RetainedSelection): void {
    this.selections.delete(selection.filter);
    if (!selection.durable) return;
    this.context.definitions.remove('retained-selection', this.nameOf(selection));
    this.context.turn.begin();
  }

  private nameOf({ filter }: RetainedSelection): readonly string[] {
    return [this.session.vhost, this.session.clientId, filter];
  }
}
