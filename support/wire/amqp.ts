// AMQP 0-9-1 frames built independently of the broker's codec (AMQP 0-9-1 §4.2), for load generators, fuzzers and
// tests. Fields are small buffers that a frame concatenates.

export const PROTOCOL_HEADER = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1');

export const FRAME = { method: 1, header: 2, body: 3, heartbeat: 8 } as const;
export const FRAME_END = 0xce;
/** Type, channel and size before a frame's payload. */
export const FRAME_HEAD_BYTES = 7;

/** Class and method in one number, as `(class << 16) | method`. */
export const METHOD = {
  connectionStart: 0x000a000a,
  connectionStartOk: 0x000a000b,
  connectionTune: 0x000a001e,
  connectionTuneOk: 0x000a001f,
  connectionOpen: 0x000a0028,
  connectionOpenOk: 0x000a0029,
  connectionClose: 0x000a0032,
  connectionCloseOk: 0x000a0033,
  channelOpen: 0x0014000a,
  channelOpenOk: 0x0014000b,
  channelFlow: 0x00140014,
  channelClose: 0x00140028,
  channelCloseOk: 0x00140029,
  exchangeDeclare: 0x0028000a,
  exchangeDeclareOk: 0x0028000b,
  exchangeBind: 0x0028001e,
  exchangeBindOk: 0x0028001f,
  queueUnbind: 0x00320032,
  queueUnbindOk: 0x00320033,
  queueDeclare: 0x0032000a,
  queueDeclareOk: 0x0032000b,
  queueBind: 0x00320014,
  queueBindOk: 0x00320015,
  queuePurge: 0x0032001e,
  queuePurgeOk: 0x0032001f,
  queueDelete: 0x00320028,
  queueDeleteOk: 0x00320029,
  basicQos: 0x003c000a,
  basicQosOk: 0x003c000b,
  basicConsume: 0x003c0014,
  basicConsumeOk: 0x003c0015,
  basicCancel: 0x003c001e,
  basicCancelOk: 0x003c001f,
  basicPublish: 0x003c0028,
  basicReturn: 0x003c0032,
  basicDeliver: 0x003c003c,
  basicGet: 0x003c0046,
  basicGetOk: 0x003c0047,
  basicGetEmpty: 0x003c0048,
  basicAck: 0x003c0050,
  basicReject: 0x003c005a,
  basicRecover: 0x003c006e,
  basicNack: 0x003c0078,
  confirmSelect: 0x0055000a,
  confirmSelectOk: 0x0055000b,
  txSelect: 0x005a000a,
  txSelectOk: 0x005a000b,
  txCommit: 0x005a0014,
  txCommitOk: 0x005a0015,
  txRollback: 0x005a001e,
  txRollbackOk: 0x005a001f,
} as const;
export type MethodId = (typeof METHOD)[keyof typeof METHOD];

export function octet(value: number): Buffer {
  return Buffer.from([value & 0xff]);
}

export function short(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16BE(value & 0xffff);
  return bytes;
}

export function long(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function longlong(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export function shortstr(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([octet(bytes.length), bytes]);
}

export function longstr(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([long(bytes.length), bytes]);
}

/** A field table of strings, whole numbers (as 32-bit) and booleans: enough for arguments and headers in tests. */
export function table(fields: Readonly<Record<string, string | number | boolean>>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(fields)) {
    parts.push(shortstr(name));
    if (typeof value === 'string') parts.push(octet(0x53), longstr(value));
    else if (typeof value === 'number') parts.push(octet(0x49), long(value));
    else parts.push(octet(0x74), octet(value ? 1 : 0));
  }
  return longstr(Buffer.concat(parts));
}

export function frame(type: number, channel: number, payload: Buffer): Buffer {
  return Buffer.concat([octet(type), short(channel), long(payload.length), payload, octet(FRAME_END)]);
}

export function method(channel: number, id: MethodId, ...fields: Buffer[]): Buffer {
  return frame(FRAME.method, channel, Buffer.concat([long(id), ...fields]));
}

/** A content header without properties, or with a delivery mode (2: persistent). */
export function contentHeader(channel: number, bodySize: number, deliveryMode: 0 | 1 | 2 = 0): Buffer {
  const properties = deliveryMode === 0 ? [short(0)] : [short(0x1000), octet(deliveryMode)];
  return frame(FRAME.header, channel, Buffer.concat([short(60), short(0), longlong(bodySize), ...properties]));
}

/** basic.publish with its content, the body in one frame. */
export function publish(
  channel: number,
  exchange: string,
  key: string,
  body: Buffer,
  deliveryMode: 0 | 1 | 2 = 0,
): Buffer {
  return Buffer.concat([
    method(channel, METHOD.basicPublish, short(0), shortstr(exchange), shortstr(key), octet(0)),
    contentHeader(channel, body.length, deliveryMode),
    frame(FRAME.body, channel, body),
  ]);
}

export function startOk(user: string, password: string): Buffer {
  return method(
    0,
    METHOD.connectionStartOk,
    table({}),
    shortstr('PLAIN'),
    longstr(`\x00${user}\x00${password}`),
    shortstr('en_US'),
  );
}

export function tuneOk(channels: number, frameBytes: number, heartbeatSeconds: number): Buffer {
  return method(0, METHOD.connectionTuneOk, short(channels), long(frameBytes), short(heartbeatSeconds));
}

export function open(vhost: string): Buffer {
  return method(0, METHOD.connectionOpen, shortstr(vhost), shortstr(''), octet(0));
}

export function channelOpen(channel: number): Buffer {
  return method(channel, METHOD.channelOpen, shortstr(''));
}

export interface QueueFlags {
  readonly durable?: boolean;
  readonly exclusive?: boolean;
  readonly autoDelete?: boolean;
}

export function declareQueue(channel: number, name: string, flags: QueueFlags = {}, args: Buffer = table({})): Buffer {
  const bits = (flags.durable ? 2 : 0) | (flags.exclusive ? 4 : 0) | (flags.autoDelete ? 8 : 0);
  return method(channel, METHOD.queueDeclare, short(0), shortstr(name), octet(bits), args);
}

export function checkQueue(channel: number, name: string): Buffer {
  return method(channel, METHOD.queueDeclare, short(0), shortstr(name), octet(1), table({}));
}

export function bindQueue(channel: number, queue: string, exchange: string, key: string): Buffer {
  return method(
    channel,
    METHOD.queueBind,
    short(0),
    shortstr(queue),
    shortstr(exchange),
    shortstr(key),
    octet(0),
    table({}),
  );
}

export function deleteQueue(channel: number, queue: string): Buffer {
  return method(channel, METHOD.queueDelete, short(0), shortstr(queue), octet(0));
}

export function declareExchange(channel: number, name: string, kind: string): Buffer {
  return method(channel, METHOD.exchangeDeclare, short(0), shortstr(name), shortstr(kind), octet(0), table({}));
}

export function qos(channel: number, prefetch: number): Buffer {
  return method(channel, METHOD.basicQos, long(0), short(prefetch), octet(0));
}

export function consume(channel: number, queue: string, tag: string, noAck: boolean): Buffer {
  return method(
    channel,
    METHOD.basicConsume,
    short(0),
    shortstr(queue),
    shortstr(tag),
    octet(noAck ? 2 : 0),
    table({}),
  );
}

export function get(channel: number, queue: string, noAck: boolean): Buffer {
  return method(channel, METHOD.basicGet, short(0), shortstr(queue), octet(noAck ? 1 : 0));
}

export function ack(channel: number, tag: number, multiple: boolean): Buffer {
  return method(channel, METHOD.basicAck, longlong(tag), octet(multiple ? 1 : 0));
}

export function confirmSelect(channel: number): Buffer {
  return method(channel, METHOD.confirmSelect, octet(0));
}

export function channelClose(channel: number): Buffer {
  return method(channel, METHOD.channelClose, short(200), shortstr('bye'), short(0), short(0));
}

export function connectionClose(): Buffer {
  return method(0, METHOD.connectionClose, short(200), shortstr('bye'), short(0), short(0));
}

/** Length of the frame at `offset`, or 0 if its header is incomplete. The frame itself may be incomplete. */
export function frameBytes(buffer: Buffer, offset: number, end: number): number {
  if (end - offset < FRAME_HEAD_BYTES) return 0;
  return buffer.readUInt32BE(offset + 3) + FRAME_HEAD_BYTES + 1;
}
