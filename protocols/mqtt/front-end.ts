// The MQTT front-end of a broker: made once, it gives each new transport its connection.

import { findField } from '../../src/core/field-table.ts';
import type { FrontEnd } from '../../src/core/front-end.ts';
import type { Message } from '../../src/core/message.ts';
import type { DirectReceiver } from '../../src/core/queue.ts';
import type { VirtualHost } from '../../src/core/virtual-host.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import { MqttConnection } from './connection.ts';
import { ControlPackets } from './control.ts';
import { PublishEncoder } from './encoder.ts';
import { DEFAULT_MQTT_LIMITS, type MqttLimits } from './limits.ts';
import { PublishReader } from './publish.ts';
import { RetainedMessages } from './retained.ts';
import { SESSION_ARGUMENT } from './session-queue.ts';
import { Sessions } from './sessions.ts';
import { DEFAULT_MQTT_OPTIONS, type MqttOptions, type MqttShared } from './shared.ts';
import { KeyTopics, TopicKeys } from './topic-cache.ts';

export class MqttFrontEnd {
  private readonly shared: MqttShared;

  constructor(context: FrontEnd, ticker: Ticker, options: Partial<MqttOptions> = {}, limits: Partial<MqttLimits> = {}) {
    const allLimits: MqttLimits = { ...DEFAULT_MQTT_LIMITS, ...limits };
    const allOptions: MqttOptions = { ...DEFAULT_MQTT_OPTIONS, ...options };
    this.shared = {
      context,
      ticker,
      turn: context.turn,
      meters: context.meters,
      log: context.log,
      limits: allLimits,
      options: allOptions,
      exchange: allOptions.exchange,
      control: new ControlPackets(allLimits),
      reader: new PublishReader(),
      encoder: new PublishEncoder(new KeyTopics()),
      topicKeys: new TopicKeys(allLimits),
      retained: new RetainedMessages(allLimits, context.turn),
      sessions: new Sessions(),
    };
  }

  /** The handler of a new transport: a TCP or TLS connection, or a WebSocket of subprotocol `mqtt`. */
  readonly accept = (transport: Transport): TransportHandler => new MqttConnection(transport, this.shared);

  /**
   * Sessions that a restart found: their clients are away, so what would be delivered to them at QoS 0 is dropped, as
   * it was before the restart. Called once the definitions are recovered.
   */
  recover(hosts: Iterable<VirtualHost>): void {
    const away = new Away(this.shared);
    for (const host of hosts) {
      for (const queue of host.queues.values()) {
        if (findField(queue.args, SESSION_ARGUMENT) !== null) queue.direct = away;
      }
    }
  }
}

/** QoS 0 for a client that is not there. */
class Away implements DirectReceiver {
  private readonly shared: MqttShared;

  constructor(shared: MqttShared) {
    this.shared = shared;
  }

  receive(_message: Message): void {
    this.shared.meters.droppedDirect++;
  }
}
