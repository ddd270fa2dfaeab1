// THE ONE DOOR. Every front-end and the HTTP API act on the broker through a session, one for each connection, and
// permissions are checked here, once (RabbitMQ's rules: configure, write and read over names).
//
// Publishing and settling are synchronous and free of allocation. Control operations are promises: they resolve when
// what they changed is durable, and a connection handles nothing else until they do.

import { randomBytes } from 'node:crypto';
import type { Dialect } from './binding.ts';
import type { ConfirmRing } from './confirms.ts';
import { type ConsumeOptions, Consumer, type ConsumerOwner, type DeliverySink } from './consumer.ts';
import type { DoorSurroundings } from './door.ts';
import { BrokerError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { FAN_OUT_SLICE, FanOut } from './fan-out.ts';
import { type FieldTable, findField, textOf } from './field-table.ts';
import type { Message } from './message.ts';
import { Permits } from './permits.ts';
import type { Identity } from './ports.ts';
import type { Queue, QueueOwner } from './queue.ts';
import type { QueueEntry } from './queue-entry.ts';
import { parseReplyAddress } from './reply-address.ts';
import { isBrokerTopic } from './retainer.ts';
import { NO_TARGETS, Target } from './target.ts';
import { type Settlement, type TransactedPublish, Transaction } from './transaction.ts';
import type { ExchangeDeclaration, VirtualHost } from './virtual-host.ts';

/** What became of a publish. */
export const PUBLISH = { unroutable: 0, routed: 1, pending: 2 } as const;
export type PublishOutcome = (typeof PUBLISH)[keyof typeof PUBLISH];

export interface QueueRequest {
  /** Empty: the broker names it `amq.gen-…`. */
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
export interface Got {
  readonly message: Message;
  /** Null where no acknowledgement is wanted. */
  readonly entry: QueueEntry | null;
  readonly redelivered: boolean;
  /** Messages that are still ready. */
  readonly messageCount: number;
}

/** An AMQP short string (0-9-1 §4.2.5.3) holds no more, so no name may be longer. */
const MAX_NAME_BYTES = 255;

/** Targets that `crowded` looks at: a fan-out to thousands is not searched. */
const CROWDED_LOOKED_AT = 16;

/** The name under which permissions on the default exchange are given, as in RabbitMQ. */
const DEFAULT_EXCHANGE_RESOURCE = 'amq.default';

export class Session implements ConsumerOwner, QueueOwner {
  readonly vhost: VirtualHost;
  readonly identity: Identity;
  /** Of an MQTT client, as it stands in a routing key (topic permissions may name it); else null. */
  clientId: string | null;
  private readonly around: DoorSurroundings;
  /** The client's own queue, where one of its bindings is no-local (MQTT 5 §3.8.3.1); else null. */
  own: Queue | null;
  private readonly permits: Permits;
  private readonly consumers: Set<Consumer>;
  /** Exclusive queues that it declared; made with the first. */
  private owned: Set<Queue> | null;
  /** The exchange of the last publish, with the permit's generation; and its last route. */
  private exchange: Exchange | null;
  private permitGeneration: number;
  /** Whether not all of its routing keys may be allowed. */
  private restricted: boolean;
  private routingKey: string | null;
  private routeGeneration: number;
  private targets: readonly Target[];
  /** The publish that is being carried out in slices, or null. */
  private fanOut: FanOut | null;
  private closed: boolean;

  constructor(vhost: VirtualHost, identity: Identity, around: DoorSurroundings) {
    this.vhost = vhost;
    this.identity = identity;
    this.clientId = null;
    this.around = around;
    this.own = null;
    this.permits = new Permits(around.authorizer, identity, vhost.name);
    this.consumers = new Set();
    this.owned = null;
    this.exchange = null;
    this.permitGeneration = -1;
    this.restricted = false;
    this.routingKey = null;
    this.routeGeneration = -1;
    this.targets = NO_TARGETS;
    this.fanOut = null;
    this.closed = false;
  }

  /**
   * Publishes to `message.exchange`. Durable targets add their holds to `slot`; the caller opened the slot and releases
   * its own hold afterwards. `pending`: nothing happened; await `ready()` and call again. Throws BrokerError: not-found
   * (exchange), access-refused.
   */
  publish(message: Message, ring: ConfirmRing | null, slot: number): PublishOutcome {
    const { meters } = this.around;
    let { exchange } = this;
    if (this.fanOut !== null) return PUBLISH.pending;
    if (
      exchange === null ||
      exchange.name !== message.exchange ||
      exchange.deleted ||
      this.permitGeneration !== this.around.authorizer.generation
    ) {
      exchange = this.enterExchange(message.exchange);
      if (exchange === null) return PUBLISH.pending;
    }
    if (message.routingKey !== this.routingKey || exchange.generation !== this.routeGeneration) {
      this.requirePublic(exchange, message.routingKey);
      if (this.restricted && !this.knowsTopic(exchange, message.routingKey)) return PUBLISH.pending;
      this.targets = exchange.route(message);
      this.routingKey = exchange.cacheable ? message.routingKey : null;
      this.routeGeneration = exchange.generation;
    }
    const targets = this.own === null ? this.targets : withoutEcho(this.targets, this.own);
    if (targets.length === 0 && message.exchange === '') {
      const address = parseReplyAddress(message.routingKey);
      if (address !== null && this.vhost.exchanges.has(address.exchange)) {
        return this.publish(message.addressedTo(address.exchange, address.routingKey), ring, slot);
      }
    }
    if (exchange.retainer !== null) exchange.retainer.offered(message, ring, slot);
    meters.published++;
    meters.publishedBytes += message.bodyLength;
    if (targets.length === 0) {
      if (!this.takeReply(message)) meters.unroutable++;
      return PUBLISH.unroutable;
    }
    if (targets.length > FAN_OUT_SLICE) {
      this.spread(message, targets, ring, slot);
      return PUBLISH.routed;
    }
    for (let i = 0; i < targets.length; i++) targets[i]!.queue.accept(message, targets[i]!, ring, slot);
    return PUBLISH.routed;
  }

  /** As `publish`, to further routing keys too (sender-selected distribution). A queue gets it once. */
  publishCopies(
    message: Message,
    routingKeys: readonly string[],
    ring: ConfirmRing | null,
    slot: number,
  ): PublishOutcome {
    const { meters } = this.around;
    if (this.fanOut !== null) return PUBLISH.pending;
    const targets = this.route(message, routingKeys);
    if (targets === null) return PUBLISH.pending;
    this.vhost.exchange(message.exchange).retainer?.offered(message, ring, slot);
    meters.published++;
    meters.publishedBytes += message.bodyLength;
    if (targets.length === 0) {
      if (!this.takeReply(message)) meters.unroutable++;
      return PUBLISH.unroutable;
    }
    this.spread(message, targets, ring, slot);
    return PUBLISH.routed;
  }

  /**
   * The queues that a message reaches by its own and further routing keys. Null: nothing is known yet; await `ready()`
   * and call again. Throws as `publish`.
   */
  route(message: Message, routingKeys: readonly string[]): readonly Target[] | null {
    const exchange = this.enterExchange(message.exchange);
    if (exchange === null) return null;
    for (const routingKey of [message.routingKey, ...routingKeys]) {
      this.requirePublic(exchange, routingKey);
      if (this.restricted && !this.knowsTopic(exchange, routingKey)) return null;
    }
    return exchange.routeCopies(message, routingKeys);
  }

  /** Takes a message that no queue took straight to the requester whose direct reply it is. False where it is none. */
  takeReply(message: Message): boolean {
    return message.exchange === '' && this.vhost.replies.take(message);
  }

  /** Carries a transaction out as one. Resolves when all of it is durable; rejects with TransactionFailed. */
  commit(publishes: readonly TransactedPublish[], settlements: readonly Settlement[]): Promise<void> {
    return new Transaction(this.around, this.vhost).commit(publishes, settlements);
  }

  /** A queue of the last publish whose consumers are behind, or null. */
  crowded(): Queue | null {
    const { targets } = this;
    for (let i = 0; i < targets.length && i < CROWDED_LOOKED_AT; i++) {
      if (targets[i]!.queue.crowded) return targets[i]!.queue;
    }
    return null;
  }

  /** Resolves when what `publish` waited for is there: a permission, or the end of a large fan-out. */
  ready(): Promise<void> {
    return this.fanOut?.done ?? this.permits.settled();
  }

  async declareExchange(declaration: ExchangeDeclaration): Promise<void> {
    requireName(declaration.name, 'exchange');
    if (declaration.name === '') {
      throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
    }
    await this.permit('configure', 'exchange', declaration.name);
    const alternate = textOf(findField(declaration.args, 'alternate-exchange'));
    if (alternate !== null) {
      await this.permit('read', 'exchange', declaration.name);
      await this.permit('write', 'exchange', alternate);
    }
    if (this.vhost.declareExchange(declaration)) {
      await this.durably(() => this.vhost.deleteExchange(declaration.name, false));
    } else if (declaration.durable) await this.settled();
  }

  /** A passive declaration: throws not-found where there is none. */
  async checkExchange(name: string): Promise<void> {
    if (name === '') throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
    this.vhost.exchange(name);
  }

  async deleteExchange(name: string, ifUnused: boolean): Promise<void> {
    await this.permit('configure', 'exchange', name);
    if (this.vhost.deleteExchange(name, ifUnused)) await this.durably();
  }

  async bindExchange(binding: ExchangeBinding): Promise<void> {
    const { routingKey, args } = binding;
    await this.permitTopic(binding.source, binding.routingKey);
    const [from, to] = await this.exchangePair(binding);
    if (this.vhost.bind(from, { exchange: to }, routingKey, args, 'amqp')) {
      await this.durably(() => this.vhost.unbind(from, { exchange: to }, routingKey, args, 'amqp'));
    } else if (from.durable && to.durable) await this.settled();
  }

  async unbindExchange(binding: ExchangeBinding): Promise<void> {
    const [from, to] = await this.exchangePair(binding);
    if (this.vhost.unbind(from, { exchange: to }, binding.routingKey, binding.args, 'amqp')) await this.durably();
  }

  async declareQueue(request: QueueRequest): Promise<QueueState> {
    const { exclusive, autoDelete, args } = request;
    // As in RabbitMQ: it ends with its connection, so it cannot outlive the broker, whatever the client says.
    const durable = request.durable && !exclusive;
    const name = request.name === '' ? generatedName() : request.name;
    requireName(name, 'queue');
    await this.permit('configure', 'queue', name);
    this.requireOpen();
    if (request.name.startsWith('amq.') && !this.vhost.queues.has(name)) {
      throw new BrokerError('access-refused', `queue name '${name}' contains reserved prefix 'amq.*'`);
    }
    if (!this.vhost.queues.has(name)) await this.permitDeadLetters(name, args);
    this.requireOpen();
    const owner = exclusive ? this : null;
    const { queue, created } = this.vhost.declareQueue({ name, durable, autoDelete, args, owner });
    if (created && exclusive) {
      this.owned ??= new Set();
      this.owned.add(queue);
    }
    queue.touch();
    if (queue.persisted) await (created ? this.durably(() => this.vhost.deleteQueue(queue)) : this.settled());
    return stateOf(queue);
  }

  /** A passive declaration: throws not-found or resource-locked. */
  async checkQueue(name: string): Promise<QueueState> {
    const queue = this.vhost.queue(name, this);
    queue.touch();
    return stateOf(queue);
  }

  /** Deletes a queue; resolves to the number of messages that were ready. A queue that is not there counts 0. */
  async deleteQueue(
    name: string,
    conditions: { readonly ifUnused: boolean; readonly ifEmpty: boolean },
  ): Promise<number> {
    await this.permit('configure', 'queue', name);
    if (!this.vhost.queues.has(name)) return 0;
    const queue = this.vhost.queue(name, this);
    const what = `queue '${name}' in vhost '${this.vhost.name}'`;
    if (conditions.ifUnused && queue.consumers.size > 0) {
      throw new BrokerError('precondition-failed', `${what} in use`);
    }
    if (conditions.ifEmpty && queue.readyCount > 0) throw new BrokerError('precondition-failed', `${what} not empty`);
    const dropped = this.vhost.deleteQueue(queue);
    if (queue.persisted) await this.durably();
    return dropped;
  }

  /** Drops what is ready; resolves to how many. */
  async purgeQueue(name: string): Promise<number> {
    await this.permit('read', 'queue', name);
    const queue = this.vhost.queue(name, this);
    const dropped = queue.purge();
    if (queue.persisted) await this.durably();
    return dropped;
  }

  /** `bound` is called in the moment from which on messages come; what it stores is committed with the binding. */
  async bindQueue(binding: QueueBinding, bound: (() => void) | null = null): Promise<void> {
    const [exchange, queue] = await this.bindingEnds(binding);
    const { routingKey, args, dialect = 'amqp' } = binding;
    const isNew = this.vhost.bind(exchange, { queue }, routingKey, args, dialect);
    bound?.();
    if (isNew) await this.durably(() => this.vhost.unbind(exchange, { queue }, routingKey, args, dialect));
    else if (exchange.durable && queue.persisted) await (bound === null ? this.settled() : this.durably());
  }

  /** Succeeds where there is nothing to unbind: no such binding, queue or exchange (as RabbitMQ since 3.2). */
  async unbindQueue(binding: QueueBinding): Promise<void> {
    await this.bindingPermits(binding);
    if (!this.vhost.queues.has(binding.queue) || !this.vhost.exchanges.has(binding.exchange)) return;
    const [exchange, queue] = [this.vhost.exchange(binding.exchange), this.vhost.queue(binding.queue, this)];
    const { routingKey, args, dialect = 'amqp' } = binding;
    if (this.vhost.unbind(exchange, { queue }, routingKey, args, dialect)) await this.durably();
  }

  /** Those of these routing keys under which a queue may not be bound: of bindings that others made, or under other permissions. */
  async unbindable(queue: string, exchangeName: string, routingKeys: readonly string[]): Promise<readonly string[]> {
    const exchange = this.vhost.exchanges.get(exchangeName);
    if (exchange === undefined || routingKeys.length === 0) return [];
    if (!(await granted(this.bindingPermits({ queue, exchange: exchangeName })))) return routingKeys;
    if (!this.restrictsTopics(exchange)) return [];
    const refused: string[] = [];
    for (const routingKey of routingKeys) {
      if (!(await granted(this.permitTopic(exchangeName, routingKey)))) refused.push(routingKey);
    }
    return refused;
  }

  /** A consumer that delivers once `start` is called on it. Throws not-found, access-refused, resource-locked. */
  async consume(queueName: string, options: ConsumeOptions, sink: DeliverySink): Promise<Consumer> {
    await this.permit('read', 'queue', queueName);
    this.requireOpen();
    const queue = this.vhost.queue(queueName, this);
    const { consumers } = queue;
    const taken = consumers.exclusive || (options.exclusive && (consumers.size > 0 || consumers.singleActive));
    if (taken) {
      throw new BrokerError('access-refused', `queue '${queueName}' in vhost '${this.vhost.name}' in exclusive use`);
    }
    const consumer = new Consumer(queue, sink, options, this);
    this.consumers.add(consumer);
    queue.addConsumer(consumer);
    await this.deliverable(queue);
    return consumer;
  }

  /** Ends a consumer. What it holds unacknowledged stays with the caller until it is settled. */
  cancel(consumer: Consumer): void {
    if (!consumer.ended) consumer.queue.removeConsumer(consumer);
  }

  /** A consumer ended, here or with its queue. */
  ended(consumer: Consumer): void {
    this.consumers.delete(consumer);
  }

  /** Takes one message, or null where the queue is empty. */
  async get(queueName: string, noAck: boolean): Promise<Got | null> {
    await this.permit('read', 'queue', queueName);
    const queue = this.vhost.queue(queueName, this);
    queue.touch();
    for (;;) {
      await this.deliverable(queue);
      this.requireOpen();
      const entry = queue.takeNext(noAck);
      if (entry !== null) {
        const { redelivered } = entry;
        return {
          message: queue.shown(entry),
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

  /** The client is done with an entry. */
  acknowledge(entry: QueueEntry): void {
    entry.queue.acknowledge(entry);
  }

  /** The client does not want an entry: back to its place, or to the dead letters where there is a place for them. */
  reject(entry: QueueEntry, requeue: boolean): void {
    if (requeue) entry.queue.requeue([entry]);
    else entry.queue.reject(entry);
  }

  /** Entries of any queues come back to their places, to be delivered again with the redelivered mark. */
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

  /** The connection is gone: its consumers and exclusive queues end. The caller requeued what was unacknowledged. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const consumer of [...this.consumers]) this.cancel(consumer);
    if (this.owned !== null) for (const queue of this.owned) this.vhost.deleteQueue(queue);
  }

  /** An exclusive queue of this session is gone. */
  disowned(queue: Queue): void {
    this.owned?.delete(queue);
  }

  /** What was awaited may come when the connection is gone: then nothing may be taken or begun any more. */
  private requireOpen(): void {
    if (this.closed) throw new BrokerError('unavailable', 'the session is closed');
  }

  /**
   * Before the first delivery of a durable queue it is on disk that its entries may have been delivered. A full disk
   * does not keep consumers away, since they are who makes room: then the mark is tried again next time.
   */
  private async deliverable(queue: Queue): Promise<void> {
    if (!queue.markDelivering()) return;
    await this.durably().then(
      () => queue.deliveryMarked(),
      () => {},
    );
    this.requireOpen();
  }

  /** Hands a message to its queues, where they are many in slices. */
  private spread(message: Message, targets: readonly Target[], ring: ConfirmRing | null, slot: number): void {
    if (targets.length <= FAN_OUT_SLICE) {
      for (const target of targets) target.queue.accept(message, target, ring, slot);
      return;
    }
    this.fanOut = new FanOut(message, targets, ring, slot, this.around.turn, () => {
      this.fanOut = null;
    });
  }

  private enterExchange(name: string): Exchange | null {
    this.routingKey = null;
    this.exchange = null;
    const allowed = this.permits.check('write', resourceOf(name));
    if (allowed === null) return null;
    if (!allowed) throw this.refusal('write', 'exchange', name);
    const exchange = this.vhost.exchange(name);
    if (exchange.internal) {
      throw new BrokerError(
        'access-refused',
        `cannot publish to internal exchange '${name}' in vhost '${this.vhost.name}'`,
      );
    }
    this.exchange = exchange;
    this.restricted = this.restrictsTopics(exchange);
    this.permitGeneration = this.around.authorizer.generation;
    return exchange;
  }

  private restrictsTopics(exchange: Exchange): boolean {
    return (
      exchange.kind === 'topic' && this.around.authorizer.restrictsTopics(this.identity, this.vhost.name, exchange.name)
    );
  }

  /** Whether it is known that the key may be published; false where the answer is on its way. Throws access-refused. */
  private knowsTopic(exchange: Exchange, routingKey: string): boolean {
    const allowed = this.permits.checkTopic('write', exchange.name, routingKey, this.clientId);
    if (allowed === false) throw this.topicRefusal('write', exchange.name, routingKey);
    return allowed !== null;
  }

  /** Throws access-refused where a key may not be bound to a topic exchange. */
  private async permitTopic(exchangeName: string, routingKey: string): Promise<void> {
    const exchange = this.vhost.exchanges.get(exchangeName);
    if (exchange === undefined || !this.restrictsTopics(exchange)) return;
    let allowed = this.permits.checkTopic('read', exchangeName, routingKey, this.clientId);
    while (allowed === null) {
      await this.permits.settled();
      allowed = this.permits.checkTopic('read', exchangeName, routingKey, this.clientId);
    }
    if (!allowed) throw this.topicRefusal('read', exchangeName, routingKey);
  }

  private topicRefusal(permission: string, exchange: string, routingKey: string): BrokerError {
    const where = `exchange '${exchange}' in vhost '${this.vhost.name}'`;
    return new BrokerError(
      'access-refused',
      `${permission} access to topic '${routingKey}' in ${where} refused for user '${this.identity.user}'`,
    );
  }

  /** The broker alone publishes what it says of itself. */
  private requirePublic(exchange: Exchange, routingKey: string): void {
    if (exchange.retainer === null || !isBrokerTopic(routingKey)) return;
    throw new BrokerError('access-refused', `topic '${routingKey}' is the broker's own`);
  }

  private async exchangePair(binding: ExchangeBinding): Promise<[Exchange, Exchange]> {
    await this.permit('write', 'exchange', binding.destination);
    await this.permit('read', 'exchange', binding.source);
    if (binding.destination === '' || binding.source === '') {
      throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
    }
    return [this.vhost.exchange(binding.source), this.vhost.exchange(binding.destination)];
  }

  private async bindingEnds(binding: QueueBinding): Promise<[Exchange, Queue]> {
    await this.bindingPermits(binding);
    await this.permitTopic(binding.exchange, binding.routingKey);
    const queue = this.vhost.queue(binding.queue, this);
    return [this.vhost.exchange(binding.exchange), queue];
  }

  private async bindingPermits(binding: Pick<QueueBinding, 'queue' | 'exchange'>): Promise<void> {
    await this.permit('write', 'queue', binding.queue);
    await this.permit('read', 'exchange', binding.exchange);
  }

  /**
   * As RabbitMQ: whoever declares a queue with a dead letter exchange must be allowed to read the one and to write to the
   * other, because nobody is asked when a message dies.
   */
  private async permitDeadLetters(queue: string, args: FieldTable): Promise<void> {
    const exchange = textOf(findField(args, 'x-dead-letter-exchange'));
    if (exchange === null) return;
    await this.permit('read', 'queue', queue);
    await this.permit('write', 'exchange', exchange);
  }

  /** Throws access-refused where the permission is not given. */
  private async permit(
    permission: 'configure' | 'write' | 'read',
    type: 'exchange' | 'queue',
    name: string,
  ): Promise<void> {
    const resource = type === 'exchange' ? resourceOf(name) : name;
    let allowed = this.permits.check(permission, resource);
    while (allowed === null) {
      await this.permits.settled();
      allowed = this.permits.check(permission, resource);
    }
    if (!allowed) throw this.refusal(permission, type, name);
  }

  private refusal(permission: string, type: string, name: string): BrokerError {
    const what = name === '' ? 'default exchange' : `${type} '${name}'`;
    return new BrokerError(
      'access-refused',
      `${permission} access to ${what} in vhost '${this.vhost.name}' refused for user '${this.identity.user}'`,
    );
  }

  /**
   * What is the same as asked for already may be so only since a moment ago, by somebody else: then it is no more durable
   * than that one's change.
   */
  private async settled(): Promise<void> {
    if (this.vhost.settling > 0) await this.durably();
  }

  /** Resolves when everything that was handed to the store so far is on disk. Rejects with `unavailable`. */
  committed(): Promise<void> {
    return this.durably();
  }

  /** Waits until what was just changed is on disk. Where that fails, `undo` takes the change back. */
  private durably(undo?: () => unknown): Promise<void> {
    this.vhost.settling++;
    return new Promise((resolve, reject) => {
      this.around.store.whenCommitted((error) => {
        this.vhost.settling--;
        if (error === null) {
          resolve();
          return;
        }
        undo?.();
        reject(new BrokerError('unavailable', `the change could not be stored: ${error.message}`));
      });
      this.around.turn.begin();
    });
  }
}

/** Whether a permission is given; other errors are thrown on. */
async function granted(permission: Promise<void>): Promise<boolean> {
  try {
    await permission;
    return true;
  } catch (error) {
    if (error instanceof BrokerError && error.kind === 'access-refused') return false;
    throw error;
  }
}

/** The targets of what the owner of a queue publishes: no-local bindings do not lead back to it. */
function withoutEcho(targets: readonly Target[], own: Queue): readonly Target[] {
  const at = targets.findIndex((target) => target.queue === own);
  const target = targets[at];
  if (target === undefined || target.echo === target.terms) return targets;
  return target.echo === null ? targets.toSpliced(at, 1) : targets.with(at, new Target(own, target.echo));
}

function resourceOf(exchange: string): string {
  return exchange === '' ? DEFAULT_EXCHANGE_RESOURCE : exchange;
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
