// What all MQTT connections and sessions of a broker share: codecs with their caches, the retained messages, and the
// parts of the core that they act on. Made once by front-end.ts.

import type { Logger } from '../../src/core/logger.ts';
import type { Meters } from '../../src/core/ports/meters.ts';
import type { FrontEndContext } from '../../src/core/session/front-end-context.ts';
import type { Turn } from '../../src/core/turn/turn.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { Traffic } from './connection/traffic.ts';
import type { Deadlines } from './deadlines.ts';
import type { MqttLimits } from './limits.ts';
import type { MqttOptions } from './options.ts';
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

export interface MqttShared {
  readonly context: FrontEndContext;
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
