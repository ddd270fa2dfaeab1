// What all MQTT connections and sessions of a broker share: codecs with their caches, the retained messages, and the
// parts of the core that they act on. Made once by front-end.ts.

import type { FrontEnd } from '../../src/core/front-end.ts';
import type { Logger } from '../../src/core/logger.ts';
import type { Meters } from '../../src/core/ports.ts';
import type { Turn } from '../../src/core/turn.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { ControlPackets } from './control.ts';
import type { PublishEncoder } from './encoder.ts';
import type { MqttLimits } from './limits.ts';
import type { PublishReader } from './publish.ts';
import type { RetainedMessages } from './retained.ts';
import type { Sessions } from './sessions.ts';
import type { TopicKeys } from './topic-cache.ts';

export interface MqttOptions {
  /** Virtual host of a user name that names none. */
  readonly vhost: string;
  /** Topic exchange that MQTT publishes to and subscribes on. */
  readonly exchange: string;
  /** As whom a client logs in that gives no user name; null refuses it. */
  readonly anonymous: { readonly user: string; readonly password: string } | null;
  /** What a publish without permission does to its connection; 3.1.1 has no way to answer it [MQTT-3.3.5-2]. */
  readonly unauthorizedPublish: 'close' | 'drop';
}

export const DEFAULT_MQTT_OPTIONS: MqttOptions = Object.freeze({
  vhost: '/',
  exchange: 'amq.topic',
  anonymous: Object.freeze({ user: 'guest', password: 'guest' }),
  unauthorizedPublish: 'close',
});

export interface MqttShared {
  readonly context: FrontEnd;
  readonly ticker: Ticker;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly log: Logger;
  readonly limits: MqttLimits;
  readonly options: MqttOptions;
  readonly exchange: string;
  readonly control: ControlPackets;
  readonly reader: PublishReader;
  readonly encoder: PublishEncoder;
  readonly topicKeys: TopicKeys;
  readonly retained: RetainedMessages;
  readonly sessions: Sessions;
}
