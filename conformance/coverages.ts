// The coverage list of every protocol that has one.

import { COVERAGE } from './amqp/coverage.ts';
import { STATEMENTS } from './amqp/statements.ts';
import type { CoverageList } from './coverage.ts';

export const COVERAGES: readonly CoverageList[] = [{ protocol: 'amqp', statements: STATEMENTS, coverage: COVERAGE }];
