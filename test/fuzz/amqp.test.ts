// Malformed AMQP must end the connection that it came on, and nothing else.

import { AMQP_HOSTILE } from './hostile.ts';
import { AMQP } from './protocol-amqp.ts';
import { fuzzSuite } from './suite.ts';

fuzzSuite(AMQP, AMQP_HOSTILE, null);
