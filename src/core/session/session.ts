// A client's session: every front-end acts on the broker through one, one for each connection, and permissions are
// checked here, once (RabbitMQ's rules: configure, write and read over names). What the broker does by itself goes
// through system-session.ts.
//
// Publishing and settling are synchronous and allocate nothing (publish-path.ts). Control operations are promises: they
// resolve when the change is durable, and a connection handles nothing else until then.

import { randomBytes } from 'node:crypto';
import { BrokerError } from '../errors.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { type FieldTable, findField, textOf } from '../message/field-table.ts';
import type { Message } from '../message/message.ts';
import { DEFAULT_DIALECT, type Dialect, permissionKey } from '../message/topic-pattern.ts';
import type { Identity } from '../ports/authorization.ts';
import { type ConsumeOptions, Consumer, type ConsumerOwner, type DeliverySink } from '../queue/consumer.ts';
import type { DirectReceiver, Queue, QueueOwner } from '../queue/queue.ts';
import type { QueueEntry } from '../queue/queue-entry.ts';
import type { ConfirmRing } from '../turn/confirms.ts';
import type { WorkDescription, Worker } from '../turn/turn-watch.ts';
import type { ExchangeDeclaration } from '../vhost/declarations.ts';
import type { ReplyReceiver } from '../vhost/direct-replies.ts';
import type { VirtualHost } from '../vhost/virtual-host.ts';
import { PermissionCache, type TopicResource } from './permission-cache.ts';
import { type PublishOutcome, PublishPath } from './publish-path.ts';
import type { SessionContext } from './session-context.ts';
import { type Settlement, type TransactedPublish, Transaction } from './transaction.ts';

export interface QueueRequest {
  /** Empty: the broker chooses a name `amq.gen-…`. */
  readonly name: string;
  readonly durable: boolean;
  readonly exclusive: boolean;
  readonly autoDelete: boolean;
  readonly args: FieldTable;
}

export interface QueueState {
  readonly name: string;
  /** Ready messages. */
  readonly messageCount: number;
  readonly consumerCount: number;
}

export interface QueueBinding {
  readonly queue: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly args: FieldTable;
  readonly dialect?: Dialect;
}

export interface ExchangeBinding {
  readonly destination: string;
  readonly source: string;
  readonly routingKey: string;
  readonly args: FieldTable;
}

/** One message taken by `get`. */
export interface GetResult {
  readonly message: Message;
  /** Null if no acknowledgement is wanted. */
  readonly entry: QueueEntry | null;
  readonly redelivered: boolean;
  /** Messages that are still ready. */
  readonly messageCount: number;
}

/** An AMQP short string (0-9-1 §4.2.5.3) has at most this length, so names are limited to it. */
const MAX_NAME_BYTES = 255;

/** A consumer with its sink, its tag and its place in its queue. */
const CONSUMER_BYTES = 1_200;

/** Permissions that are asked for before others have their turn. */
const PERMISSIONS_SLICE = 256;

export class Session implements ConsumerOwner, QueueOwner, Worker {
  readonly vhost: VirtualHost;
  readonly identity: Identity;
  private readonly context: SessionContext;
  private readonly permissions: PermissionCache;
  private readonly publishing: PublishPath;
  private readonly consumers: Set<Consumer>;
  /** Memory that its consumers take. */
  consumerBytes: number;
  /** Exclusive queues that it declared; created with the first. */
  private owned: Set<Queue> | null;
  private closed: boolean;

  constructor(vhost: VirtualHost, identity: Identity, context: SessionContext) {
    this.vhost = vhost;
    this.identity = identity;
    this.context = context;
    this.permissions = new PermissionCache(context.authorizer, identity, vhost.name);
    this.publishing = new PublishPath(vhost, this.permissions, context);
    this.consumers = new Set();
    this.consumerBytes = 0;
    this.owned = null;
    this.closed = false;
  }

  /** The client id of an MQTT client in the form of a routing key: topic permissions may name it. */
  set clientId(clientId: string) {
    this.permissions.clientId = clientId;
  }

  /** The client's own queue, if one of its bindings is no-local (MQTT 5 §3.8.3.1). */
  set own(queue: Queue) {
    this.publishing.own = queue;
  }

  /**
   * Publishes to `message.exchange`. Durable targets add their holds to `slot`; the caller opened the slot and releases
   * its own hold afterwards. `pending`: nothing happened; await `ready()` and call again. Throws BrokerError: not-found
   * (exchange), access-refused.
   */
  publish(message: Message, ring: ConfirmRing | null, slot: number): PublishOutcome {
    return this.publishing.publish(message, ring, slot);
  }

  /**
   * Before a body is received that is to be published there. Throws access-refused where it is known that it may not be,
   * not-found.
   */
  requirePublish(exchange: string): void {
    if (this.permissions.knows('write', 'exchange', exchange)) this.vhost.exchange(exchange);
  }

  /** As `publish`, to further routing keys too (sender-selected distribution). Each queue gets the message once. */
  publishCopies(
    message: Message,
    routingKeys: readonly string[],
    ring: ConfirmRing | null,
    slot: number,
  ): PublishOutcome {
    return this.publishing.publishCopies(message, routingKeys, ring, slot);
  }

  /**
   * Routes a message for a later `commit`, by its own and further routing keys. Null: the permission is not known yet;
   * await `ready()` and call again. Throws as `publish`.
   */
  route(message: Message, routingKeys: readonly string[]): TransactedPublish | null {
    return this.publishing.route(message, routingKeys);
  }

  /**
   * Retains a message that this session has published, in place of the previous one of its topic; an empty body removes
   * that one. `slot` gets a hold. False if a limit forbids it.
   */
  retain(message: Message, ring: ConfirmRing | null, slot: number): boolean {
    return this.vhost.retainer.keep(message, ring, slot);
  }

  /** A new address for direct replies, which `receiver` gets until `closeReplies`. */
  openReplies(receiver: ReplyReceiver): string {
    return this.vhost.replies.open(receiver);
  }

  closeReplies(address: string): void {
    this.vhost.replies.close(address);
  }

  /** Whether a requester waits for direct replies at this address. */
  hasReplies(address: string): boolean {
    return this.vhost.replies.has(address);
  }

  /** A queue of the last publish whose consumers are behind, or null. */
  consumersBehind(): Queue | null {
    return this.publishing.consumersBehind();
  }

  /** Resolves when the reason of `pending` is gone: the permission is known, or the fan-out has ended. */
  ready(): Promise<void> {
    return this.publishing.ready();
  }

  /**
   * Does all of a transaction, or nothing. Resolves when it is durable, with the publishes that reached nobody. Rejects
   * with TransactionFailed if nothing was done; the entries to settle are back in their queues then.
   */
  commit<P extends TransactedPublish>(publishes: readonly P[], settlements: readonly Settlement[]): Promise<P[]> {
    return new Transaction<P>(this.context, this.vhost).commit(publishes, settlements);
  }

  /** Resolves when everything that was handed to the store so far is on disk. Rejects with `unavailable`. */
  committed(): Promise<void> {
    return this.vhost.changes.committed();
  }

  async declareExchange(declaration: ExchangeDeclaration): Promise<void> {
    requireName(declaration.name, 'exchange');
    if (declaration.name === '') {
      throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
    }
    await this.permissions.require('configure', 'exchange', declaration.name);
    const alternate = textOf(findField(declaration.args, 'alternate-exchange'));
    if (alternate !== null) {
      await this.permissions.require('read', 'exchange', declaration.name);
      await this.permissions.require('write', 'exchange', alternate);
      this.permissions.requireAllTopics(this.topicResource(alternate));
    }
    if (this.vhost.declareExchange(declaration)) {
      await this.vhost.changes.committed(() => this.vhost.deleteExchange(declaration.name, false));
    } else if (declaration.durable) await this.vhost.changes.settled();
  }

  /** A passive declaration: throws not-found if there is no such exchange. */
  async checkExchange(name: string): Promise<void> {
    if (name === '') throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
    this.vhost.exchange(name);
  }

  async deleteExchange(name: string, ifUnused: boolean): Promise<void> {
    await this.permissions.require('configure', 'exchange', name);
    if (this.vhost.deleteExchange(name, ifUnused)) await this.vhost.changes.committed();
  }

  async bindExchange(binding: ExchangeBinding): Promise<void> {
    const { routingKey, args } = binding;
    await this.requireTopicPermission(binding.source, routingKey);
    const [from, to] = await this.exchangePair(binding);
    if (this.vhost.bind(from, { exchange: to }, routingKey, args, DEFAULT_DIALECT)) {
      await this.vhost.changes.committed(() =>
        this.vhost.unbind(from, { exchange: to }, routingKey, args, DEFAULT_DIALECT),
      );
    } else if (from.durable && to.durable) await this.vhost.changes.settled();
  }

  async unbindExchange(binding: ExchangeBinding): Promise<void> {
    const [from, to] = await this.exchangePair(binding);
    if (this.vhost.unbind(from, { exchange: to }, binding.routingKey, binding.args, DEFAULT_DIALECT))
      await this.vhost.changes.committed();
  }

  async declareQueue(request: QueueRequest): Promise<QueueState> {
    const { exclusive, autoDelete, args } = request;
    // As in RabbitMQ: an exclusive queue ends with its connection, so it is never durable.
    const durable = request.durable && !exclusive;
    const name = request.name === '' ? generatedName() : request.name;
    requireName(name, 'queue');
    await this.permissions.require('configure', 'queue', name);
    this.requireOpen();
    if (request.name.startsWith('amq.') && !this.vhost.queues.has(name)) {
      throw new BrokerError('access-refused', `queue name '${name}' contains reserved prefix 'amq.*'`);
    }
    if (!this.vhost.queues.has(name)) await this.requireDeadLetterPermissions(name, args);
    this.requireOpen();
    const owner = exclusive ? this : null;
    const { queue, created } = this.vhost.declareQueue({ name, durable, autoDelete, args, owner });
    if (created && exclusive) {
      this.owned ??= new Set();
      this.owned.add(queue);
    }
    queue.touch();
    if (queue.persisted)
      await (created
        ? this.vhost.changes.committed(() => this.vhost.deleteQueue(queue))
        : this.vhost.changes.settled());
    return stateOf(queue);
  }

  /** A passive declaration: throws not-found or resource-locked. */
  async checkQueue(name: string): Promise<QueueState> {
    const queue = this.vhost.queue(name, this);
    queue.touch();
    return stateOf(queue);
  }

  /** Whether the user may declare and delete a queue of that name. */
  mayConfigureQueue(name: string): Promise<boolean> {
    return granted(this.permissions.require('configure', 'queue', name));
  }

  /** Deletes a queue; resolves to the number of ready messages. A queue that does not exist counts 0. */
  async deleteQueue(
    name: string,
    conditions: { readonly ifUnused: boolean; readonly ifEmpty: boolean },
  ): Promise<number> {
    await this.permissions.require('configure', 'queue', name);
    if (!this.vhost.queues.has(name)) return 0;
    const queue = this.vhost.queue(name, this);
    const what = `queue '${name}' in vhost '${this.vhost.name}'`;
    if (conditions.ifUnused && queue.consumers.size > 0) {
      throw new BrokerError('precondition-failed', `${what} in use`);
    }
    if (conditions.ifEmpty && queue.readyCount > 0) throw new BrokerError('precondition-failed', `${what} not empty`);
    const dropped = this.vhost.deleteQueue(queue);
    if (queue.persisted) await this.vhost.changes.committed();
    return dropped;
  }

  /** Drops the ready messages; resolves to their number. */
  async purgeQueue(name: string): Promise<number> {
    await this.permissions.require('read', 'queue', name);
    const queue = this.vhost.queue(name, this);
    const dropped = queue.purge();
    if (queue.persisted) await this.vhost.changes.committed();
    return dropped;
  }

  /** Binds a queue. `bound` is called when messages may arrive; what it stores is committed with the binding. */
  async bindQueue(binding: QueueBinding, bound: (() => void) | null = null): Promise<void> {
    const [exchange, queue] = await this.bindingEnds(binding);
    const { routingKey, args, dialect = DEFAULT_DIALECT } = binding;
    const { changes } = this.vhost;
    const isNew = this.vhost.bind(exchange, { queue }, routingKey, args, dialect);
    bound?.();
    if (isNew) await changes.committed(() => this.vhost.unbind(exchange, { queue }, routingKey, args, dialect));
    else if (exchange.durable && queue.persisted) await (bound === null ? changes.settled() : changes.committed());
  }

  /** Succeeds if there is nothing to unbind: no such binding, queue or exchange (as RabbitMQ since 3.2). */
  async unbindQueue(binding: QueueBinding): Promise<void> {
    await this.requireBindPermissions(binding);
    if (!this.vhost.queues.has(binding.queue) || !this.vhost.exchanges.has(binding.exchange)) return;
    const [exchange, queue] = [this.vhost.exchange(binding.exchange), this.vhost.queue(binding.queue, this)];
    const { routingKey, args, dialect = DEFAULT_DIALECT } = binding;
    if (this.vhost.unbind(exchange, { queue }, routingKey, args, dialect)) await this.vhost.changes.committed();
  }

  /**
   * The routing keys, of these, under which this user may not bind the queue. The bindings may be another user's, or
   * older than the permissions.
   */
  async unbindable(
    queue: string,
    exchangeName: string,
    routingKeys: readonly string[],
    dialect: Dialect = DEFAULT_DIALECT,
  ): Promise<readonly string[]> {
    const exchange = this.vhost.exchanges.get(exchangeName);
    if (exchange === undefined || routingKeys.length === 0) return [];
    if (!(await granted(this.requireBindPermissions({ queue, exchange: exchangeName })))) return routingKeys;
    if (!this.permissions.restrictsTopics(exchange)) return [];
    const refused: string[] = [];
    for (const [i, routingKey] of routingKeys.entries()) {
      if (i % PERMISSIONS_SLICE === PERMISSIONS_SLICE - 1) await this.context.turn.slices.next(this);
      if (!(await granted(this.requireTopicPermission(exchangeName, routingKey, dialect)))) refused.push(routingKey);
    }
    return refused;
  }

  describeWork(): WorkDescription {
    return { work: 'permissions of bindings', user: this.identity.user, vhost: this.vhost.name };
  }

  /** A consumer that delivers once `start` is called on it. Throws not-found, access-refused, resource-locked. */
  async consume(queueName: string, options: ConsumeOptions, sink: DeliverySink): Promise<Consumer> {
    await this.permissions.require('read', 'queue', queueName);
    this.requireOpen();
    const queue = this.vhost.queue(queueName, this);
    const { consumers } = queue;
    const taken = consumers.exclusive || (options.exclusive && (consumers.size > 0 || consumers.singleActive));
    if (taken) {
      throw new BrokerError('access-refused', `queue '${queueName}' in vhost '${this.vhost.name}' in exclusive use`);
    }
    const consumer = new Consumer(queue, sink, options, this);
    this.consumers.add(consumer);
    this.consumerBytes += CONSUMER_BYTES + consumer.argumentBytes;
    queue.addConsumer(consumer);
    await this.deliverable(queue);
    return consumer;
  }

  /** From now on `receiver` gets the QoS 0 messages of a consumer's queue, which bypass the queue. */
  receiveDirect({ queue }: Consumer, receiver: DirectReceiver): void {
    queue.direct = receiver;
  }

  /** Ends a consumer. The caller keeps its unacknowledged entries until they are settled. */
  cancel(consumer: Consumer): void {
    if (!consumer.ended) consumer.queue.removeConsumer(consumer);
  }

  /** A consumer ended, by `cancel` or with its queue. */
  ended(consumer: Consumer): void {
    if (this.consumers.delete(consumer)) this.consumerBytes -= CONSUMER_BYTES + consumer.argumentBytes;
  }

  /** Takes one message, or returns null if the queue is empty. */
  async get(queueName: string, noAck: boolean): Promise<GetResult | null> {
    await this.permissions.require('read', 'queue', queueName);
    const queue = this.vhost.queue(queueName, this);
    queue.touch();
    for (;;) {
      await this.deliverable(queue);
      this.requireOpen();
      const entry = queue.takeNext(noAck);
      if (entry !== null) {
        const { redelivered } = entry;
        return {
          message: queue.messageFor(entry),
          entry: noAck ? null : entry,
          redelivered,
          messageCount: queue.readyCount,
        };
      }
      const readBack = queue.whenReadBack();
      if (readBack === null) return null;
      await readBack;
    }
  }

  /** The client acknowledged an entry. */
  acknowledge(entry: QueueEntry): void {
    entry.queue.acknowledge(entry);
  }

  /**
   * The client rejected an entry: it returns to its place, or becomes a dead letter if its queue has a dead letter
   * exchange.
   */
  reject(entry: QueueEntry, requeue: boolean): void {
    if (requeue) entry.queue.requeue([entry]);
    else entry.queue.reject(entry);
  }

  /** Entries of any queues return to their places, to be delivered again with the redelivered mark. */
  requeueAll(entries: readonly QueueEntry[]): void {
    if (entries.length === 0) return;
    const byQueue = new Map<Queue, QueueEntry[]>();
    for (const entry of entries) {
      const together = byQueue.get(entry.queue);
      if (together === undefined) byQueue.set(entry.queue, [entry]);
      else together.push(entry);
    }
    for (const [queue, returned] of byQueue) queue.requeue(returned);
  }

  /** The connection closed: its consumers and exclusive queues end. The caller has requeued unacknowledged entries. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const consumer of [...this.consumers]) this.cancel(consumer);
    if (this.owned !== null) for (const queue of this.owned) this.vhost.deleteQueue(queue);
  }

  /** An exclusive queue of this session was deleted. */
  disowned(queue: Queue): void {
    this.owned?.delete(queue);
  }

  /** Checked after every await: the session may have closed meanwhile. */
  private requireOpen(): void {
    if (this.closed) throw new BrokerError('unavailable', 'the session is closed');
  }

  /**
   * Before the first delivery of a durable queue, the mark that its entries may have been delivered must be on disk. A
   * full disk does not prevent consuming, because consumers free space: then the mark is written later.
   */
  private async deliverable(queue: Queue): Promise<void> {
    const { mark } = queue;
    if (mark === null || !mark.set()) return;
    await this.vhost.changes.committed().then(
      () => mark.written(),
      () => {},
    );
    this.requireOpen();
  }

  private async exchangePair(binding: ExchangeBinding): Promise<[Exchange, Exchange]> {
    await this.permissions.require('write', 'exchange', binding.destination);
    await this.permissions.require('read', 'exchange', binding.source);
    this.permissions.requireAllTopics(this.topicResource(binding.destination));
    if (binding.destination === '' || binding.source === '') {
      throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
    }
    return [this.vhost.exchange(binding.source), this.vhost.exchange(binding.destination)];
  }

  private async bindingEnds(binding: QueueBinding): Promise<[Exchange, Queue]> {
    await this.requireBindPermissions(binding);
    await this.requireTopicPermission(binding.exchange, binding.routingKey, binding.dialect);
    const queue = this.vhost.queue(binding.queue, this);
    return [this.vhost.exchange(binding.exchange), queue];
  }

  private async requireBindPermissions(binding: Pick<QueueBinding, 'queue' | 'exchange'>): Promise<void> {
    await this.permissions.require('write', 'queue', binding.queue);
    await this.permissions.require('read', 'exchange', binding.exchange);
  }

  /** Throws access-refused unless a key may be bound to a topic exchange. */
  private async requireTopicPermission(exchangeName: string, bindingKey: string, dialect?: Dialect): Promise<void> {
    const exchange = this.vhost.exchanges.get(exchangeName);
    if (exchange === undefined) return;
    await this.permissions.requireTopic('read', exchange, permissionKey(bindingKey, dialect ?? DEFAULT_DIALECT));
  }

  /**
   * As RabbitMQ: declaring a queue with a dead letter exchange needs read permission on the queue and write permission
   * on the exchange, because no permission is checked when a message dies.
   */
  private async requireDeadLetterPermissions(queue: string, args: FieldTable): Promise<void> {
    const exchange = textOf(findField(args, 'x-dead-letter-exchange'));
    if (exchange === null) return;
    await this.permissions.require('read', 'queue', queue);
    await this.permissions.require('write', 'exchange', exchange);
    const routingKey = textOf(findField(args, 'x-dead-letter-routing-key'));
    if (routingKey === null) this.permissions.requireAllTopics(this.topicResource(exchange));
    else await this.permissions.requireTopic('write', this.topicResource(exchange), routingKey);
  }

  /** An exchange that is not there yet may become a topic exchange. */
  private topicResource(name: string): TopicResource {
    return this.vhost.exchanges.get(name) ?? { name, kind: 'topic' };
  }
}

/** Whether a permission is given; rethrows other errors. */
async function granted(permission: Promise<void>): Promise<boolean> {
  try {
    await permission;
    return true;
  } catch (error) {
    if (error instanceof BrokerError && error.kind === 'access-refused') return false;
    throw error;
  }
}

function stateOf(queue: Queue): QueueState {
  return { name: queue.name, messageCount: queue.readyCount, consumerCount: queue.consumers.size };
}

function generatedName(): string {
  return `amq.gen-${randomBytes(16).toString('base64url')}`;
}

function requireName(name: string, what: string): void {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new BrokerError('precondition-failed', `${what} name is longer than ${MAX_NAME_BYTES} bytes`);
  }
}
