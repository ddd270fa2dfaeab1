// What every MQTT connection and session of a broker acts with: the core's context, the configuration, and the packet
// codecs with their caches, which repay their memory only when a process has one of each. Made once by front-end.ts. It
// knows packets and topics, and nothing of sessions: what they need beside it is in session/session-context.ts.

import type { LimitHits } from '../../src/core/ports/limit-hits.ts';
import type { FrontEndContext } from '../../src/core/session/front-end-context.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { MqttCountedLimit, MqttLimits } from './limits.ts';
import type { MqttOptions } from './options.ts';
import type { PacketCodecs } from './packet/codecs.ts';
import type { PacketWriter } from './packet/packet-writer.ts';
import type { Traffic } from './packet/traffic.ts';

export interface MqttContext extends FrontEndContext {
  readonly ticker: Ticker;
  readonly limits: MqttLimits;
  readonly limitHits: LimitHits<MqttCountedLimit>;
  readonly options: MqttOptions;
  readonly codecs: PacketCodecs;
  readonly writer: PacketWriter;
  readonly traffic: Traffic;
}
