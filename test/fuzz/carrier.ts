// The transport of a protocol's bytes: TCP, or each frame as a WebSocket message.

import { message, OPCODE, upgradeRequest } from '../../support/wire/websocket.ts';
import type { Frames } from './mutate.ts';

export interface Carrier {
  readonly name: string;
  readonly port: number;
  /** Frames that the transport adds at the start. */
  readonly handshakeFrames: number;
  /** The bytes on the wire for the frames of a conversation. */
  wrap(frames: Frames): Frames;
  /** Extracts the protocol's bytes from the received ones. Throws if they violate the transport's rules. */
  unwrap(answer: Buffer): Buffer;
}

export function overTcp(port: number): Carrier {
  return { name: 'tcp', port, handshakeFrames: 0, wrap: (frames) => frames, unwrap: (answer) => answer };
}

export function overWebSocket(port: number, path: string, subprotocol: string): Carrier {
  return {
    name: 'websocket',
    port,
    handshakeFrames: 1,
    // The last frame is a Close, which answers the broker's: the broker waits for nothing else before it closes.
    wrap: (frames) => [
      upgradeRequest(path, subprotocol),
      ...frames.map((frame) => message(OPCODE.binary, frame)),
      message(OPCODE.close, Buffer.alloc(0)),
    ],
    unwrap: unwrapMessages,
  };
}

/** A refused upgrade gets an HTTP error; an accepted one is followed by unmasked frames (RFC 6455 §5.1). */
function unwrapMessages(answer: Buffer): Buffer {
  if (answer.length === 0) return answer;
  const head = answer.indexOf('\r\n\r\n');
  if (head === -1) throw new Error('the answer to the upgrade ends within its headers');
  const status = /^HTTP\/1\.1 (\d{3})/.exec(answer.toString('latin1', 0, head))?.[1];
  if (status === undefined) throw new Error('the answer to the upgrade is not HTTP');
  if (status !== '101') return Buffer.alloc(0);
  const payloads: Buffer[] = [];
  let closed = false;
  for (let at = head + 4; at < answer.length; ) {
    if (closed) throw new Error('something follows the close frame');
    if (answer.length - at < 2) throw new Error('the answer ends within a WebSocket frame');
    const opcode = answer[at]! & 0x0f;
    if ((answer[at]! & 0x70) !== 0) throw new Error('a WebSocket frame with reserved bits');
    const short = answer[at + 1]!;
    if (short >= 0x80) throw new Error('a masked frame from the server');
    const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
    const length = short < 126 ? short : short === 126 ? answer.readUInt16BE(at + 2) : answer.readUInt32BE(at + 6);
    const end = at + headBytes + length;
    if (end > answer.length) throw new Error('the answer ends within a WebSocket frame');
    if (opcode === OPCODE.close) closed = true;
    else if (opcode <= OPCODE.binary) payloads.push(answer.subarray(at + headBytes, end));
    else if (opcode !== OPCODE.ping && opcode !== OPCODE.pong) throw new Error(`unknown WebSocket opcode ${opcode}`);
    at = end;
  }
  return Buffer.concat(payloads);
}
