// MQTT 5 packets built byte by byte from the tables of the specification, independently of the codec under test.

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u16(bytes.length), bytes]);
}

/** Fixed header and content. */
export function packet(firstByte: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([firstByte]), variable(content.length), content]);
}

/** One property: identifier and value. */
export type Property = Buffer;

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function variable(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? digit + 128 : digit);
  } while (rest > 0);
  return Buffer.from(bytes);
}

const id = (identifier: number, value: Buffer): Property => Buffer.concat([Buffer.from([identifier]), value]);
const byte = (value: number): Buffer => Buffer.from([value]);

export const p = {
  payloadFormat: (value: number) => id(1, byte(value)),
  messageExpiry: (seconds: number) => id(2, u32(seconds)),
  contentType: (value: string | Buffer) => id(3, text(value)),
  responseTopic: (value: string) => id(8, text(value)),
  correlationData: (value: string | Buffer) => id(9, text(value)),
  subscriptionId: (value: number) => id(11, variable(value)),
  sessionExpiry: (seconds: number) => id(17, u32(seconds)),
  authenticationMethod: (value: string) => id(21, text(value)),
  authenticationData: (value: string | Buffer) => id(22, text(value)),
  requestProblems: (value: number) => id(23, byte(value)),
  willDelay: (seconds: number) => id(24, u32(seconds)),
  requestResponse: (value: number) => id(25, byte(value)),
  reasonString: (value: string) => id(31, text(value)),
  receiveMaximum: (value: number) => id(33, u16(value)),
  topicAliasMaximum: (value: number) => id(34, u16(value)),
  topicAlias: (value: number) => id(35, u16(value)),
  user: (name: string | Buffer, value: string | Buffer) => id(38, Buffer.concat([text(name), text(value)])),
  maximumPacket: (value: number) => id(39, u32(value)),
  raw: (identifier: number, ...value: number[]) => id(identifier, Buffer.from(value)),
};

export function block(properties: readonly Property[]): Buffer {
  const bytes = Buffer.concat(properties);
  return Buffer.concat([variable(bytes.length), bytes]);
}

export interface Connect5 {
  readonly clientId?: string;
  readonly clean?: boolean;
  readonly keepAlive?: number;
  readonly flags?: number;
  readonly user?: string | null;
  readonly password?: string | null;
  readonly properties?: readonly Property[];
  readonly will?: {
    readonly topic: string;
    readonly payload: string;
    readonly qos?: number;
    readonly retain?: boolean;
    readonly properties?: readonly Property[];
  };
}

export function connect5(fields: Connect5 = {}): Buffer {
  const { clientId = 'c', clean = true, keepAlive = 0, properties = [], will } = fields;
  const user = fields.user === undefined ? 'guest' : fields.user;
  const password = fields.password === undefined ? 'guest' : fields.password;
  const flags =
    fields.flags ??
    (clean ? 2 : 0) |
      (will ? 4 | ((will.qos ?? 0) << 3) | (will.retain ? 0x20 : 0) : 0) |
      (password === null ? 0 : 0x40) |
      (user === null ? 0 : 0x80);
  const parts = [text('MQTT'), Buffer.from([5, flags]), u16(keepAlive), block(properties), text(clientId)];
  if (will) parts.push(block(will.properties ?? []), text(will.topic), text(will.payload));
  if (user !== null) parts.push(text(user));
  if (password !== null) parts.push(text(password));
  return packet(0x10, ...parts);
}

export interface Publish5 {
  readonly qos?: number;
  readonly id?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly properties?: readonly Property[];
}

export function publish5(topic: string | Buffer, payload: string | Buffer, fields: Publish5 = {}): Buffer {
  const { qos = 0, id: packetId = 0, retain = false, dup = false, properties = [] } = fields;
  const parts = [text(topic)];
  if (qos > 0) parts.push(u16(packetId));
  parts.push(block(properties), Buffer.from(payload));
  return packet(0x30 | (qos << 1) | (retain ? 1 : 0) | (dup ? 8 : 0), ...parts);
}

/** Options: QoS, 4 no-local, 8 retain as published, 0x10 × retain handling. */
export function subscribe5(packetId: number, properties: readonly Property[], ...filters: [string, number][]): Buffer {
  return packet(
    0x82,
    u16(packetId),
    block(properties),
    ...filters.map(([filter, options]) => Buffer.concat([text(filter), byte(options)])),
  );
}

export function unsubscribe5(packetId: number, ...filters: string[]): Buffer {
  return packet(0xa2, u16(packetId), block([]), ...filters.map(text));
}

export function suback5(packetId: number, ...codes: number[]): Buffer {
  return packet(0x90, u16(packetId), block([]), Buffer.from(codes));
}

export function unsuback5(packetId: number, ...codes: number[]): Buffer {
  return packet(0xb0, u16(packetId), block([]), Buffer.from(codes));
}

/** An acknowledgement with a reason code. */
export function reason5(firstByte: number, packetId: number, reason: number): Buffer {
  return packet(firstByte, u16(packetId), byte(reason));
}

export function disconnect5(reason: number, properties: readonly Property[] = []): Buffer {
  return packet(0xe0, byte(reason), block(properties));
}

export function auth5(reason: number, properties: readonly Property[]): Buffer {
  return packet(0xf0, byte(reason), block(properties));
}
