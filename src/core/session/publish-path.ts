// Publishes for a session: checks the permission and finds the route, both usually known from the last publish, and
// hands the message to the queues. It is synchronous and allocates nothing. What takes longer (a permission from
// elsewhere, a fan-out in slices) returns `pending`, and the caller waits.

import { BrokerError } from '../errors.ts';
import { CopiesRoute } from '../exchange/copies-route.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { isBrokerTopic } from '../exchange/retainer.ts';
import type { Message } from '../message/message.ts';
import { FAN_OUT_SLICE, FanOut } from '../queue/fan-out.ts';
import type { Queue } from '../queue/queue.ts';
import { NO_TARGETS, Target } from '../queue/target.ts';
import { routingKeyFault } from '../routing-key.ts';
import type { ConfirmRing } from '../turn/confirms.ts';
import { MAX_WORK_MS } from '../turn/turn.ts';
import type { WorkDescription, Worker } from '../turn/turn-watch.ts';
import type { VirtualHost } from '../vhost/virtual-host.ts';
import type { PermissionCache } from './permission-cache.ts';
import { parseReplyAddress } from './reply-address.ts';
import type { SessionContext } from './session-context.ts';
import type { TransactedPublish } from './transaction.ts';

/** The outcome of a publish. */
export const PUBLISH = { unroutable: 0, routed: 1, pending: 2 } as const;
export type PublishOutcome = (typeof PUBLISH)[keyof typeof PUBLISH];

/** Routing keys of one message in CC and BCC. */
const MOST_KEYS = 1024;
/** Keys that are followed between two looks at the time. */
const KEYS_SLICE = 4;
/** Targets that `consumersBehind` checks: a fan-out to thousands is not searched. */
const CROWDED_LOOKED_AT = 16;

export class PublishPath implements Worker {
  /** The publisher's own queue, if one of its bindings is no-local (MQTT 5 §3.8.3.1); else null. */
  own: Queue | null;
  private readonly vhost: VirtualHost;
  private readonly permissions: PermissionCache;
  private readonly context: SessionContext;
  /** The exchange of the last publish, with the generation of its permission; and the last route. */
  private exchange: Exchange | null;
  private permissionGeneration: number;
  /** Whether some routing keys of the exchange may be refused. */
  private restricted: boolean;
  private routingKey: string | null;
  private routeGeneration: number;
  private targets: readonly Target[];
  /** The fan-out in progress, or null. */
  private fanOut: FanOut | null;
  /** The route in progress of a message with further routing keys, or null. */
  private copies: CopiesRoute | null;
  /** Whether `ready` is to wait for a slice of the turn. */
  private waits: boolean;
  /** Whether that slice has come, and nothing was done in it yet; when it began; Infinity: there is none. */
  private sliceIsFresh: boolean;
  private sliceBegan: number;

  constructor(vhost: VirtualHost, permissions: PermissionCache, context: SessionContext) {
    this.own = null;
    this.vhost = vhost;
    this.permissions = permissions;
    this.context = context;
    this.exchange = null;
    this.permissionGeneration = -1;
    this.restricted = false;
    this.routingKey = null;
    this.routeGeneration = -1;
    this.targets = NO_TARGETS;
    this.fanOut = null;
    this.copies = null;
    this.waits = false;
    this.sliceIsFresh = false;
    this.sliceBegan = Number.POSITIVE_INFINITY;
  }

  /**
   * Publishes to `message.exchange`. Durable targets add their holds to `slot`; the caller opened the slot and releases
   * its own hold afterwards. `pending`: nothing happened; await `ready()` and call again. Throws BrokerError: not-found
   * (exchange), access-refused.
   */
  publish(message: Message, ring: ConfirmRing | null, slot: number): PublishOutcome {
    const { meters } = this.context;
    let { exchange } = this;
    if (this.fanOut !== null) return PUBLISH.pending;
    if (
      exchange === null ||
      exchange.name !== message.exchange ||
      exchange.deleted ||
      this.permissionGeneration !== this.context.authorizer.generation
    ) {
      exchange = this.enterExchange(message.exchange);
      if (exchange === null) return PUBLISH.pending;
    }
    if (message.routingKey !== this.routingKey || exchange.generation !== this.routeGeneration) {
      requirePublic(exchange, message.routingKey);
      if (this.restricted && !this.permissions.knowsTopic('write', exchange, message.routingKey))
        return PUBLISH.pending;
      const known = exchange.knownRoute(message);
      if (known === null && this.isOverdue()) return PUBLISH.pending;
      this.targets = known ?? this.findRoute(exchange, message);
      this.routingKey = exchange.cacheable ? message.routingKey : null;
      this.routeGeneration = exchange.generation;
    }
    const targets = this.own === null ? this.targets : withoutNoLocal(this.targets, this.own);
    if (targets.length === 0 && message.exchange === '') {
      const address = parseReplyAddress(message.routingKey);
      if (address !== null && this.vhost.exchanges.has(address.exchange)) {
        return this.publish(message.copy(address), ring, slot);
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

  /** As `publish`, to further routing keys too (sender-selected distribution). Each queue gets the message once. */
  publishCopies(
    message: Message,
    routingKeys: readonly string[],
    ring: ConfirmRing | null,
    slot: number,
  ): PublishOutcome {
    const { meters } = this.context;
    if (this.fanOut !== null) return PUBLISH.pending;
    const targets = this.targetsOf(message, routingKeys);
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
   * Routes a message for a later commit, by its own and further routing keys. Null: the permission is not known yet; await
   * `ready()` and call again. Throws as `publish`.
   */
  route(message: Message, routingKeys: readonly string[]): TransactedPublish | null {
    const targets = this.targetsOf(message, routingKeys);
    if (targets === null) return null;
    if (targets.length === 0 && message.exchange === '') {
      const address = parseReplyAddress(message.routingKey);
      if (address !== null && this.vhost.exchanges.has(address.exchange)) return this.route(message.copy(address), []);
    }
    return { message, targets };
  }

  private targetsOf(message: Message, routingKeys: readonly string[]): readonly Target[] | null {
    const exchange = this.enterExchange(message.exchange);
    if (exchange === null) return null;
    let { copies } = this;
    if (copies?.message !== message) {
      requireRoutingKeys(routingKeys);
      copies = new CopiesRoute(exchange, message, routingKeys);
    }
    this.copies = null;
    for (let followed = 0; !copies.done; followed++) {
      const key = copies.nextKey;
      if (key !== null) requirePublic(exchange, key);
      const known = key === null || !this.restricted || this.permissions.knowsTopic('write', exchange, key);
      if (!known || (followed % KEYS_SLICE === 0 && this.isOverdue())) {
        this.copies = copies;
        return null;
      }
      copies.next();
    }
    this.sliceBegan = Number.POSITIVE_INFINITY;
    return copies.targets;
  }

  private findRoute(exchange: Exchange, message: Message): readonly Target[] {
    this.sliceBegan = Number.POSITIVE_INFINITY;
    return exchange.findRoute(message);
  }

  /** Whether a route is to be found later, because this input has taken its time. Then `ready` waits for that. */
  private isOverdue(): boolean {
    const { turn } = this.context;
    const isFresh = this.sliceIsFresh;
    this.sliceIsFresh = false;
    if (isFresh) return false;
    const isOver = this.sliceBegan !== Number.POSITIVE_INFINITY && turn.watch.now() - this.sliceBegan > MAX_WORK_MS;
    this.waits = isOver || turn.overdue;
    return this.waits;
  }

  describeWork(): WorkDescription {
    return { work: 'routing', exchange: this.exchange?.name ?? null, vhost: this.vhost.name };
  }

  /** Delivers a message that reached no queue to the requester whose direct reply it is. False if it is none. */
  private takeReply(message: Message): boolean {
    return message.exchange === '' && this.vhost.replies.take(message);
  }

  /** A queue of the last publish whose consumers are behind, or null. */
  consumersBehind(): Queue | null {
    const { targets } = this;
    for (let i = 0; i < targets.length && i < CROWDED_LOOKED_AT; i++) {
      if (targets[i]!.queue.consumersBehind) return targets[i]!.queue;
    }
    return null;
  }

  /** Resolves when the reason of `pending` is gone: the permission is known, or the fan-out has ended. */
  ready(): Promise<void> {
    if (this.fanOut !== null) return this.fanOut.done;
    if (!this.waits) return this.permissions.settled();
    this.waits = false;
    const { turn } = this.context;
    return turn.slices.next(this).then(() => {
      this.sliceIsFresh = true;
      this.sliceBegan = turn.watch.now();
    });
  }

  /** Hands a message to its queues, in slices if they are many. */
  private spread(message: Message, targets: readonly Target[], ring: ConfirmRing | null, slot: number): void {
    if (targets.length <= FAN_OUT_SLICE) {
      for (const target of targets) target.queue.accept(message, target, ring, slot);
      return;
    }
    this.fanOut = new FanOut(message, targets, ring, slot, this.context.turn, () => {
      this.fanOut = null;
    });
  }

  private enterExchange(name: string): Exchange | null {
    this.routingKey = null;
    this.exchange = null;
    if (!this.permissions.knows('write', 'exchange', name)) return null;
    const exchange = this.vhost.exchange(name);
    if (exchange.internal) {
      throw new BrokerError(
        'access-refused',
        `cannot publish to internal exchange '${name}' in vhost '${this.vhost.name}'`,
      );
    }
    this.exchange = exchange;
    this.restricted = this.permissions.restrictsTopics(exchange);
    this.permissionGeneration = this.context.authorizer.generation;
    return exchange;
  }
}

/** The targets of a message that the owner of a queue publishes: without its no-local bindings. */
function withoutNoLocal(targets: readonly Target[], own: Queue): readonly Target[] {
  const at = targets.findIndex((target) => target.queue === own);
  const target = targets[at];
  if (target === undefined || target.ownPublishOptions === target.subscriptionOptions) return targets;
  return target.ownPublishOptions === null
    ? targets.toSpliced(at, 1)
    : targets.with(at, new Target(own, target.ownPublishOptions));
}

/** Keys in headers have no bound of their own. */
function requireRoutingKeys(routingKeys: readonly string[]): void {
  if (routingKeys.length > MOST_KEYS) {
    const text = `a message has at most ${MOST_KEYS} routing keys in CC and BCC, not ${routingKeys.length}`;
    throw new BrokerError('precondition-failed', text);
  }
  for (const routingKey of routingKeys) {
    const fault = routingKeyFault(routingKey);
    if (fault !== null) throw new BrokerError('precondition-failed', `invalid routing key in CC or BCC: ${fault}`);
  }
}

/** Only the broker publishes below `$SYS`. */
function requirePublic(exchange: Exchange, routingKey: string): void {
  if (exchange.retainer === null || !isBrokerTopic(routingKey)) return;
  throw new BrokerError('access-refused', `topic '${routingKey}' is the broker's own`);
}
