// The checks of MQTT, by version and subject.

import { AUTH_CHECKS } from './checks/auth.ts';
import { CONNECT_CHECKS } from './checks/connect.ts';
import { CONNECTION_CHECKS } from './checks/connection.ts';
import { DISCONNECT_CHECKS } from './checks/disconnect.ts';
import { FLOW_CHECKS } from './checks/flow.ts';
import { MALFORMED_CHECKS } from './checks/malformed.ts';
import { MALFORMED_PROPERTY_CHECKS } from './checks/malformed-properties.ts';
import { OPTION_CHECKS } from './checks/options.ts';
import { PROPERTY_CHECKS } from './checks/properties.ts';
import { PUBLISH_CHECKS } from './checks/publish.ts';
import { PUBLISH_VIOLATION_CHECKS } from './checks/publish-violations.ts';
import { REDELIVERY_CHECKS } from './checks/redelivery.ts';
import { RETAINED_CHECKS } from './checks/retained.ts';
import { SESSION_CHECKS } from './checks/session.ts';
import { SHARED_CHECKS } from './checks/shared.ts';
import { SUBSCRIBE_CHECKS } from './checks/subscribe.ts';
import { V31_CHECKS } from './checks/v31.ts';
import { WEBSOCKET_CHECKS } from './checks/websocket.ts';
import { WILL_CHECKS } from './checks/will.ts';
import type { MqttCheck } from './mqtt-check.ts';

const BY_SUBJECT: readonly MqttCheck[] = [
  CONNECT_CHECKS,
  CONNECTION_CHECKS,
  AUTH_CHECKS,
  SESSION_CHECKS,
  WILL_CHECKS,
  PUBLISH_CHECKS,
  PUBLISH_VIOLATION_CHECKS,
  REDELIVERY_CHECKS,
  PROPERTY_CHECKS,
  FLOW_CHECKS,
  RETAINED_CHECKS,
  SUBSCRIBE_CHECKS,
  OPTION_CHECKS,
  SHARED_CHECKS,
  DISCONNECT_CHECKS,
  MALFORMED_CHECKS,
  MALFORMED_PROPERTY_CHECKS,
  WEBSOCKET_CHECKS,
  V31_CHECKS,
].flat(2);

/** Orders the checks by version and subject, so that a table shows the checks of one heading together. */
export const MQTT_CHECKS: readonly MqttCheck[] = ['3.1', '3.1.1', '5.0'].flatMap((wanted) => {
  return BY_SUBJECT.filter(({ version }) => version === wanted);
});
