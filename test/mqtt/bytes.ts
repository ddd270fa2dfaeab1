// MQTT 3.1.1 packets built byte by byte from the tables of the specification, independently of the codec under test.

export interface ConnectFields {
  name?: string;
  level?: number;
  flags?: number;
  keepAlive?: number;
  clientId?: string | Buffer;
  will?: { topic: string | Buffer; payload: string };
  user?: string | Buffer;
  password?: string;
}

export function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

export function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u16(bytes.length), bytes]);
}

/** Fixed header and content. */
export function packet(firstByte: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const length: number[] = [];
  let rest = content.length;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    length.push(rest > 0 ? digit + 128 : digit);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([firstByte, ...length]), content]);
}

/** `flags` default to those of the fields; clean session is set unless `clean` is false. */
export function connect(fields: ConnectFields = {}, clean = true): Buffer {
  const { name = 'MQTT', level = 4, keepAlive = 0, clientId = 'c', will, user, password } = fields;
  const flags =
    fields.flags ??
    (clean ? 2 : 0) | (will ? 4 : 0) | (password !== undefined ? 0x40 : 0) | (user !== undefined ? 0x80 : 0);
  const parts = [text(name), Buffer.from([level, flags]), u16(keepAlive), text(clientId)];
  if (will) parts.push(text(will.topic), text(will.payload));
  if (user !== undefined) parts.push(text(user));
  if (password !== undefined) parts.push(text(password));
  return packet(0x10, ...parts);
}

export function publish(topic: string | Buffer, payload: string | Buffer, qos = 0, packetId = 0, extra = 0): Buffer {
  const parts = [text(topic)];
  if (qos > 0) parts.push(u16(packetId));
  return packet(0x30 | (qos << 1) | extra, ...parts, Buffer.from(payload));
}

export function subscribe(packetId: number, ...filters: [string | Buffer, number][]): Buffer {
  return packet(
    0x82,
    u16(packetId),
    ...filters.map(([filter, qos]) => Buffer.concat([text(filter), Buffer.from([qos])])),
  );
}

export function unsubscribe(packetId: number, ...filters: (string | Buffer)[]): Buffer {
  return packet(0xa2, u16(packetId), ...filters.map(text));
}

export function ack(firstByte: number, packetId: number): Buffer {
  return packet(firstByte, u16(packetId));
}

export const PINGREQ = Buffer.from([0xc0, 0]);
export const DISCONNECT = Buffer.from([0xe0, 0]);
