// Decides which rule a client's packet breaks, if any. It does what a strict broker does, so that a mutation can ignore
// one violation and no other. A rule is named after the check that tests it, without the version. Reading a packet
// stops at the first violation, which is the result.

import { LEVEL, type Level, type TypeName } from '../wire/packets.ts';
import { property } from '../wire/properties.ts';
import { judgeConnect } from './judge-connect.ts';
import { type MqttPacket, readAnswer, readable } from './packets.ts';
import { Broken, judgeProperties, Reading } from './reading.ts';

/** The fixed header flags of each packet where they are not 0. All flags of PUBLISH have a meaning. */
const FLAGS: Partial<Record<TypeName, number>> = { PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2 };
/** Packets that only a broker sends. */
const OUT_OF_PLACE: readonly TypeName[] = ['CONNACK', 'SUBACK', 'UNSUBACK', 'PINGRESP'];

/** Reason codes that a client may send (5.0, tables of §3.4 to §3.7 and §3.14). */
const REASONS: Partial<Record<TypeName, readonly number[]>> = {
  PUBACK: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  PUBREC: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  PUBREL: [0x00, 0x92],
  PUBCOMP: [0x00, 0x92],
  DISCONNECT: [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99],
};

/** The broker's limits, from its CONNACK. */
interface Limits {
  readonly topicAliasMaximum: number;
  readonly receiveMaximum: number;
  readonly maximumPacketSize: number;
}

/** Follows one connection. */
export class Judge {
  version: Level;
  private introduced: boolean;
  private limits: Limits | null;
  private sessionExpiry: number;
  private method: string | null;
  private readonly aliases: Set<number>;
  /** Packet identifiers of the client's unacknowledged messages. */
  private readonly open: Set<number>;
  /** Set after a violation: later packets are not judged. */
  private violated: boolean;

  constructor() {
    this.version = LEVEL.v3;
    this.introduced = false;
    this.limits = null;
    this.sessionExpiry = 0;
    this.method = null;
    this.aliases = new Set();
    this.open = new Set();
    this.violated = false;
  }

  private get v5(): boolean {
    return this.version === LEVEL.v5;
  }

  /** Whether the client has sent a valid CONNECT. */
  get connected(): boolean {
    return this.introduced;
  }

  /** Whether CONNECT named an authentication method and the broker has not accepted it yet. */
  get authenticating(): boolean {
    return this.method !== null && this.limits === null;
  }

  /** The rule that the packet breaks, or null. Null for every packet after a violation, until `forget`. */
  client(packet: MqttPacket): string | null {
    if (this.violated) return null;
    try {
      this.judge(packet);
      return null;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      this.violated = true;
      return error.rule;
    }
  }

  /** Ignores the last violation: the connection continues as if the packet had not been sent. */
  forget(): void {
    this.violated = false;
  }

  /** Notes the limits and acknowledgements in a packet of the broker. */
  broker(packet: MqttPacket): void {
    const answer = readable(() => readAnswer(packet, this.version));
    if (answer === null) return;
    if (packet.type === 'CONNACK' && answer.reasons[0] === 0) {
      const said = (id: number): number | undefined => {
        const bytes = answer.properties.find((each) => each.id === id)?.bytes;
        return bytes === undefined ? undefined : bytes.readUIntBE(1, bytes.length - 1);
      };
      this.limits = {
        topicAliasMaximum: said(0x22) ?? 0,
        receiveMaximum: said(0x21) ?? 65_535,
        maximumPacketSize: said(0x27) ?? Number.POSITIVE_INFINITY,
      };
    }
    const refused = packet.type === 'PUBREC' && answer.reasons[0]! >= 0x80;
    if (packet.type === 'PUBACK' || packet.type === 'PUBCOMP' || refused) this.open.delete(answer.packetId);
  }

  private judge(packet: MqttPacket): void {
    const { bytes, type, flags } = packet;
    if (type === null) throw new Broken(bytes[0]! < 0x10 ? 'malformed.type0' : 'malformed.length.five-bytes');
    const lengthBytes = bytes.length - packet.body.length - 1;
    if (lengthBytes > 1 && bytes[lengthBytes] === 0) throw new Broken('malformed.length.not-minimal');
    const name = type.toLowerCase();
    if (type !== 'CONNECT') {
      if (!this.introduced) throw new Broken(`connect.first.${name}`);
      if (OUT_OF_PLACE.includes(type)) throw new Broken(`malformed.${name}`);
      if (type === 'AUTH' && !this.v5) throw new Broken('malformed.type15');
      if (type !== 'PUBLISH' && flags !== (FLAGS[type] ?? 0)) {
        const own = type === 'SUBSCRIBE' || type === 'UNSUBSCRIBE';
        throw new Broken(own ? `${name}.flags` : `malformed.flags.${name}`);
      }
      if (this.authenticating && type !== 'AUTH' && type !== 'DISCONNECT') throw new Broken('auth.interrupted');
    }
    const reading = new Reading(packet.body, name, this.v5);
    switch (type) {
      case 'CONNECT':
        this.connect(packet);
        break;
      case 'PUBLISH':
        this.publish(packet, reading);
        break;
      case 'SUBSCRIBE':
      case 'UNSUBSCRIBE':
        judgeFilters(reading);
        break;
      case 'PINGREQ':
        reading.end('malformed.length.pingreq');
        break;
      case 'AUTH':
        this.auth(reading);
        break;
      default:
        this.reasoned(type, reading);
    }
  }

  /** Acknowledgements and DISCONNECT: packets with a reason code. */
  private reasoned(type: TypeName, reading: Reading): void {
    const { packet } = reading;
    if (type !== 'DISCONNECT') reading.short(`malformed.length.${packet}`);
    if (!this.v5 || reading.left === 0) return;
    const reason = reading.byte('malformed.length');
    if (!REASONS[type]!.includes(reason)) throw new Broken(`malformed.reason.${packet}`);
    const given = reading.left === 0 ? [] : judgeProperties(reading);
    const expiry = property(given, 'sessionExpiryInterval') ?? 0;
    if (expiry > 0 && this.sessionExpiry === 0) throw new Broken('session.expiry.raised');
  }

  private connect(packet: MqttPacket): void {
    if (this.introduced) throw new Broken('connect.second');
    if (packet.flags !== 0) throw new Broken('malformed.flags.connect');
    const { level, given } = judgeConnect(packet.body);
    this.version = level;
    this.introduced = true;
    this.sessionExpiry = property(given, 'sessionExpiryInterval') ?? 0;
    this.method = property(given, 'authenticationMethod') ?? null;
  }

  private publish({ bytes, flags }: MqttPacket, reading: Reading): void {
    const qos = (flags >> 1) & 3;
    if (qos === 3) throw new Broken('publish.qos3');
    if (qos === 0 && (flags & 8) !== 0) throw new Broken('publish.dup-qos0');
    if (reading.left === 0) throw new Broken('publish.topic.missing');
    const topic = reading.string('publish.topic.short', (fault) => `publish.topic.utf8.${fault}`);
    if (topic.includes('+')) throw new Broken('publish.topic.plus');
    if (topic.includes('#')) throw new Broken('publish.topic.hash');
    const packetId = qos === 0 ? 0 : reading.short('publish.identifier.missing');
    if (qos > 0 && packetId === 0) throw new Broken('publish.identifier.zero');
    const alias = property(this.v5 ? judgeProperties(reading) : [], 'topicAlias');
    const { limits } = this;
    if (limits !== null && bytes.length > limits.maximumPacketSize) throw new Broken('maximum-packet-size.in');
    if (alias !== undefined && alias > (limits?.topicAliasMaximum ?? 0)) throw new Broken('alias.beyond');
    if (topic === '' && alias === undefined) throw new Broken('publish.topic.empty');
    if (topic === '' && !this.aliases.has(alias!)) throw new Broken('alias.unknown');
    if (qos > 0 && !this.open.has(packetId) && this.open.size >= (limits?.receiveMaximum ?? 65_535)) {
      throw new Broken('receive-maximum.in.beyond');
    }
    if (alias !== undefined) this.aliases.add(alias);
    if (qos > 0) this.open.add(packetId);
  }

  private auth(reading: Reading): void {
    if (this.method === null) throw new Broken('connect.auth.unasked');
    const reason = reading.left === 0 ? 0 : reading.byte('malformed.length');
    const given = reading.left === 0 ? [] : judgeProperties(reading);
    const accepted = this.limits !== null;
    if (property(given, 'authenticationMethod') !== this.method) {
      throw new Broken(accepted ? 'auth.again.other-method' : 'auth.other-method');
    }
    if (!accepted && reason !== 0x18) throw new Broken('auth.other-reason');
  }
}

/** SUBSCRIBE and UNSUBSCRIBE. */
function judgeFilters(reading: Reading): void {
  const { packet, v5 } = reading;
  if (reading.short(`malformed.length.${packet}`) === 0) throw new Broken(`${packet}.identifier.zero`);
  if (v5) judgeProperties(reading);
  const subscribes = packet === 'subscribe';
  if (reading.left === 0) throw new Broken(subscribes ? 'subscribe.none' : 'unsubscribe.empty');
  while (reading.left > 0) {
    const filter = reading.string(subscribes ? 'malformed.length.filter' : 'malformed.length.unsubscribe', (fault) =>
      fault === 'null' ? `${packet}.null` : `${packet}.utf8`,
    );
    if (!subscribes) continue;
    const options = reading.byte('subscribe.short');
    if ((options & (v5 ? 0xc0 : 0xfc)) !== 0) throw new Broken('subscribe.reserved');
    if ((options & 3) === 3) throw new Broken('subscribe.qos3');
    if ((options & 0x30) === 0x30) throw new Broken('subscribe.retain-handling-3');
    judgeFilter(v5 ? unshared(filter, (options & 4) !== 0) : filter);
  }
}

/** The filter without its `$share` prefix (5.0 §4.8.2). */
function unshared(filter: string, noLocal: boolean): string {
  if (!filter.startsWith('$share/')) return filter;
  const [, name = '', ...rest] = filter.split('/');
  if (name === '') throw new Broken('shared.bad.no-name');
  if (name.includes('+')) throw new Broken('shared.bad.plus-in-name');
  if (name.includes('#')) throw new Broken('shared.bad.hash-in-name');
  if (rest.length === 0) throw new Broken('shared.bad.no-filter');
  if (rest.join('/') === '') throw new Broken('shared.bad.empty-filter');
  if (noLocal) throw new Broken('shared.no-local');
  return rest.join('/');
}

function judgeFilter(filter: string): void {
  if (filter === '') throw new Broken('subscribe.bad.empty');
  for (const [at, level, all] of filter.split('/').map((each, at, all) => [at, each, all] as const)) {
    if (level === '#' && at < all.length - 1) throw new Broken('subscribe.bad.hash-within');
    if (level.length > 1 && level.includes('#')) throw new Broken('subscribe.bad.hash-attached');
    if (level.length > 1 && level.includes('+')) throw new Broken('subscribe.bad.plus-attached');
  }
}
