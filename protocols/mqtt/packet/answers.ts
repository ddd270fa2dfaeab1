// The control packets that the broker sends: CONNACK, SUBACK, UNSUBACK, DISCONNECT and AUTH, of either version. MQTT 5's
// are encoded by mqtt-packet. A reason string that would make a packet larger than the client takes is left out
// [MQTT-3.2.2-19], and so on.

import { generate, type IConnackPacket, type Packet } from 'mqtt-packet';
import { connack, FIRST_BYTE } from './packet-types.ts';
import { writeLength } from './publish-packet.ts';
import { connectCodeOf, REASON, type Reason } from './reason-codes.ts';

const V5 = { protocolVersion: 5 } as const;
/** Characters of a reason string: it may name what the client sent, and a text ends at 65,535 bytes. */
const REASON_CHARACTERS = 512;

export type ConnackProperties = NonNullable<IConnackPacket['properties']>;

/** A CONNACK that refuses. */
export function refusedConnack(v5: boolean, reason: Reason, why: string, maximumBytes: number): Buffer {
  if (!v5) return connack(connectCodeOf(reason), false);
  const packet = (properties: ConnackProperties): Packet => {
    return { cmd: 'connack', reasonCode: reason, sessionPresent: false, properties };
  };
  return fitting(packet({ reasonString: brief(why) }), packet({}), maximumBytes);
}

export function acceptedConnack(sessionPresent: boolean, properties: ConnackProperties): Buffer {
  return generate({ cmd: 'connack', reasonCode: REASON.success, sessionPresent, properties }, V5);
}

/** SUBACK or UNSUBACK: packet id and one code for each filter. */
export function subscriptionAnswer(v5: boolean, firstByte: number, packetId: number, codes: readonly number[]): Buffer {
  const length = 2 + (v5 ? 1 : 0) + codes.length;
  const packet = Buffer.allocUnsafe(5 + length);
  let at = writeLength(packet, 0, firstByte, length);
  at = packet.writeUInt16BE(packetId, at);
  if (v5) packet[at++] = 0;
  for (const code of codes) packet[at++] = code;
  return packet.subarray(0, at);
}

/** `why` is null where the reason code says it all. */
export function disconnect(reason: Reason, why: string | null, server: string | null, maximumBytes: number): Buffer {
  if (why === null && server === null) return Buffer.from([FIRST_BYTE.disconnect, 1, reason]);
  const reference = server === null ? {} : { serverReference: server };
  const packet = (properties: Record<string, string>): Packet => {
    return { cmd: 'disconnect', reasonCode: reason, properties: { ...properties, ...reference } };
  };
  const whole = fitting(packet(why === null ? {} : { reasonString: brief(why) }), packet({}), maximumBytes);
  return whole.length <= maximumBytes ? whole : Buffer.from([FIRST_BYTE.disconnect, 1, reason]);
}

export function auth(reason: Reason, method: string, data: Buffer): Buffer {
  const properties = { authenticationMethod: method, authenticationData: data };
  return generate({ cmd: 'auth', reasonCode: reason, properties }, V5);
}

function brief(why: string): string {
  return why.length <= REASON_CHARACTERS ? why : why.slice(0, REASON_CHARACTERS).toWellFormed();
}

/** The short one may be too large as well: that is the caller's to judge. */
function fitting(whole: Packet, short: Packet, maximumBytes: number): Buffer {
  const packet = generate(whole, V5);
  return packet.length <= maximumBytes ? packet : generate(short, V5);
}
