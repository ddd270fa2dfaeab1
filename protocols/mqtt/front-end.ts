// The MQTT front-end of a broker: made once, it gives each new transport its connection.

import type { FrontEndContext } from '../../src/core/session/front-end-context.ts';
import type { VirtualHost } from '../../src/core/vhost/virtual-host.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import { MqttConnection } from './connection/connection.ts';
import { Traffic } from './connection/traffic.ts';
import type { MqttShared } from './context.ts';
import { Deadlines } from './deadlines.ts';
import { DEFAULT_MQTT_LIMITS, type MqttLimits } from './limits.ts';
import { DEFAULT_MQTT_OPTIONS, type MqttOptions } from './options.ts';
import { ConnectReader } from './packet/connect-packet.ts';
import { ControlPackets } from './packet/control.ts';
import { PublishEncoder } from './packet/encoder.ts';
import { PublishEncoder5 } from './packet/encoder-v5.ts';
import { LinkWriter } from './packet/link-writer.ts';
import { PropertyScanner } from './packet/properties.ts';
import { MqttForms } from './packet/property-codec.ts';
import { AckReader, PublishReader } from './packet/publish-packet.ts';
import { RetainedMessages } from './retained/retained.ts';
import { SysTopics } from './retained/sys-topics.ts';
import type { PacketStore } from './session/packet-store.ts';
import { Sessions } from './session/sessions.ts';
import { SharedGroups } from './session/shared-groups.ts';
import { KeyTopics, TopicKeys } from './topic/topic-cache.ts';

export class MqttFrontEnd {
  private readonly shared: MqttShared;

  constructor(
    context: FrontEndContext,
    ticker: Ticker,
    packets: PacketStore,
    options: Partial<MqttOptions> = {},
    limits: Partial<MqttLimits> = {},
  ) {
    const allLimits: MqttLimits = { ...DEFAULT_MQTT_LIMITS, ...limits };
    const allOptions: MqttOptions = { ...DEFAULT_MQTT_OPTIONS, ...options };
    const scanner = new PropertyScanner(allLimits.propertyBytes);
    const keyTopics = new KeyTopics();
    const encoder = new PublishEncoder(keyTopics);
    const encoder5 = new PublishEncoder5(keyTopics, allOptions.exchange);
    const traffic = new Traffic();
    this.shared = {
      context,
      packets,
      ticker,
      turn: context.turn,
      meters: context.meters,
      log: context.log,
      limits: allLimits,
      options: allOptions,
      exchange: allOptions.exchange,
      scanner,
      connects: new ConnectReader(allLimits, scanner),
      control: new ControlPackets(scanner, allLimits),
      reader: new PublishReader(),
      acks: new AckReader(scanner),
      encoder,
      encoder5,
      writer: new LinkWriter(encoder, encoder5, context.turn, context.meters, traffic),
      forms: new MqttForms(allOptions.exchange),
      topicKeys: new TopicKeys(allLimits),
      retained: new RetainedMessages(context.retained, context.turn, ticker, context.log),
      sessions: new Sessions(),
      groups: new SharedGroups(context.meters),
      deadlines: new Deadlines(ticker),
      traffic,
    };
  }

  /** The handler of a new transport: a TCP or TLS connection, or a WebSocket of subprotocol `mqtt`. */
  readonly accept = (transport: Transport): TransportHandler => new MqttConnection(transport, this.shared);

  /** Takes up the sessions that an earlier start left, and begins to speak of the broker below `$SYS`. Called once the definitions are recovered. */
  recover(hosts: Iterable<VirtualHost>): void {
    const { options, retained } = this.shared;
    if (options.sysIntervalSeconds > 0) retained.sys = new SysTopics(this.shared, () => hosts);
    this.shared.sessions.recover(hosts, this.shared);
  }
}
