// Topic aliases (MQTT 5 §3.3.2.3.4): numbers that stand for topics on one connection, one table for each direction. Both
// are made when an alias is first used and bounded by the Topic Alias Maximum that its reader announced.

import { MalformedPacket } from './errors.ts';
import { REASON } from './reason-codes.ts';

/** What the client's aliases stand for: routing keys. */
export class ClientAliases {
  private readonly maximum: number;
  private readonly keys: Map<number, string>;

  constructor(maximum: number) {
    this.maximum = maximum;
    this.keys = new Map();
  }

  /** The client gives an alias a (new) topic. Throws MalformedPacket [MQTT-3.3.2-9]. */
  set(alias: number, routingKey: string): void {
    this.require(alias);
    this.keys.set(alias, routingKey);
  }

  /** What the alias stands for. Throws MalformedPacket where it stands for nothing. */
  get(alias: number): string {
    this.require(alias);
    const key = this.keys.get(alias);
    if (key === undefined) throw new MalformedPacket(`topic alias ${alias} is not set`, REASON.protocolError);
    return key;
  }

  private require(alias: number): void {
    if (alias <= this.maximum) return;
    throw new MalformedPacket(
      `topic alias ${alias} is over the maximum of ${this.maximum}`,
      REASON.topicAliasInvalid,
      'mqtt.topicAliases',
    );
  }
}

/** The aliases under which topics go out: the first topics get them, and keep them. */
export class BrokerAliases {
  private readonly maximum: number;
  private readonly byKey: Map<string, number>;

  /** `maximum` is not 0. */
  constructor(maximum: number) {
    this.maximum = maximum;
    this.byKey = new Map();
  }

  /** The alias that the client knows for a topic, or 0. */
  known(routingKey: string): number {
    return this.byKey.get(routingKey) ?? 0;
  }

  /** The alias that a topic may be given, or 0. It has it once `give` is called. */
  next(): number {
    return this.byKey.size < this.maximum ? this.byKey.size + 1 : 0;
  }

  give(routingKey: string, alias: number): void {
    this.byKey.set(routingKey, alias);
  }
}
