// Malformed MQTT must end the connection that it came on, and nothing else.

import { MQTT_HOSTILE } from './hostile.ts';
import { MQTT } from './protocol-mqtt.ts';
import { fuzzSuite } from './suite.ts';

fuzzSuite(MQTT, MQTT_HOSTILE, { path: '/mqtt', subprotocol: 'mqtt' });
