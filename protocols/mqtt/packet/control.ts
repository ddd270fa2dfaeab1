// The control packets that clients send once they are connected: SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and AUTH (CONNECT is
// connect-packet.ts's). mqtt-packet decodes them, one exactly framed packet at a time; before it sees one, the checks
// here walk the bytes and refuse what it would let through: text that is not UTF-8 or holds U+0000, packet id 0, reserved
// flags, bytes after the end, and of MQTT 5 whatever is wrong with properties (properties.ts reads their values too).

import type { ISubscribePacket, IUnsubscribePacket } from 'mqtt-packet';
import type { MqttLimits } from '../limits.ts';
import { sharedFilter } from '../topic/shared-filter.ts';
import { filterProblem } from '../topic/topics.ts';
import { MalformedPacket } from './errors.ts';
import { PacketParser, skipText } from './packet-parser.ts';
import { LEVEL } from './packet-types.ts';
import { ALLOWED, PROPERTY, type PropertyScanner } from './properties.ts';
import { REASON } from './reason-codes.ts';

export interface Subscription {
  readonly filter: string;
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0: retained messages are sent, 1: only where the subscription is new, 2: not at all. */
  readonly retainHandling: number;
  /** 0: none. */
  readonly identifier: number;
}

export interface SubscribeRequest {
  readonly packetId: number;
  readonly subscriptions: readonly Subscription[];
}

export interface UnsubscribeRequest {
  readonly packetId: number;
  readonly filters: readonly string[];
}

export interface DisconnectRequest {
  readonly reason: number;
  /** The session's new expiry, or null where it stays. */
  readonly expirySeconds: number | null;
}

export interface AuthRequest {
  readonly reason: number;
  readonly method: string | null;
  readonly data: Buffer | null;
}

const OPTION = { qos: 0x03, noLocal: 0x04, retainAsPublished: 0x08, retainHandling: 0x30, reserved: 0xc0 } as const;

/** Reason codes of a client's DISCONNECT (§3.14.2.1). */
const DISCONNECT_REASONS: ReadonlySet<number> = new Set([
  REASON.success,
  REASON.disconnectWithWill,
  REASON.unspecified,
  REASON.malformed,
  REASON.protocolError,
  REASON.implementationSpecific,
  REASON.topicNameInvalid,
  REASON.receiveMaximumExceeded,
  REASON.topicAliasInvalid,
  REASON.packetTooLarge,
  REASON.messageRateTooHigh,
  REASON.quotaExceeded,
  REASON.administrativeAction,
  REASON.payloadFormatInvalid,
]);

/** Filters that one SUBSCRIBE or UNSUBSCRIBE may name, where a session may not have more subscriptions than these anyway. */
const FILTERS = 1024;

export class ControlPackets {
  private readonly scanner: PropertyScanner;
  /** 16 MiB of SUBSCRIBE hold four million filters: seconds of work, and gigabytes. */
  private readonly mostFilters: number;
  private readonly parser: PacketParser;
  private readonly parser5: PacketParser;

  constructor(scanner: PropertyScanner, limits: Pick<MqttLimits, 'subscriptionsPerSession'>) {
    this.scanner = scanner;
    this.mostFilters = Math.max(FILTERS, limits.subscriptionsPerSession);
    this.parser = new PacketParser(LEVEL.v3_1_1);
    this.parser5 = new PacketParser(LEVEL.v5);
  }

  /** The SUBSCRIBE that is [start, end) (§3.8). Throws MalformedPacket. */
  subscribe(buffer: Buffer, start: number, body: number, end: number, level: number): SubscribeRequest {
    if ((buffer[start]! & 15) !== 2) throw new MalformedPacket('reserved flags of SUBSCRIBE [MQTT-3.8.1-1]');
    const v5 = level === LEVEL.v5;
    const filters = this.behindPacketId(buffer, body, end, v5, ALLOWED.subscribe);
    const identifier = v5 ? this.scanner.number(PROPERTY.subscriptionId, -1) : -1;
    if (identifier === 0) throw new MalformedPacket('subscription identifier 0', REASON.protocolError);
    checkFilters(buffer, filters, end, v5 ? OPTION.reserved : 0xfc, true, this.mostFilters);
    const packet = (v5 ? this.parser5 : this.parser).parse(buffer, start, end) as ISubscribePacket;
    const subscriptions = packet.subscriptions.map(
      ({ topic, qos, nl, rap, rh }): Subscription => ({
        filter: topic,
        qos,
        noLocal: nl === true,
        retainAsPublished: rap === true,
        retainHandling: rh ?? 0,
        identifier: Math.max(identifier, 0),
      }),
    );
    for (const { filter, noLocal } of subscriptions) {
      const problem = filterProblem(filter);
      if (problem !== null) throw new MalformedPacket(problem, REASON.topicFilterInvalid);
      if (noLocal && sharedFilter(filter) !== null) {
        throw new MalformedPacket('a shared subscription with no-local [MQTT-3.8.3-4]', REASON.protocolError);
      }
    }
    return { packetId: packet.messageId ?? 0, subscriptions };
  }

  /** The UNSUBSCRIBE that is [start, end) (§3.10). Throws MalformedPacket. */
  unsubscribe(buffer: Buffer, start: number, body: number, end: number, level: number): UnsubscribeRequest {
    if ((buffer[start]! & 15) !== 2) throw new MalformedPacket('reserved flags of UNSUBSCRIBE [MQTT-3.10.1-1]');
    const v5 = level === LEVEL.v5;
    const filters = this.behindPacketId(buffer, body, end, v5, ALLOWED.unsubscribe);
    checkFilters(buffer, filters, end, 0, false, this.mostFilters);
    const packet = (v5 ? this.parser5 : this.parser).parse(buffer, start, end) as IUnsubscribePacket;
    for (const filter of packet.unsubscriptions) {
      const problem = filterProblem(filter);
      if (problem !== null) throw new MalformedPacket(problem, REASON.topicFilterInvalid);
    }
    return { packetId: packet.messageId ?? 0, filters: packet.unsubscriptions };
  }

  /** The DISCONNECT with content [body, end) (§3.14). Throws MalformedPacket. */
  disconnect(buffer: Buffer, start: number, body: number, end: number, level: number): DisconnectRequest {
    if ((buffer[start]! & 15) !== 0) throw new MalformedPacket('reserved flags of DISCONNECT [MQTT-3.14.1-1]');
    if (body === end) return { reason: REASON.success, expirySeconds: null };
    if (level !== LEVEL.v5) throw new MalformedPacket('a packet with content that has none');
    const reason = buffer[body]!;
    if (!DISCONNECT_REASONS.has(reason)) {
      throw new MalformedPacket(`reason code ${reason} in DISCONNECT`, REASON.protocolError);
    }
    if (body + 1 === end) return { reason, expirySeconds: null };
    this.wholeBlock(buffer, body + 1, end, ALLOWED.disconnect);
    const expiry = this.scanner.number(PROPERTY.sessionExpiry, -1);
    return { reason, expirySeconds: expiry === -1 ? null : expiry };
  }

  /** The AUTH with content [body, end) (§3.15). Throws MalformedPacket. */
  auth(buffer: Buffer, start: number, body: number, end: number): AuthRequest {
    if ((buffer[start]! & 15) !== 0) throw new MalformedPacket('reserved flags of AUTH [MQTT-3.15.1-1]');
    if (body === end) return { reason: REASON.success, method: null, data: null };
    const reason = buffer[body]!;
    if (reason !== REASON.continueAuthentication && reason !== REASON.reAuthenticate) {
      throw new MalformedPacket(`reason code ${reason} in AUTH`, REASON.protocolError);
    }
    if (body + 1 === end) return { reason, method: null, data: null };
    this.wholeBlock(buffer, body + 1, end, ALLOWED.auth);
    const method = this.scanner.text(buffer, PROPERTY.authenticationMethod);
    return { reason, method, data: this.scanner.bytes(buffer, PROPERTY.authenticationData) };
  }

  /** Checks packet id and (of MQTT 5) properties, and gives the position behind them. */
  private behindPacketId(buffer: Buffer, body: number, end: number, v5: boolean, allowed: Uint8Array): number {
    if (body + 2 > end) throw new MalformedPacket('a packet without its packet id');
    if (buffer[body] === 0 && buffer[body + 1] === 0) throw new MalformedPacket('packet id 0 [MQTT-2.3.1-1]');
    return v5 ? this.scanner.scan(buffer, body + 2, end, allowed) : body + 2;
  }

  /** A property block with which its packet ends. */
  private wholeBlock(buffer: Buffer, at: number, end: number, allowed: Uint8Array): void {
    if (this.scanner.scan(buffer, at, end, allowed) !== end) throw new MalformedPacket('bytes after the properties');
  }
}

/** Walks the filters of SUBSCRIBE (one option byte after each, without the bits of `reserved`) or UNSUBSCRIBE. */
function checkFilters(
  buffer: Buffer,
  from: number,
  end: number,
  reserved: number,
  options: boolean,
  most: number,
): void {
  let at = from;
  let filters = 0;
  if (at === end) {
    throw new MalformedPacket('no topic filter at all [MQTT-3.8.3-3] [MQTT-3.10.3-2]', REASON.protocolError);
  }
  while (at < end) {
    at = skipText(buffer, at, end, 'topic filter');
    if (++filters > most) {
      throw new MalformedPacket(
        `more than ${most} topic filters`,
        REASON.quotaExceeded,
        'mqtt.subscriptionsPerSession',
      );
    }
    if (!options) continue;
    if (at === end) throw new MalformedPacket('a topic filter without its options');
    const byte = buffer[at++]!;
    if ((byte & reserved) !== 0) throw new MalformedPacket('reserved bits of a subscription [MQTT-3-8.3-4]');
    if ((byte & OPTION.qos) === 3) throw new MalformedPacket('a subscription with QoS 3 [MQTT-3-8.3-4]');
    if ((byte & OPTION.retainHandling) === OPTION.retainHandling) {
      throw new MalformedPacket('retain handling 3', REASON.protocolError);
    }
  }
}
