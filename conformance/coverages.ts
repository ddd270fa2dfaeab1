// The coverage list of every protocol that has one.

import { COVERAGE } from './amqp/coverage.ts';
import { STATEMENTS } from './amqp/statements.ts';
import type { CoverageList } from './coverage.ts';
import { COVERAGE as STOMP_COVERAGE } from './stomp/coverage.ts';
import { STATEMENTS as STOMP_STATEMENTS } from './stomp/statements.ts';

export const COVERAGES: readonly CoverageList[] = [
  { protocol: 'amqp', statements: STATEMENTS, coverage: COVERAGE },
  { protocol: 'stomp', statements: STOMP_STATEMENTS, coverage: STOMP_COVERAGE },
];
