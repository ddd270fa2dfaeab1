// Malformed STOMP must end the connection that it came on, and nothing else.

import { STOMP_HOSTILE } from './hostile.ts';
import { STOMP } from './protocol-stomp.ts';
import { fuzzSuite } from './suite.ts';

fuzzSuite(STOMP, STOMP_HOSTILE, { path: '/stomp', subprotocol: 'v12.stomp' });
