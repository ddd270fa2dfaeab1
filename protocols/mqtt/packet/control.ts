// The control packets that clients send once they are connected: SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and AUTH (CONNECT is in
// connect-packet.ts, PUBLISH and the acknowledgements are in publish-packet.ts). One function reads each: it validates a
// whole packet byte by byte and returns its values, or throws MalformedPacket. Form is checked before meaning, so that a
// packet with errors of both kinds is malformed. Called through ControlPackets by connection/conversation.ts and
// connection/handshake.ts.
//
// Section numbers are those of MQTT 5; up to AUTH they are the same in 3.1.1. In the grammars `text` is a u16 length and
// UTF-8, and [x: 5] is only in packets of MQTT 5.

import type { MqttLimits } from '../limits.ts';
import { sharedFilter } from '../topic/shared-filter.ts';
import { filterProblem } from '../topic/topics.ts';
import { MalformedPacket } from './errors.ts';
import { PacketCursor } from './packet-cursor.ts';
import { LEVEL } from './packet-types.ts';
import { ALLOWED, type Allowed, PROPERTY, type PropertyScanner } from './properties.ts';
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

/** The options byte of a subscription (§3.8.3.1). The bits of 3.1.1 are those of QoS. */
const OPTION = { qos: 0x03, noLocal: 0x04, retainAsPublished: 0x08, retainHandling: 0x30 } as const;
const RETAIN_HANDLING_SHIFT = 4;
const RESERVED_OPTIONS = 0xfc;
const RESERVED_OPTIONS_V5 = 0xc0;

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

/**
 * Filters that one SUBSCRIBE or UNSUBSCRIBE may name; more where a session may have more subscriptions than that. Without
 * a limit 16 MiB of SUBSCRIBE would hold four million filters, which take seconds and gigabytes.
 */
const FILTERS = 1024;

/** The readers below with one broker's limits. One for all connections. */
export class ControlPackets {
  private readonly scanner: PropertyScanner;
  private readonly mostFilters: number;

  constructor(scanner: PropertyScanner, limits: Pick<MqttLimits, 'subscriptionsPerSession'>) {
    this.scanner = scanner;
    this.mostFilters = Math.max(FILTERS, limits.subscriptionsPerSession);
  }

  /** The SUBSCRIBE that starts with `buffer[start]` and has its content in [body, end). Throws MalformedPacket. */
  subscribe(buffer: Buffer, start: number, body: number, end: number, level: number): SubscribeRequest {
    const packet = new PacketCursor(buffer, body, end);
    return readSubscribe(buffer[start]!, packet, level === LEVEL.v5, this.scanner, this.mostFilters);
  }

  /** As `subscribe`, for UNSUBSCRIBE. */
  unsubscribe(buffer: Buffer, start: number, body: number, end: number, level: number): UnsubscribeRequest {
    const packet = new PacketCursor(buffer, body, end);
    return readUnsubscribe(buffer[start]!, packet, level === LEVEL.v5, this.scanner, this.mostFilters);
  }

  /** As `subscribe`, for DISCONNECT. */
  disconnect(buffer: Buffer, start: number, body: number, end: number, level: number): DisconnectRequest {
    return readDisconnect(buffer[start]!, new PacketCursor(buffer, body, end), level === LEVEL.v5, this.scanner);
  }

  /** As `subscribe`, for AUTH, which only MQTT 5 has. */
  auth(buffer: Buffer, start: number, body: number, end: number): AuthRequest {
    return readAuth(buffer[start]!, new PacketCursor(buffer, body, end), this.scanner);
  }
}

/**
 * SUBSCRIBE (§3.8):
 *
 *   1000 0010 | packet id: u16, not 0 | [properties: 5] | (filter: text | options: u8), once or more
 *   options   bits 0 and 1: QoS | of MQTT 5 also 2: no local | 3: retain as published | 4 and 5: retain handling
 */
function readSubscribe(
  firstByte: number,
  packet: PacketCursor,
  v5: boolean,
  scanner: PropertyScanner,
  mostFilters: number,
): SubscribeRequest {
  if ((firstByte & 15) !== 2) throw new MalformedPacket('reserved flags of SUBSCRIBE [MQTT-3.8.1-1]');
  const packetId = readPacketId(packet);
  if (v5) packet.properties(scanner, ALLOWED.subscribe);
  const identifier = v5 ? scanner.number(PROPERTY.subscriptionId, -1) : -1;
  // §3.8.2.1.2: from 1 to 268,435,455.
  if (identifier === 0) throw new MalformedPacket('subscription identifier 0', REASON.protocolError);
  requireFilters(packet);
  const subscriptions: Subscription[] = [];
  while (!packet.atEnd) {
    const filter = readFilter(packet, subscriptions.length, mostFilters);
    const options = readOptions(packet, v5);
    subscriptions.push({
      filter,
      qos: options & OPTION.qos,
      noLocal: (options & OPTION.noLocal) !== 0,
      retainAsPublished: (options & OPTION.retainAsPublished) !== 0,
      retainHandling: (options & OPTION.retainHandling) >> RETAIN_HANDLING_SHIFT,
      identifier: Math.max(identifier, 0),
    });
  }
  for (const { filter, noLocal } of subscriptions) {
    checkFilter(filter);
    if (noLocal && sharedFilter(filter) !== null) {
      throw new MalformedPacket('a shared subscription with no-local [MQTT-3.8.3-4]', REASON.protocolError);
    }
  }
  return { packetId, subscriptions };
}

/**
 * UNSUBSCRIBE (§3.10):
 *
 *   1010 0010 | packet id: u16, not 0 | [properties: 5] | filter: text, once or more
 */
function readUnsubscribe(
  firstByte: number,
  packet: PacketCursor,
  v5: boolean,
  scanner: PropertyScanner,
  mostFilters: number,
): UnsubscribeRequest {
  if ((firstByte & 15) !== 2) throw new MalformedPacket('reserved flags of UNSUBSCRIBE [MQTT-3.10.1-1]');
  const packetId = readPacketId(packet);
  if (v5) packet.properties(scanner, ALLOWED.unsubscribe);
  requireFilters(packet);
  const filters: string[] = [];
  while (!packet.atEnd) filters.push(readFilter(packet, filters.length, mostFilters));
  for (const filter of filters) checkFilter(filter);
  return { packetId, filters };
}

/**
 * DISCONNECT (§3.14):
 *
 *   1110 0000                                              up to 3.1.1
 *   1110 0000 | [reason: u8 | [properties]]                MQTT 5; without a reason it is 0
 */
function readDisconnect(
  firstByte: number,
  packet: PacketCursor,
  v5: boolean,
  scanner: PropertyScanner,
): DisconnectRequest {
  if ((firstByte & 15) !== 0) throw new MalformedPacket('reserved flags of DISCONNECT [MQTT-3.14.1-1]');
  if (packet.atEnd) return { reason: REASON.success, expirySeconds: null };
  if (!v5) throw new MalformedPacket('a packet with content that has none');
  const reason = packet.byte('no reason code');
  if (!DISCONNECT_REASONS.has(reason)) {
    throw new MalformedPacket(`reason code ${reason} in DISCONNECT`, REASON.protocolError);
  }
  // §3.14.2.2.1: without a property length it is 0.
  if (packet.atEnd) return { reason, expirySeconds: null };
  readLastProperties(packet, scanner, ALLOWED.disconnect);
  return {
    reason,
    expirySeconds: scanner.has(PROPERTY.sessionExpiry) ? scanner.number(PROPERTY.sessionExpiry, 0) : null,
  };
}

/**
 * AUTH (MQTT 5 §3.15):
 *
 *   1111 0000 | [reason: u8 | [properties]]                without a reason it is 0
 */
function readAuth(firstByte: number, packet: PacketCursor, scanner: PropertyScanner): AuthRequest {
  if ((firstByte & 15) !== 0) throw new MalformedPacket('reserved flags of AUTH [MQTT-3.15.1-1]');
  // §3.15.2.1: reason code and property length may be left out.
  if (packet.atEnd) return { reason: REASON.success, method: null, data: null };
  const reason = packet.byte('no reason code');
  // A client may send only these [MQTT-3.15.2-1]; success is the server's.
  if (reason !== REASON.continueAuthentication && reason !== REASON.reAuthenticate) {
    throw new MalformedPacket(`reason code ${reason} in AUTH`, REASON.protocolError);
  }
  if (packet.atEnd) return { reason, method: null, data: null };
  readLastProperties(packet, scanner, ALLOWED.auth);
  const method = scanner.text(packet.buffer, PROPERTY.authenticationMethod);
  return { reason, method, data: scanner.bytes(packet.buffer, PROPERTY.authenticationData) };
}

function readPacketId(packet: PacketCursor): number {
  const packetId = packet.u16('a packet without its packet id');
  if (packetId === 0) throw new MalformedPacket('packet id 0 [MQTT-2.3.1-1]');
  return packetId;
}

function requireFilters(packet: PacketCursor): void {
  if (!packet.atEnd) return;
  throw new MalformedPacket('no topic filter at all [MQTT-3.8.3-3] [MQTT-3.10.3-2]', REASON.protocolError);
}

/** The next filter of a packet, after `before` others. */
function readFilter(packet: PacketCursor, before: number, mostFilters: number): string {
  const filter = packet.text('topic filter');
  if (before < mostFilters) return filter;
  const why = `more than ${mostFilters} topic filters`;
  throw new MalformedPacket(why, REASON.quotaExceeded, 'mqtt.subscriptionsPerSession');
}

function readOptions(packet: PacketCursor, v5: boolean): number {
  const options = packet.byte('a topic filter without its options');
  if ((options & (v5 ? RESERVED_OPTIONS_V5 : RESERVED_OPTIONS)) !== 0) {
    throw new MalformedPacket('reserved bits of a subscription [MQTT-3-8.3-4]');
  }
  if ((options & OPTION.qos) === 3) throw new MalformedPacket('a subscription with QoS 3 [MQTT-3-8.3-4]');
  // §3.8.3.1: it is a protocol error.
  if ((options & OPTION.retainHandling) === OPTION.retainHandling) {
    throw new MalformedPacket('retain handling 3', REASON.protocolError);
  }
  return options;
}

/** Throws MalformedPacket if a filter breaks the syntax of §4.7. */
function checkFilter(filter: string): void {
  const problem = filterProblem(filter);
  if (problem !== null) throw new MalformedPacket(problem, REASON.topicFilterInvalid);
}

/** A property block with which its packet ends. */
function readLastProperties(packet: PacketCursor, scanner: PropertyScanner, allowed: Allowed): void {
  packet.properties(scanner, allowed);
  packet.requireEnd('bytes after the properties');
}
