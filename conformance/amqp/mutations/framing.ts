// Mutations of frame splitting, content order and heartbeats.

import { FRAME, FRAME_OVERHEAD } from '../wire/frames.ts';
import { type AmqpMutation, altersDelivery, altersPublish, altersRequest, breaks, refusesPackets } from './breaking.ts';
import { AMQP_FORMAT, type AmqpPacket, bodyPacket, headerPacket, heartbeatPacket, methodPacket } from './packets.ts';

/** Whether a chunk ends at a frame boundary. */
function wholeFrames(chunk: Buffer): boolean {
  let at = chunk[0] === FRAME.method || chunk[0] === FRAME.header || chunk[0] === FRAME.body ? 0 : chunk.length;
  while (at + FRAME_OVERHEAD <= chunk.length) at += chunk.readUInt32BE(at + 3) + FRAME_OVERHEAD;
  return at === chunk.length && chunk.length >= FRAME_OVERHEAD;
}

export const FRAMING_MUTATIONS: readonly AmqpMutation[] = [
  breaks('frames.whole-chunks', 'takes a frame that comes in pieces for a broken one', (link) => ({
    clientChunk(chunk) {
      if (wholeFrames(chunk)) return chunk;
      link.toClient(methodPacket(0, 'connection.close', { replyCode: 501, replyText: 'FRAME_ERROR' }));
      link.end();
      return null;
    },
  })),
  breaks('frames.first-of-chunk', 'reads one message of a chunk', () => ({
    clientChunk(chunk) {
      if (chunk[0] !== FRAME.method) return chunk;
      const [publish, header, body, ...others] = AMQP_FORMAT.client().split(chunk);
      if (publish?.method?.name !== 'basic.publish' || header === undefined || body === undefined) return chunk;
      const requests = others.filter(({ method }) => method !== null && method.name !== 'basic.publish');
      if (requests.length === others.length) return chunk;
      return Buffer.concat([publish, header, body, ...requests].map(({ bytes }) => bytes));
    },
  })),
  refusesPackets('frames.full-refused', 'refuses a frame as large as was agreed', 501, ({ bytes }) => {
    return bytes.length >= 131_072;
  }),
  refusesPackets('body.empty-refused', 'refuses an empty body frame', 501, ({ type, payload }) => {
    return type === FRAME.body && payload.length === 0;
  }),
  altersPublish('body.frames-swapped', 'puts the frames of a body together in another order', ({ packets }) => {
    return [...packets.slice(0, 2), ...packets.slice(2).reverse()];
  }),
  altersPublish(
    'body.last-frame-lost',
    'takes a body for complete before its last frame',
    ({ packets, ...message }) => {
      const { channel, header } = message;
      const size = header.bodySize - BigInt(packets.at(-1)!.payload.length);
      if (packets.length < 4) return packets;
      return [packets[0]!, headerPacket(channel, size, header.properties), ...packets.slice(2, -1)];
    },
  ),
  altersDelivery('body.zero-framed', 'sends an empty body frame for a message without a body', ({ packets, ...at }) => {
    return at.header.bodySize === 0n ? [...packets, bodyPacket(at.channel, Buffer.alloc(0))] : packets;
  }),
  altersDelivery('body.flipped', 'changes the last octet of a body', ({ channel, packets }) => {
    if (packets.length < 3) return packets;
    const body = Buffer.from(packets.at(-1)!.payload);
    body[body.length - 1]! ^= 1;
    return [...packets.slice(0, -1), bodyPacket(channel, body)];
  }),
  breaks('content.one-at-a-time', 'knows one content at a time, whatever the channels', () => {
    let last: AmqpPacket | null = null;
    return {
      fromClient(packet) {
        if (packet.type === FRAME.header) last = packet;
        return [packet.type === FRAME.body && last !== null ? bodyPacket(last.channel, packet.payload) : packet];
      },
    };
  }),
  breaks('answers.swapped', 'answers the second request before the first', () => {
    let held: AmqpPacket | null = null;
    return {
      fromBroker(packet) {
        if (held !== null) {
          const first = held;
          held = null;
          return [packet, first];
        }
        if (packet.method?.name !== 'queue.declare-ok') return [packet];
        held = packet;
        return [];
      },
    };
  }),

  breaks('heartbeat.within-content', 'takes no heartbeat within a content', (link) => {
    let within = false;
    return {
      fromClient(packet) {
        if (packet.type !== FRAME.heartbeat) within = packet.method?.name === 'basic.publish';
        if (packet.type !== FRAME.heartbeat || !within) return [packet];
        link.toClient(methodPacket(0, 'connection.close', { replyCode: 505, replyText: 'UNEXPECTED_FRAME' }));
        link.end();
        return [];
      },
    };
  }),
  breaks(
    'heartbeat.withheld',
    'sends no heartbeats',
    () => ({ fromBroker: (packet) => (packet.type === FRAME.heartbeat ? [] : [packet]) }),
    { withholds: true },
  ),
  altersRequest(
    'heartbeat.not-agreed',
    'does not miss the heartbeats of a client',
    'connection.tune-ok',
    () => ({ heartbeat: 0 }),
    { withholds: true },
  ),
  breaks('heartbeat.unasked', 'sends heartbeats where none were agreed', () => ({
    fromBroker: (packet) => (packet.channel > 0 ? [heartbeatPacket(), packet] : [packet]),
  })),
];
