// The checks of AMQP 0-9-1, by subject.

import type { Check } from '../check.ts';
import { CONNECTION_CHECKS } from './checks/connection.ts';

export const AMQP_CHECKS: readonly Check[] = [...CONNECTION_CHECKS];
