// The names and arguments of the queues of sessions, which are named as in RabbitMQ, and of shared subscriptions.

import { createHash } from 'node:crypto';
import { type Field, type FieldTable, findField, textField, textOf } from '../../../src/core/message/field-table.ts';
import type { Queue } from '../../../src/core/queue/queue.ts';
import type { MqttLimits } from '../limits.ts';
import type { SharedFilter } from '../topic/shared-filter.ts';

/** Queue argument that marks a session's queue; its value is the client id. */
const SESSION_ARGUMENT = 'x-mqtt-client-id';
/** Queue argument that marks the queue of a shared subscription; its value is `GROUP/FILTER`. */
const SHARED_ARGUMENT = 'x-mqtt-shared';

const PREFIX = 'mqtt-subscription-';
const LONGEST_NAME_BYTES = 255;

/** `mqtt-subscription-<client id>qos1`; with the SHA-256 of the client id if the name would be too long. */
export function queueNameOf(clientId: string): string {
  return bounded(clientId, 'qos1');
}

/** `mqtt-subscription-<group>/<filter>shared`. No session's queue ends like this. */
export function sharedQueueNameOf({ group, filter }: SharedFilter): string {
  return bounded(`${group}/${filter}`, 'shared');
}

/** The client id of a persistent session's queue; null if the queue has not the name, argument and durability of one. */
export function sessionOf({ name, args, persisted }: Queue): string | null {
  const clientId = textOf(findField(args, SESSION_ARGUMENT));
  return clientId !== null && persisted && name === queueNameOf(clientId) ? clientId : null;
}

/** Whether a queue is that of a shared subscription. */
export function isShared({ name, args, persisted }: Queue): boolean {
  const shared = textOf(findField(args, SHARED_ARGUMENT));
  return shared !== null && persisted && name === bounded(shared, 'shared');
}

export function sessionArguments(clientId: string, limits: MqttLimits): FieldTable {
  return [textField(SESSION_ARGUMENT, clientId), ...boundsOf(limits)];
}

export function sharedArguments({ group, filter }: SharedFilter, limits: MqttLimits): FieldTable {
  return [textField(SHARED_ARGUMENT, `${group}/${filter}`), ...boundsOf(limits)];
}

/** One array for all sessions with these limits: each idle session would take half a KiB more otherwise. */
const BOUNDS: WeakMap<MqttLimits, readonly Field[]> = new WeakMap();

/** The length limits of a queue. */
function boundsOf(limits: MqttLimits): readonly Field[] {
  const known = BOUNDS.get(limits);
  if (known !== undefined) return known;
  const bounds: readonly Field[] = [
    { name: 'x-max-length', value: { type: 'l', value: BigInt(limits.sessionMessages) } },
    { name: 'x-max-length-bytes', value: { type: 'l', value: BigInt(limits.sessionBytes) } },
    textField('x-overflow', limits.sessionOverflow === 'refuse' ? 'reject-publish' : 'drop-head'),
  ];
  BOUNDS.set(limits, bounds);
  return bounds;
}

function bounded(id: string, suffix: string): string {
  const name = PREFIX + id + suffix;
  if (Buffer.byteLength(name) <= LONGEST_NAME_BYTES) return name;
  return `${PREFIX}sha256:${createHash('sha256').update(id).digest('hex')}${suffix}`;
}
