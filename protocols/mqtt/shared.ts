// What all MQTT connections and sessions of a broker share: codecs with their caches, the retained messages, and the
// parts of the core that they act on. Made once by front-end.ts.

import type { Logger } from '../../src/core/logger.ts';
import type { Meters } from '../../src/core/ports/meters.ts';
import type { FrontEnd } from '../../src/core/session/front-end.ts';
import type { Turn } from '../../src/core/turn/turn.ts';
import type { CertificateLogin } from '../../src/net/certificate-login.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { Traffic } from './connection/traffic.ts';
import type { Deadlines } from './deadlines.ts';
import type { MqttLimits } from './limits.ts';
import type { ConnectReader } from './packet/connect-packet.ts';
import type { ControlPackets } from './packet/control.ts';
import type { PublishEncoder } from './packet/encoder.ts';
import type { PublishEncoder5 } from './packet/encoder-v5.ts';
import type { LinkWriter } from './packet/link-writer.ts';
import type { PropertyScanner } from './packet/properties.ts';
import type { MqttForms } from './packet/property-codec.ts';
import type { AckReader, PublishReader } from './packet/publish-packet.ts';
import type { RetainedMessages } from './retained/retained.ts';
import type { PacketStore } from './session/packet-store.ts';
import type { Sessions } from './session/sessions.ts';
import type { SharedGroups } from './session/shared-groups.ts';
import type { TopicKeys } from './topic/topic-cache.ts';

/** What happens to one message too many in a session's queue: the oldest goes, or the new one is refused. */
export type Overflow = 'drop-head' | 'refuse';

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

export interface MqttShared {
  readonly context: FrontEnd;
  readonly packets: PacketStore;
  readonly ticker: Ticker;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly log: Logger;
  readonly limits: MqttLimits;
  readonly options: MqttOptions;
  readonly exchange: string;
  readonly scanner: PropertyScanner;
  readonly connects: ConnectReader;
  readonly control: ControlPackets;
  readonly reader: PublishReader;
  readonly acks: AckReader;
  readonly encoder: PublishEncoder;
  readonly encoder5: PublishEncoder5;
  readonly writer: LinkWriter;
  readonly forms: MqttForms;
  readonly topicKeys: TopicKeys;
  readonly retained: RetainedMessages;
  readonly sessions: Sessions;
  readonly groups: SharedGroups;
  readonly deadlines: Deadlines;
  readonly traffic: Traffic;
}
