// A session's subscriptions. They are bindings of its queue to the topic exchange and nothing else, so the core alone
// knows them and they survive what it survives; here is only how many there are. Failures that are the client's own
// (no permission, a limit) are SUBACK codes, not errors.

import { Binding } from '../../src/core/binding.ts';
import { BrokerError } from '../../src/core/errors.ts';
import type { Field, FieldTable } from '../../src/core/field-table.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { QueueBinding, Session } from '../../src/core/session.ts';
import type { Subscription } from './control.ts';
import { SUBSCRIBE_REFUSED } from './packet-types.ts';
import type { MqttShared } from './shared.ts';
import { filterWithin, swapSeparators } from './topics.ts';

/** The highest QoS that a subscription is granted. */
const GRANTED_QOS = 1;

/** Binding arguments by QoS, shared by all bindings. */
const QOS_ARGUMENTS: readonly FieldTable[] = [0, 1, 2].map((value): readonly Field[] => [
  { name: 'x-mqtt-qos', value: { type: 'B', value } },
]);

export class Subscriptions {
  private readonly queue: Queue;
  private readonly shared: MqttShared;
  private count: number;

  /** `queue` is the session's; what it is bound to already was subscribed before. */
  constructor(queue: Queue, shared: MqttShared) {
    this.queue = queue;
    this.shared = shared;
    this.count = 0;
    for (const binding of queue.bindings) if (binding.dialect === 'mqtt') this.count++;
  }

  /** Subscribes and gives the SUBACK codes in the order of the request (MQTT 3.1.1 §3.9.3). */
  async add(requests: readonly Subscription[], core: Session): Promise<number[]> {
    // Side by side, so that they share a commit; a filter that is there twice keeps its order.
    const byFilter = new Map<string, Promise<number>>();
    for (const { filter, qos } of requests) {
      const before = byFilter.get(filter);
      const granted = Math.min(qos, GRANTED_QOS);
      const adding =
        before === undefined
          ? this.addOne(filter, granted, core)
          : before.then(() => this.addOne(filter, granted, core));
      byFilter.set(filter, adding);
    }
    await Promise.all(byFilter.values());
    const codes: number[] = [];
    for (const { filter, qos } of requests) {
      const code = await byFilter.get(filter)!;
      codes.push(code === SUBSCRIBE_REFUSED ? code : Math.min(qos, GRANTED_QOS));
    }
    return codes;
  }

  async remove(filters: readonly string[], core: Session): Promise<void> {
    for (const filter of filters) {
      const qos = this.qosOf(filter, core);
      if (qos === null) continue;
      this.count--;
      await core.unbindQueue(this.bindingOf(filter, qos));
    }
  }

  private async addOne(filter: string, qos: number, core: Session): Promise<number> {
    const { limits, log } = this.shared;
    const known = this.qosOf(filter, core);
    const room = known !== null || this.count < limits.subscriptionsPerSession;
    if (!room || !filterWithin(filter, limits)) return SUBSCRIBE_REFUSED;
    if (known === null) this.count++;
    try {
      await core.bindQueue(this.bindingOf(filter, qos));
      // [MQTT-3.8.4-3]: the new subscription takes the place of the old one, without a gap.
      if (known !== null && known !== qos) await core.unbindQueue(this.bindingOf(filter, known));
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      if (known === null) this.count--;
      log.info({ queue: this.queue.name, filter, error: error.message }, 'MQTT subscription refused');
      return SUBSCRIBE_REFUSED;
    }
    return qos;
  }

  /** The QoS of the subscription with that filter, or null where there is none. */
  private qosOf(filter: string, core: Session): number | null {
    const exchange = core.vhost.exchanges.get(this.shared.exchange);
    if (exchange === undefined) return null;
    for (const [qos, args] of QOS_ARGUMENTS.entries()) {
      const probe = new Binding(exchange, { queue: this.queue }, swapSeparators(filter), args, 'mqtt');
      if (exchange.findBinding(probe.identity, args, 'mqtt') !== null) return qos;
    }
    return null;
  }

  private bindingOf(filter: string, qos: number): QueueBinding {
    return {
      queue: this.queue.name,
      exchange: this.shared.exchange,
      routingKey: swapSeparators(filter),
      args: QOS_ARGUMENTS[qos]!,
      dialect: 'mqtt',
    };
  }
}
