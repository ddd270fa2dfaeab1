// The numbers of MQTT packets: control packet types, first bytes and prebuilt constant packets. Nothing here has state.

import { CONNECT_CODE, type ConnectCode } from './reason-codes.ts';

/** Control packet types, the high four bits of a packet's first byte (MQTT 3.1.1 §2.2.1; AUTH: MQTT 5 §2.1.2). */
export const PACKET = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const;

/** First bytes of packets without flags of their own. PUBREL carries the reserved flags 0010 (§3.6.1). */
export const FIRST_BYTE = {
  connack: 0x20,
  publish: 0x30,
  puback: 0x40,
  pubrec: 0x50,
  pubrel: 0x62,
  pubcomp: 0x70,
  suback: 0x90,
  unsuback: 0xb0,
  disconnect: 0xe0,
  auth: 0xf0,
} as const;

/** Flags of a PUBLISH, the low four bits of its first byte (§3.3.1). */
export const PUBLISH_FLAG = { retain: 0x01, qos1: 0x02, qos2: 0x04, dup: 0x08 } as const;

/** Protocol levels of CONNECT. */
export const LEVEL = { v3_1: 3, v3_1_1: 4, v5: 5 } as const;

/** The largest packet that MQTT can carry, with its header. */
export const LARGEST_PACKET_BYTES = 268_435_460;

/** The SUBACK return code of a filter that was refused in 3.1.1 (§3.9.3). */
export const SUBSCRIBE_REFUSED = 0x80;

export const PINGRESP = Buffer.from([0xd0, 0]);

/** The CONNACKs up to 3.1.1 by return code: 0010 0000 | 2 | session present: u8, 0 or 1 | return code: u8 (3.1.1 §3.2). */
const CONNACKS: readonly Buffer[] = Object.values(CONNECT_CODE).map((code) =>
  Buffer.from([FIRST_BYTE.connack, 2, 0, code]),
);
const CONNACK_SESSION_PRESENT = Buffer.from([FIRST_BYTE.connack, 2, 1, CONNECT_CODE.accepted]);

/** A CONNACK up to 3.1.1. Session present is only ever set with code 0 [MQTT-3.2.2-4]; 3.1 does not know it. */
export function connack(code: ConnectCode, sessionPresent: boolean): Buffer {
  return code === CONNECT_CODE.accepted && sessionPresent ? CONNACK_SESSION_PRESENT : CONNACKS[code]!;
}
