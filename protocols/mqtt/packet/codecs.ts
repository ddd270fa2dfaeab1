// The codecs of MQTT packets, one of each for all connections of a broker. They keep caches of topics and scratch state
// of the packet at hand, so a value that one of them read is taken before the next packet is read.

import type { MqttLimits } from '../limits.ts';
import { ConnectReader } from './connect-packet.ts';
import { ControlPackets } from './control.ts';
import { PublishEncoder } from './encoder.ts';
import { PublishEncoder5 } from './encoder-v5.ts';
import { PropertyScanner } from './properties.ts';
import { MqttForms } from './property-codec.ts';
import { AckReader, PublishReader } from './publish-packet.ts';
import { KeyTopics, TopicKeys } from './topic-cache.ts';

export class PacketCodecs {
  readonly connects: ConnectReader;
  readonly control: ControlPackets;
  readonly reader: PublishReader;
  readonly acks: AckReader;
  readonly scanner: PropertyScanner;
  /** Topics that clients send, as routing keys. */
  readonly topicKeys: TopicKeys;
  readonly encoder: PublishEncoder;
  readonly encoder5: PublishEncoder5;
  readonly forms: MqttForms;

  /** `exchange` is the one that MQTT clients publish to. */
  constructor(limits: MqttLimits, exchange: string) {
    const keyTopics = new KeyTopics();
    this.scanner = new PropertyScanner(limits.propertyBytes);
    this.connects = new ConnectReader(limits, this.scanner);
    this.control = new ControlPackets(this.scanner, limits);
    this.reader = new PublishReader();
    this.acks = new AckReader(this.scanner);
    this.topicKeys = new TopicKeys(limits);
    this.encoder = new PublishEncoder(keyTopics);
    this.encoder5 = new PublishEncoder5(keyTopics, exchange);
    this.forms = new MqttForms(exchange);
  }
}
