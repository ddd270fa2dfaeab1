// Subscribes and unsubscribes for one session over one connection. A subscription is a binding of the session's queue to
// the topic exchange and nothing else, so the core stores and restores it; here they are only counted. A shared
// subscription is a membership in a group (shared-groups.ts) and is kept in the session's record. A refusal (no
// permission, a limit) is a SUBACK code, not an error. Called by session.ts.

import { BrokerError } from '../../../src/core/errors.ts';
import { Binding } from '../../../src/core/exchange/exchange.ts';
import { EMPTY_TABLE, type Field, type FieldTable } from '../../../src/core/message/field-table.ts';
import type { Dialect } from '../../../src/core/message/topic-pattern.ts';
import type { Consumer } from '../../../src/core/queue/consumer.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import { SUBSCRIPTION_ARGUMENT } from '../../../src/core/queue/subscription-options.ts';
import type { QueueBinding, Session } from '../../../src/core/session/session.ts';
import type { WorkDescription, Worker } from '../../../src/core/turn/turn-watch.ts';
import type { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import type { Subscription } from '../packet/control.ts';
import { refusalReasonOf } from '../packet/errors.ts';
import { FIRST_FAILURE, REASON, type Reason } from '../packet/reason-codes.ts';
import { sharedFilter } from '../topic/shared-filter.ts';
import { filterLimit, swapSeparators } from '../topic/topics.ts';
import type { Deliveries } from './delivery.ts';
import type { SessionContext } from './session-context.ts';
import { isShared, sharedArguments, sharedQueueNameOf } from './session-queue.ts';
import type { SharedGroup } from './shared-groups.ts';
import { type SharedSubscription, subscriptionOptionsOf } from './shared-subscription.ts';

const DIALECT: Dialect = 'mqtt';

/** The binding arguments of subscriptions with no option but a QoS, shared by all of them. */
const QOS_ARGUMENTS: readonly FieldTable[] = [0, 1, 2].map((value) => [qosField(value)]);

/** Filters of one SUBSCRIBE or UNSUBSCRIBE that are handled before others have their turn. */
const FILTERS_SLICE = 64;

/** How many refusals of one connection are logged: one packet can ask for ten thousand subscriptions. */
const LOGGED_REFUSALS = 16;

const NOTHING_REMOVED: Promise<Reason> = Promise.resolve(REASON.noSubscriptionExisted);

/** What subscriptions need of their session. */
export interface Subscriber {
  readonly deliveries: Deliveries;
  /** Its shared subscriptions by filter; null: none. */
  shares: Map<string, SharedSubscription> | null;
}

export class Subscriptions implements Worker {
  private readonly queue: Queue;
  private readonly host: VirtualHost;
  private readonly subscriber: Subscriber;
  private readonly context: SessionContext;
  private count: number;
  /** The consumers of groups' queues over this connection, by filter; made with the first. */
  private memberships: Map<string, Consumer> | null;
  /** The connection closed: a `join` in progress fails. */
  private detached: boolean;
  /** Refusals so far. */
  private refusals: number;

  /** `queue` is the session's; its MQTT bindings are the subscriptions of earlier connections. */
  constructor(queue: Queue, host: VirtualHost, subscriber: Subscriber, context: SessionContext) {
    this.queue = queue;
    this.host = host;
    this.subscriber = subscriber;
    this.context = context;
    this.count = subscriber.shares?.size ?? 0;
    this.memberships = null;
    this.detached = false;
    this.refusals = 0;
    for (const binding of host.bindingsOf(queue)) if (binding.dialect === DIALECT) this.count++;
  }

  /** Whether any subscription has the no-local option. */
  get hasNoLocal(): boolean {
    for (const binding of this.host.bindingsOf(this.queue)) if (binding.subscriptionOptions.noLocal) return true;
    return false;
  }

  /** Subscribes. Resolves to the SUBACK codes in the order of the request (MQTT 3.1.1 §3.9.3). */
  async add(requests: readonly Subscription[], core: Session): Promise<number[]> {
    // Concurrently, so that they share a commit; requests with the same filter run one after another.
    const byFilter = new Map<string, Promise<number>>();
    const all: Promise<number>[] = [];
    for (const [i, request] of requests.entries()) {
      if (i > 0 && i % FILTERS_SLICE === 0) await this.context.turn.slices.next(this);
      // Checked after every slice: the connection may have closed meanwhile, so nobody awaits the answer.
      if (this.detached) break;
      const before = byFilter.get(request.filter);
      if (before !== undefined) await before;
      const adding = this.addOne(request, core);
      // `Promise.all` reports a failure, but only after the last slice.
      adding.catch(() => {});
      byFilter.set(request.filter, adding);
      all.push(adding);
    }
    return Promise.all(all);
  }

  describeWork(): WorkDescription {
    return { work: 'MQTT SUBSCRIBE or UNSUBSCRIBE', queue: this.queue.name, vhost: this.host.name };
  }

  /** Unsubscribes. Resolves to the UNSUBACK codes in the order of the request (MQTT 5 §3.11.3). */
  async remove(filters: readonly string[], core: Session): Promise<Reason[]> {
    // Concurrently and in slices, as in `add`; a repeated filter is removed once.
    const seen = new Set<string>();
    const all: Promise<Reason>[] = [];
    for (const [i, filter] of filters.entries()) {
      if (i > 0 && i % FILTERS_SLICE === 0) await this.context.turn.slices.next(this);
      if (this.detached) break;
      const removing = seen.has(filter) ? NOTHING_REMOVED : this.removeOne(filter, core);
      removing.catch(() => {});
      seen.add(filter);
      all.push(removing);
    }
    return Promise.all(all);
  }

  /**
   * The client reconnected: joins the groups of its shared subscriptions again, and removes those that are refused now.
   * Resolves to whether any was removed. Rejects if the store is unavailable, which is no refusal.
   */
  async rejoin(core: Session): Promise<boolean> {
    const { deliveries, shares } = this.subscriber;
    let ended = false;
    let joined = 0;
    for (const share of [...(shares?.values() ?? [])]) {
      if (++joined % FILTERS_SLICE === 0) await this.context.turn.slices.next(this);
      if (this.detached) return ended;
      try {
        await this.join(share, core);
      } catch (error) {
        if (!(error instanceof BrokerError) || error.kind === 'unavailable') throw error;
        ended = true;
        this.count--;
        shares!.delete(share.filter);
        this.context.groups.leave(core.vhost, sharedFilter(share.filter)!, deliveries);
        this.context.log.info({ filter: share.filter, error: error.message }, 'MQTT shared subscription ended');
      }
    }
    return ended;
  }

  /** The client reconnected: removes the subscriptions that its user is no longer permitted. */
  async removeForbidden(core: Session): Promise<void> {
    const refused = await refusedBindings(this.queue, this.context.options.exchange, core);
    if (refused.length === 0) return;
    let removed = 0;
    for (const binding of refused) {
      if (++removed % FILTERS_SLICE === 0) await this.context.turn.slices.next(this);
      this.context.system.unbind(core.vhost, binding);
      this.subscriber.deliveries.dropRetained(swapSeparators(binding.routingKey));
      this.count--;
    }
    this.context.log.info(
      { queue: this.queue.name, ended: refused.length },
      'MQTT subscriptions are not permitted now',
    );
    if (this.queue.persisted) await core.committed();
  }

  /** The connection closed: cancels the consumers of groups. The memberships stay in the session's record. */
  detach(core: Session): void {
    this.detached = true;
    if (this.memberships === null) return;
    for (const consumer of this.memberships.values()) core.cancel(consumer);
    this.memberships = null;
  }

  private async addOne(request: Subscription, core: Session): Promise<number> {
    const { limits, limitHits } = this.context;
    const { deliveries } = this.subscriber;
    const { filter, qos } = request;
    const shared = sharedFilter(filter) !== null;
    const known = shared ? null : this.find(filter, core);
    const isNew = shared ? this.subscriber.shares?.has(filter) !== true : known === null;
    const reached = filterLimit(filter, limits);
    if (reached !== null) {
      limitHits[reached]++;
      return REASON.topicFilterInvalid;
    }
    if (isNew && this.count >= limits.subscriptionsPerSession) {
      limitHits['mqtt.subscriptionsPerSession']++;
      return REASON.quotaExceeded;
    }
    if (isNew) this.count++;
    try {
      if (shared) await this.join(request, core);
      else {
        const args = argumentsOf(request);
        const bound = wantsRetained(request, isNew) ? () => deliveries.selectRetained(request) : null;
        await core.bindQueue(this.bindingOf(filter, args), bound);
        deliveries.retainedGranted(filter);
        // [MQTT-3.8.4-3]: the new subscription replaces the old one without a gap.
        if (known !== null && !known.same(args, DIALECT)) await core.unbindQueue(this.bindingOf(filter, known.args));
        if (request.noLocal) core.own = this.queue;
      }
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      if (isNew) {
        this.count--;
        deliveries.dropRetained(filter);
      }
      this.logRefusal(filter, error, 'MQTT subscription refused');
      const code = refusalReasonOf(error.kind);
      return code >= FIRST_FAILURE ? code : REASON.unspecified;
    }
    return qos;
  }

  private async removeOne(filter: string, core: Session): Promise<Reason> {
    if (sharedFilter(filter) !== null) {
      return this.leave(filter, core) ? REASON.success : REASON.noSubscriptionExisted;
    }
    const binding = this.find(filter, core);
    if (binding === null) return REASON.noSubscriptionExisted;
    try {
      await core.unbindQueue(this.bindingOf(filter, binding.args));
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      this.logRefusal(filter, error, 'MQTT unsubscription refused');
      return error.kind === 'access-refused' ? REASON.notAuthorized : REASON.unspecified;
    } finally {
      if (this.find(filter, core) === null) {
        this.count--;
        this.subscriber.deliveries.dropRetained(filter);
      }
    }
    return REASON.success;
  }

  private logRefusal(filter: string, error: BrokerError, message: string): void {
    if (++this.refusals > LOGGED_REFUSALS) return;
    this.context.log.info({ queue: this.queue.name, filter, error: error.message }, message);
  }

  /** Joins a group, or changes the options of a membership. */
  private async join(request: SharedSubscription, core: Session): Promise<void> {
    const { subscriber } = this;
    const {
      groups,
      limits,
      options: { exchange },
    } = this.context;
    const parts = sharedFilter(request.filter)!;
    const name = sharedQueueNameOf(parts);
    const args = sharedArguments(parts, limits);
    if (!core.vhost.queues.has(name)) {
      await core.declareQueue({ name, durable: true, exclusive: false, autoDelete: false, args });
    }
    const queue = core.vhost.queue(name, core);
    if (!isShared(queue)) {
      throw new BrokerError('precondition-failed', `queue '${name}' is no group's: somebody else declared it`);
    }
    const group = groups.of(queue);
    group.joining++;
    try {
      const routingKey = swapSeparators(parts.filter);
      await core.bindQueue({ queue: name, exchange, routingKey, args: QOS_ARGUMENTS[2]!, dialect: DIALECT });
      let consumer = this.memberships?.get(request.filter) ?? null;
      if (consumer === null) {
        const options = { tag: name, noAck: false, exclusive: false, prefetch: 0, priority: 0, args: EMPTY_TABLE };
        consumer = await core.consume(name, options, subscriber.deliveries);
      }
      if (this.detached || consumer.ended) {
        core.cancel(consumer);
        throw new BrokerError('unavailable', `the connection or the queue '${name}' is gone`);
      }
      this.addMember(request, group, consumer);
    } finally {
      group.joining--;
      groups.deleteUnused(core.vhost, group);
    }
  }

  private addMember(request: SharedSubscription, group: SharedGroup, consumer: Consumer): void {
    const { subscriber } = this;
    const options = subscriptionOptionsOf(request);
    group.members.set(subscriber.deliveries, options);
    subscriber.deliveries.join(consumer, group, options);
    this.memberships ??= new Map();
    this.memberships.set(request.filter, consumer);
    const { filter, qos, retainAsPublished, identifier } = request;
    subscriber.shares ??= new Map();
    subscriber.shares.set(filter, { filter, qos, retainAsPublished, identifier });
  }

  /** Leaves the group of a shared subscription. False if there is no such subscription. */
  private leave(filter: string, core: Session): boolean {
    const { deliveries, shares } = this.subscriber;
    if (!shares?.delete(filter)) return false;
    this.count--;
    const membership = this.memberships?.get(filter);
    if (membership === undefined) return true;
    this.memberships!.delete(filter);
    deliveries.leave(membership);
    core.cancel(membership);
    this.context.groups.leave(core.vhost, sharedFilter(filter)!, deliveries);
    deliveries.groupEnded(membership.queue);
    return true;
  }

  private find(filter: string, core: Session): Binding | null {
    return findSubscription(core.vhost, this.context.options.exchange, this.queue, filter);
  }

  private bindingOf(filter: string, args: FieldTable): QueueBinding {
    const routingKey = swapSeparators(filter);
    return { queue: this.queue.name, exchange: this.context.options.exchange, routingKey, args, dialect: DIALECT };
  }
}

/** The subscriptions of a session's queue that the user of `core` is not permitted. */
export async function refusedBindings(queue: Queue, exchange: string, core: Session): Promise<readonly Binding[]> {
  const bindings = [...core.vhost.bindingsOf(queue)].filter(({ dialect }) => dialect === DIALECT);
  const keys = bindings.map(({ routingKey }) => routingKey);
  const refused = new Set(await core.unbindable(queue.name, exchange, keys, DIALECT));
  return refused.size === 0 ? [] : bindings.filter(({ routingKey }) => refused.has(routingKey));
}

/** The binding of a session's queue for a filter that is not shared, or null. */
export function findSubscription(
  host: VirtualHost,
  exchangeName: string,
  queue: Queue,
  filter: string,
): Binding | null {
  const exchange = host.exchanges.get(exchangeName);
  if (exchange === undefined) return null;
  const probe = new Binding(exchange, { queue }, swapSeparators(filter), EMPTY_TABLE, DIALECT);
  return exchange.findInDialect(probe.identity, DIALECT);
}

/** Whether a subscription is sent the retained messages that it selects (retain handling, MQTT 5 §3.8.3.1). */
function wantsRetained({ retainHandling }: Subscription, isNew: boolean): boolean {
  return retainHandling === 0 || (retainHandling === 1 && isNew);
}

function argumentsOf({ qos, noLocal, retainAsPublished, identifier }: Subscription): FieldTable {
  if (!noLocal && !retainAsPublished && identifier === 0) return QOS_ARGUMENTS[qos]!;
  const args: Field[] = [qosField(qos)];
  if (noLocal) args.push({ name: SUBSCRIPTION_ARGUMENT.noLocal, value: { type: 't', value: true } });
  if (retainAsPublished)
    args.push({ name: SUBSCRIPTION_ARGUMENT.retainAsPublished, value: { type: 't', value: true } });
  if (identifier > 0)
    args.push({ name: SUBSCRIPTION_ARGUMENT.subscriptionId, value: { type: 'I', value: identifier } });
  return args;
}

function qosField(value: number): Field {
  return { name: SUBSCRIPTION_ARGUMENT.qos, value: { type: 'B', value } };
}
