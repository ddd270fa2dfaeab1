// The MQTT front-end of a broker: made once, it gives each new transport its connection. It owns what is one for all
// clients: the context, the sessions by client id, the groups of shared subscriptions, and the view of retained messages.

import { registerLimits } from '../../src/core/ports/limit-hits.ts';
import type { FrontEndContext } from '../../src/core/session/front-end-context.ts';
import type { VirtualHost } from '../../src/core/vhost/virtual-host.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import { MqttConnection } from './connection/connection.ts';
import type { MqttContext } from './context.ts';
import { DEFAULT_MQTT_LIMITS, MQTT_COUNTED_LIMITS, type MqttLimits } from './limits.ts';
import { DEFAULT_MQTT_OPTIONS, type MqttOptions } from './options.ts';
import { PacketCodecs } from './packet/codecs.ts';
import { PacketWriter } from './packet/packet-writer.ts';
import { Traffic } from './packet/traffic.ts';
import { RetainedMessages } from './retained/retained.ts';
import type { PacketStore } from './session/packet-store.ts';
import { Sessions } from './session/sessions.ts';
import { SharedGroups } from './session/shared-groups.ts';
import { WaitingWills } from './session/waiting-wills.ts';
import { SysTopics } from './sys-topics.ts';

export class MqttFrontEnd {
  private readonly context: MqttContext;
  private readonly retained: RetainedMessages;
  private readonly sessions: Sessions;

  constructor(
    core: FrontEndContext,
    ticker: Ticker,
    packets: PacketStore,
    options: Partial<MqttOptions> = {},
    limits: Partial<MqttLimits> = {},
  ) {
    const allLimits: MqttLimits = { ...DEFAULT_MQTT_LIMITS, ...limits };
    const allOptions: MqttOptions = { ...DEFAULT_MQTT_OPTIONS, ...options };
    const codecs = new PacketCodecs(allLimits, allOptions.exchange);
    const traffic = new Traffic();
    this.context = {
      ...core,
      ticker,
      limits: allLimits,
      limitHits: registerLimits(core.meters.limitHits, MQTT_COUNTED_LIMITS),
      options: allOptions,
      codecs,
      writer: new PacketWriter(codecs.encoder, codecs.encoder5, core.turn, core.meters, traffic),
      traffic,
    };
    this.retained = new RetainedMessages(core.retained, core.turn, ticker, core.log);
    const groups = new SharedGroups(core.meters, core.system);
    const waitingWills = new WaitingWills(allLimits.waitingWillBytes, this.context.limitHits);
    this.sessions = new Sessions({
      ...this.context,
      packets,
      groups,
      retainedMessages: this.retained,
      waitingWills,
    });
  }

  /** The handler of a new transport: a TCP or TLS connection, or a WebSocket of subprotocol `mqtt`. */
  readonly accept = (transport: Transport): TransportHandler =>
    new MqttConnection(transport, this.context, this.sessions);

  /**
   * Recovers the sessions that an earlier start left, and starts publishing below `$SYS`. Called once, after the
   * definitions are recovered.
   */
  recover(hosts: Iterable<VirtualHost>): void {
    const { context, retained, sessions } = this;
    if (context.options.sysIntervalSeconds > 0) retained.brokerTopics = new SysTopics(context, sessions, () => hosts);
    sessions.recover(hosts);
  }
}
