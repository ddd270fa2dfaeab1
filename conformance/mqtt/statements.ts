// The normative statements of the three MQTT versions; `v3 3.1.0-1` is [MQTT-3.1.0-1] of 3.1.1. A check names the
// statements that it shows; coverage.ts gives the reason for those that no client can observe.

import type { Statement } from '../coverage.ts';
import { V3_STATEMENTS, V31_STATEMENTS } from './statements-v3.ts';
import { V5_STATEMENTS } from './statements-v5.ts';

export const STATEMENTS: readonly Statement[] = [...V31_STATEMENTS, ...V3_STATEMENTS, ...V5_STATEMENTS];
