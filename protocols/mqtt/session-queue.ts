// The name and the mark of the queue behind an MQTT session, as RabbitMQ names it.

import { createHash } from 'node:crypto';

/** Queue argument that marks a session's queue; its value is the client id. */
export const SESSION_ARGUMENT = 'x-mqtt-client-id';

const LONGEST_NAME_BYTES = 255;

/** `mqtt-subscription-<client id>qos1`; a client id that makes the name too long stands there as its SHA-256. */
export function queueNameOf(clientId: string): string {
  const name = `mqtt-subscription-${clientId}qos1`;
  if (Buffer.byteLength(name) <= LONGEST_NAME_BYTES) return name;
  return `mqtt-subscription-sha256:${createHash('sha256').update(clientId).digest('hex')}qos1`;
}
