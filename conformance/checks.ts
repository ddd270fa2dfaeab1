// Every check of the kit, in the order of the table.

import { AMQP_CHECKS } from './amqp/checks.ts';
import type { Check } from './check.ts';
import { MQTT_HANDSHAKE } from './mqtt/handshake.ts';
import { STOMP_CHECKS } from './stomp/checks.ts';

export const CHECKS: readonly Check[] = [...AMQP_CHECKS, ...MQTT_HANDSHAKE, ...STOMP_CHECKS];
