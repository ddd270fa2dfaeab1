// The options of the MQTT front-end that are not limits, with their defaults.

import type { CertificateLogin } from '../../src/net/certificate-login.ts';

export interface MqttOptions {
  /** Virtual host of a user name that names none. */
  readonly vhost: string;
  /** Topic exchange that MQTT publishes to and subscribes on. */
  readonly exchange: string;
  /** The login of a client that gives no user name; null refuses it. */
  readonly anonymous: { readonly user: string; readonly password: string; readonly loopbackOnly: boolean } | null;
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
  exchange: 'amq.topic',
  anonymous: Object.freeze({ user: 'guest', password: 'guest', loopbackOnly: true }),
  certificateLogin: 'off',
  sysIntervalSeconds: 0,
  refusedPublish: 'close',
  overflowedPublish: 'close',
  serverReference: null,
});
