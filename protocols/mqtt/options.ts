// How the MQTT front-end behaves, where that is configurable and not a limit.

import type { CertificateLogin } from '../../src/net/certificate-login.ts';

export interface MqttOptions {
  /** Virtual host of a user name that names none. */
  readonly vhost: string;
  /** Topic exchange that MQTT publishes to and subscribes on. */
  readonly exchange: string;
  /** As whom a client logs in that gives no user name; null refuses it. */
  readonly anonymous: { readonly user: string; readonly password: string; readonly loopbackOnly: boolean } | null;
  /** What of a verified client certificate is the user of a client that gives no user name. */
  readonly certificateLogin: CertificateLogin;
  /** How often topics below `$SYS` are brought up to date; 0: there are none. */
  readonly sysIntervalSeconds: number;
  /** What a publish that is refused does to its connection up to 3.1.1, which has no way to say so [MQTT-3.3.5-2]. */
  readonly refusedPublish: 'close' | 'drop';
  /** The same of a publish that a full queue does not take. One that could not be stored always closes it. */
  readonly overflowedPublish: 'close' | 'drop';
  /** Where MQTT 5 clients are told to go when the broker stops; null: nowhere. */
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
