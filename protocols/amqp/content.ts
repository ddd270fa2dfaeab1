// Writes the content of a message (§4.2.6): a header frame and body frames no larger than the receiver allows.
//
//   content        = header-frame *body-frame
//   content-header = class-id(short) weight(short) body-size(longlong) property-flags property-list
//
// Small bodies of deliveries do not come here: delivery.ts writes them in one piece.

import type { Message } from '../../src/core/message/message.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { nativeOf, nativeWithoutHeaders } from './foreign-properties.ts';
import { FRAME, FRAME_END, FRAME_HEADER_BYTES } from './frames.ts';
import { CLASS_BASIC } from './method-ids.ts';
import { amqpProperties } from './properties.ts';

/** class-id, weight and body-size, before the property flags. */
export const CONTENT_HEADER_BYTES = 12;

/** `maxPayloadBytes`: the largest payload that the receiver takes in one frame. */
export function writeContent(outbox: Outbox, channel: number, message: Message, maxPayloadBytes: number): void {
  let native = message.native;
  let nativeOffset = message.nativeOffset;
  let nativeLength = message.nativeLength;
  if (message.codec.id !== amqpProperties.id) {
    native = nativeOf(message);
    nativeOffset = 0;
    nativeLength = native.length;
  }
  if (CONTENT_HEADER_BYTES + nativeLength > maxPayloadBytes) {
    native = nativeWithoutHeaders(message);
    nativeOffset = 0;
    nativeLength = native.length;
  }
  const { body, bodyOffset, bodyLength } = message;
  outbox.reserve(FRAME_HEADER_BYTES + CONTENT_HEADER_BYTES);
  const at = frameHeader(outbox, FRAME.header, channel, CONTENT_HEADER_BYTES + nativeLength);
  const { buffer } = outbox;
  buffer.writeUInt32BE(CLASS_BASIC << 16, at);
  buffer.writeUInt32BE(0, at + 4);
  buffer.writeUInt32BE(bodyLength, at + 8);
  outbox.position = at + CONTENT_HEADER_BYTES;
  outbox.append(native, nativeOffset, nativeOffset + nativeLength);
  frameEnd(outbox);
  for (let from = 0; from < bodyLength; from += maxPayloadBytes) {
    const bytes = Math.min(maxPayloadBytes, bodyLength - from);
    outbox.reserve(FRAME_HEADER_BYTES);
    outbox.position = frameHeader(outbox, FRAME.body, channel, bytes);
    outbox.append(body, bodyOffset + from, bodyOffset + from + bytes);
    frameEnd(outbox);
  }
}

/** Writes type, channel and size at the outbox's position; returns where the payload begins. */
function frameHeader(outbox: Outbox, type: number, channel: number, size: number): number {
  const { buffer, position } = outbox;
  buffer[position] = type;
  buffer.writeUInt16BE(channel, position + 1);
  buffer.writeUInt32BE(size, position + 3);
  return position + FRAME_HEADER_BYTES;
}

function frameEnd(outbox: Outbox): void {
  outbox.reserve(1);
  outbox.buffer[outbox.position++] = FRAME_END;
}
