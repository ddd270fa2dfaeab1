// The coverage lists of all protocols.

import { COVERAGE as AMQP_COVERAGE } from './amqp/coverage.ts';
import { STATEMENTS as AMQP_STATEMENTS } from './amqp/statements.ts';
import type { CoverageList } from './coverage.ts';
import { COVERAGE as MQTT_COVERAGE } from './mqtt/coverage.ts';
import { STATEMENTS as MQTT_STATEMENTS } from './mqtt/statements.ts';
import { COVERAGE as STOMP_COVERAGE } from './stomp/coverage.ts';
import { STATEMENTS as STOMP_STATEMENTS } from './stomp/statements.ts';

export const COVERAGES: readonly CoverageList[] = [
  { protocol: 'amqp', statements: AMQP_STATEMENTS, coverage: AMQP_COVERAGE },
  { protocol: 'mqtt', statements: MQTT_STATEMENTS, coverage: MQTT_COVERAGE },
  { protocol: 'stomp', statements: STOMP_STATEMENTS, coverage: STOMP_COVERAGE },
];
