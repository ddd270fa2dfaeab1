// The control packets that the broker sends: CONNACK, SUBACK, UNSUBACK, DISCONNECT and AUTH, of every version. A reason
// string that would make a packet larger than the client takes is left out [MQTT-3.2.2-19] [MQTT-3.14.2-3]. Called by
// connection/connection.ts, connection/conversation.ts and connection/handshake.ts, which check that what remains is not
// too large.
//
// Section numbers are those of MQTT 5. In the grammars [x: 5] is only in packets of MQTT 5, and a property block is its
// length as a variable byte integer, then the properties: an identifier and a value each.

import { connack, FIRST_BYTE } from './packet-types.ts';
import { PROPERTY, variableBytes, writeVariable } from './properties.ts';
import { headerBytes, writeLength } from './publish-packet.ts';
import { connectCodeOf, REASON, type Reason } from './reason-codes.ts';

/** Characters of a reason string: it may name what the client sent, and a text ends at 65,535 bytes. */
const REASON_CHARACTERS = 512;
const NO_PROPERTIES: readonly Buffer[] = [];

/** What a CONNACK of success tells an MQTT 5 client (§3.2.2.3). A property that is undefined is not sent. */
export interface ConnackProperties {
  receiveMaximum?: number;
  topicAliasMaximum?: number;
  maximumPacketSize?: number;
  /** In seconds. */
  sessionExpiryInterval?: number;
  assignedClientIdentifier?: string;
  /** In seconds. */
  serverKeepAlive?: number;
  responseInformation?: string;
  authenticationMethod?: string;
  authenticationData?: Buffer;
}

/** A CONNACK that refuses (§3.2). Session present is 0 [MQTT-3.2.2-6]. */
export function refusedConnack(v5: boolean, reason: Reason, why: string, maximumBytes: number): Buffer {
  if (!v5) return connack(connectCodeOf(reason), false);
  const whole = frame(FIRST_BYTE.connack, [0, reason], [reasonString(why)]);
  return whole.length <= maximumBytes ? whole : frame(FIRST_BYTE.connack, [0, reason], NO_PROPERTIES);
}

/**
 * A CONNACK of MQTT 5 that accepts (§3.2):
 *
 *   0010 0000 | remaining length | session present: u8, 0 or 1 | reason: u8 | properties
 */
export function acceptedConnack(sessionPresent: boolean, properties: ConnackProperties): Buffer {
  const head = [sessionPresent ? 1 : 0, REASON.success];
  return frame(FIRST_BYTE.connack, head, connackBlock(properties));
}

/**
 * SUBACK or UNSUBACK (§3.9, §3.11):
 *
 *   1001 0000 or 1011 0000 | remaining length | packet id: u16 | [properties: 5] | a code: u8 for each filter
 *
 * Up to 3.1.1 UNSUBACK has no codes.
 */
export function subscriptionAnswer(v5: boolean, firstByte: number, packetId: number, codes: readonly number[]): Buffer {
  const length = 2 + (v5 ? 1 : 0) + codes.length;
  const packet = Buffer.allocUnsafe(5 + length);
  let at = writeLength(packet, 0, firstByte, length);
  at = packet.writeUInt16BE(packetId, at);
  if (v5) packet[at++] = 0;
  for (const code of codes) packet[at++] = code;
  return packet.subarray(0, at);
}

/** The DISCONNECTs that say only why: their property length is left out (§3.14.2.2.1). */
const BARE_DISCONNECTS: ReadonlyMap<Reason, Buffer> = new Map(
  Object.values(REASON).map((reason) => [reason, Buffer.from([FIRST_BYTE.disconnect, 1, reason])]),
);

/**
 * DISCONNECT of MQTT 5 (§3.14):
 *
 *   1110 0000 | remaining length | reason: u8 | [properties]
 *
 * `why` is null where the reason code says it all; `server` is where the client shall go instead. What would make the
 * packet too large is left out: first `why`, then `server`.
 */
export function disconnect(reason: Reason, why: string | null, server: string | null, maximumBytes: number): Buffer {
  if (why === null && server === null) return BARE_DISCONNECTS.get(reason)!;
  const reference = server === null ? NO_PROPERTIES : [textProperty(PROPERTY.serverReference, server)];
  if (why !== null) {
    const whole = frame(FIRST_BYTE.disconnect, [reason], [reasonString(why), ...reference]);
    if (whole.length <= maximumBytes) return whole;
  }
  const short = frame(FIRST_BYTE.disconnect, [reason], reference);
  return short.length <= maximumBytes ? short : BARE_DISCONNECTS.get(reason)!;
}

/**
 * AUTH (§3.15):
 *
 *   1111 0000 | remaining length | reason: u8 | properties
 */
export function auth(reason: Reason, method: string, data: Buffer): Buffer {
  return frame(
    FIRST_BYTE.auth,
    [reason],
    [textProperty(PROPERTY.authenticationMethod, method), bytesProperty(PROPERTY.authenticationData, data)],
  );
}

function connackBlock(properties: ConnackProperties): readonly Buffer[] {
  const { receiveMaximum, topicAliasMaximum, maximumPacketSize, sessionExpiryInterval } = properties;
  const { assignedClientIdentifier, serverKeepAlive, responseInformation } = properties;
  const { authenticationMethod, authenticationData } = properties;
  const block: Buffer[] = [];
  if (receiveMaximum !== undefined) block.push(u16Property(PROPERTY.receiveMaximum, receiveMaximum));
  if (topicAliasMaximum !== undefined) block.push(u16Property(PROPERTY.topicAliasMaximum, topicAliasMaximum));
  if (maximumPacketSize !== undefined) block.push(u32Property(PROPERTY.maximumPacketSize, maximumPacketSize));
  if (sessionExpiryInterval !== undefined) block.push(u32Property(PROPERTY.sessionExpiry, sessionExpiryInterval));
  if (assignedClientIdentifier !== undefined) {
    block.push(textProperty(PROPERTY.assignedClientId, assignedClientIdentifier));
  }
  if (serverKeepAlive !== undefined) block.push(u16Property(PROPERTY.serverKeepAlive, serverKeepAlive));
  if (responseInformation !== undefined) block.push(textProperty(PROPERTY.responseInformation, responseInformation));
  if (authenticationMethod !== undefined) block.push(textProperty(PROPERTY.authenticationMethod, authenticationMethod));
  if (authenticationData !== undefined) block.push(bytesProperty(PROPERTY.authenticationData, authenticationData));
  return block;
}

/** A whole packet: fixed header, the bytes of `head`, and a property block of these properties. */
function frame(firstByte: number, head: readonly number[], properties: readonly Buffer[]): Buffer {
  let block = 0;
  for (const property of properties) block += property.length;
  const length = head.length + variableBytes(block) + block;
  const packet = Buffer.allocUnsafe(headerBytes(length) + length);
  let at = writeLength(packet, 0, firstByte, length);
  for (const byte of head) packet[at++] = byte;
  at = writeVariable(packet, at, block);
  for (const property of properties) at += property.copy(packet, at);
  return packet;
}

function u16Property(id: number, value: number): Buffer {
  const property = Buffer.allocUnsafe(3);
  property[0] = id;
  property.writeUInt16BE(value, 1);
  return property;
}

function u32Property(id: number, value: number): Buffer {
  const property = Buffer.allocUnsafe(5);
  property[0] = id;
  property.writeUInt32BE(value, 1);
  return property;
}

/** Binary data (§1.5.6): at most 65,535 bytes. */
function bytesProperty(id: number, value: Buffer): Buffer {
  const property = Buffer.allocUnsafe(3 + value.length);
  property[0] = id;
  property.writeUInt16BE(value.length, 1);
  value.copy(property, 3);
  return property;
}

function textProperty(id: number, value: string): Buffer {
  return bytesProperty(id, Buffer.from(value, 'utf8'));
}

/** `why` as a reason string, cut where it is long (§3.2.2.3.9). */
function reasonString(why: string): Buffer {
  const brief = why.length <= REASON_CHARACTERS ? why : why.slice(0, REASON_CHARACTERS).toWellFormed();
  return textProperty(PROPERTY.reasonString, brief);
}
