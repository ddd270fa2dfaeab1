// MQTT 3.1.1 packets built independently of the broker's codec (MQTT 3.1.1 §2), for load generators, fuzzers and tests.

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

export type QoS = 0 | 1 | 2;

function uint16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([uint16(bytes.length), bytes]);
}

/** The variable-length remaining length [MQTT-2.2.3]. */
export function remainingLength(value: number): Buffer {
  const bytes: number[] = [];
  do {
    const low = value & 0x7f;
    value >>>= 7;
    bytes.push(value > 0 ? low | 0x80 : low);
  } while (value > 0);
  return Buffer.from(bytes);
}

export function packet(type: number, flags: number, ...parts: Buffer[]): Buffer {
  const rest = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([(type << 4) | flags]), remainingLength(rest.length), rest]);
}

export interface ConnectOptions {
  readonly user?: string;
  readonly password?: string;
  readonly clean?: boolean;
  readonly keepAliveSeconds?: number;
  readonly will?: { readonly topic: string; readonly payload: string };
}

export function connect(clientId: string, options: ConnectOptions = {}): Buffer {
  const { user, password, will } = options;
  let flags = options.clean === false ? 0 : 0x02;
  const payload = [text(clientId)];
  if (will !== undefined) {
    flags |= 0x04;
    payload.push(text(will.topic), text(will.payload));
  }
  if (user !== undefined) {
    flags |= 0x80;
    payload.push(text(user));
  }
  if (password !== undefined) {
    flags |= 0x40;
    payload.push(text(password));
  }
  const head = [text('MQTT'), Buffer.from([4, flags]), uint16(options.keepAliveSeconds ?? 0)];
  return packet(PACKET.connect, 0, ...head, ...payload);
}

export function subscribe(id: number, filter: string, qos: QoS): Buffer {
  return packet(PACKET.subscribe, 2, uint16(id), text(filter), Buffer.from([qos]));
}

export function unsubscribe(id: number, filter: string): Buffer {
  return packet(PACKET.unsubscribe, 2, uint16(id), text(filter));
}

/** `id` is omitted at QoS 0. */
export function publish(topic: string, payload: Buffer, qos: QoS, id: number, retain = false): Buffer {
  const parts = qos === 0 ? [text(topic), payload] : [text(topic), uint16(id), payload];
  return packet(PACKET.publish, (qos << 1) | (retain ? 1 : 0), ...parts);
}

/** PUBACK, PUBREC, PUBREL and PUBCOMP. */
export function acknowledgement(type: 4 | 5 | 6 | 7, id: number): Buffer {
  return packet(type, type === PACKET.pubrel ? 2 : 0, uint16(id));
}

export function pingreq(): Buffer {
  return packet(PACKET.pingreq, 0);
}

export function disconnect(): Buffer {
  return packet(PACKET.disconnect, 0);
}
