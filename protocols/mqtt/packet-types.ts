// The numbers of MQTT 3.1.1: control packet types, return codes and prebuilt constant packets. Nothing here has state.

/** Control packet types, the high four bits of a packet's first byte (MQTT 3.1.1 §2.2.1). */
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
} as const;

/** First bytes of the packets that the broker writes. PUBREL carries the reserved flags 0010 (§3.6.1). */
export const FIRST_BYTE = {
  connack: 0x20,
  publish: 0x30,
  puback: 0x40,
  pubrec: 0x50,
  pubrel: 0x62,
  pubcomp: 0x70,
  suback: 0x90,
  unsuback: 0xb0,
} as const;

/** Flags of a PUBLISH, the low four bits of its first byte (§3.3.1). */
export const PUBLISH_FLAG = { retain: 0x01, qos1: 0x02, qos2: 0x04, dup: 0x08 } as const;

/** CONNACK return codes (§3.2.2.3). */
export const CONNECT_CODE = {
  accepted: 0,
  unacceptableProtocol: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badCredentials: 4,
  notAuthorized: 5,
} as const;

export type ConnectCode = (typeof CONNECT_CODE)[keyof typeof CONNECT_CODE];

/** The SUBACK return code of a filter that was refused (§3.9.3). */
export const SUBSCRIBE_REFUSED = 0x80;

export const PINGRESP = Buffer.from([0xd0, 0]);

/** A CONNACK (§3.2). Session present is only ever set with code 0 [MQTT-3.2.2-4]. */
export function connack(code: ConnectCode, sessionPresent: boolean): Buffer {
  return Buffer.from([FIRST_BYTE.connack, 2, code === CONNECT_CODE.accepted && sessionPresent ? 1 : 0, code]);
}
