// Topic aliases (MQTT 5 §3.3.2.3.4): numbers that stand for topics on one connection, one table for each direction. Both
// are made at first use and bounded by the Topic Alias Maximum that the receiving side announced.

import { MalformedPacket } from './errors.ts';
import { REASON } from './reason-codes.ts';

/** An alias beside its key. */
const ALIAS_BYTES = 64;

/** The routing keys of the aliases that the client has set. */
export class ClientAliases {
  private readonly maximum: number;
  private readonly keys: Map<number, string>;
  /** Characters of the keys. */
  private length: number;

  constructor(maximum: number) {
    this.maximum = maximum;
    this.keys = new Map();
    this.length = 0;
  }

  /** Memory that the table takes. */
  get heldBytes(): number {
    return this.length + this.keys.size * ALIAS_BYTES;
  }

  /** The client sets an alias. Throws MalformedPacket [MQTT-3.3.2-9]. */
  set(alias: number, routingKey: string): void {
    this.require(alias);
    this.length += routingKey.length - (this.keys.get(alias)?.length ?? 0);
    this.keys.set(alias, routingKey);
  }

  /** The routing key of an alias. Throws MalformedPacket if it is not set. */
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

/** The aliases that the broker has set: the first topics get them and keep them. */
export class BrokerAliases {
  private readonly maximum: number;
  private readonly byKey: Map<string, number>;

  /** `maximum` is not 0. */
  constructor(maximum: number) {
    this.maximum = maximum;
    this.byKey = new Map();
  }

  /** The alias of a topic, or 0. */
  known(routingKey: string): number {
    return this.byKey.get(routingKey) ?? 0;
  }

  /** The next free alias, or 0. `set` assigns it. */
  next(): number {
    return this.byKey.size < this.maximum ? this.byKey.size + 1 : 0;
  }

  set(routingKey: string, alias: number): void {
    this.byKey.set(routingKey, alias);
  }
}
