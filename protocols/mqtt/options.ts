// The options of the MQTT front-end that are not limits, with their defaults.

import type { AnonymousLogin } from '../../src/core/ports/authorization.ts';
import type { CertificateLogin } from '../../src/net/certificate-login.ts';

export interface MqttOptions {
  /** Virtual host of a user name that names none. */
  readonly vhost: string;
  /** Whether user names may contain colons, and name no virtual host. */
  readonly ignoreColonsInUsername: boolean;
  /** Topic exchange that MQTT publishes to and subscribes on. */
  readonly exchange: string;
  /** The login of a client that gives no user name; null refuses it. If any client may, so may unknown user names. */
  readonly anonymous: AnonymousLogin | null;
  /** Which name in a verified client certificate is the user of a client that gives no user name. */
  readonly certificateLogin: CertificateLogin;
  /** How often topics below `$SYS` are published; 0: there are none. */
  readonly sysIntervalSeconds: number;
  /** Whether a refused publish closes the connection up to 3.1.1, where PUBACK has no reason code [MQTT-3.3.5-2]. */
  readonly refusedPublish: 'close' | 'drop';
  /** The same for a publish that a full queue refuses. One that could not be stored always closes the connection. */
  readonly overflowedPublish: 'close' | 'drop';
  /** The server reference that MQTT 5 clients are sent when the broker stops; null: none. */
  readonly serverReference: string | null;
}

export const DEFAULT_MQTT_OPTIONS: MqttOptions = Object.freeze({
  vhost: '/',
  ignoreColonsInUsername: false,
  exchange: 'amq.topic',
  anonymous: Object.freeze({ user: 'anonymous', loopbackOnly: true }),
  certificateLogin: 'off',
  sysIntervalSeconds: 0,
  refusedPublish: 'close',
  overflowedPublish: 'close',
  serverReference: null,
});
