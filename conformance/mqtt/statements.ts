// The normative statements of the three versions of MQTT; `v3 3.1.0-1` is [MQTT-3.1.0-1] of 3.1.1. A check names those that
// it shows itself; coverage.ts says of the others why no client can see them.

import type { Statement } from '../coverage.ts';
import { V3_STATEMENTS, V31_STATEMENTS } from './statements-v3.ts';
import { V5_STATEMENTS } from './statements-v5.ts';

export const STATEMENTS: readonly Statement[] = [...V31_STATEMENTS, ...V3_STATEMENTS, ...V5_STATEMENTS];
