// Every check of the kit, in the order of the table.

import { AMQP_CHECKS } from './amqp/checks.ts';
import type { Check } from './check.ts';
import { MQTT_CHECKS } from './mqtt/checks.ts';
import { STOMP_CHECKS } from './stomp/checks.ts';

export const CHECKS: readonly Check[] = [...AMQP_CHECKS, ...MQTT_CHECKS, ...STOMP_CHECKS];
