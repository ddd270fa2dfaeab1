// The client side of a WebSocket for load: the upgrade request, and removal of frame headers, so that the payloads form
// the contiguous byte stream that a protocol's scanner expects.

import { upgradeRequest } from '../../support/wire/websocket.ts';
import type { LoadSocket, Scan } from './load-socket.ts';

const STREAM_BYTES = 4 * 1024 * 1024;
const CLOSE = 8;

export async function upgrade(socket: LoadSocket, path: string, subprotocol: string): Promise<void> {
  await socket.request(
    upgradeRequest(path, subprotocol),
    (buffer, offset, end) => {
      const at = buffer.indexOf('\r\n\r\n', offset, 'latin1');
      return at === -1 || at + 4 > end ? 0 : at + 4 - offset;
    },
    (buffer, start) => {
      const status = buffer.toString('latin1', start, start + 12);
      if (status !== 'HTTP/1.1 101') throw new Error(`the broker answered the upgrade with ${status}`);
      return true;
    },
  );
}

/** Wraps a scanner of payloads in a scanner of WebSocket frames. */
export function unwrap(scan: Scan): Scan {
  const stream = Buffer.allocUnsafeSlow(STREAM_BYTES);
  let length = 0;
  return (buffer, end) => {
    let at = 0;
    for (;;) {
      if (end - at < 2) break;
      const short = buffer[at + 1]! & 0x7f;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (end - at < head) break;
      const bytes = short < 126 ? short : short === 126 ? buffer.readUInt16BE(at + 2) : buffer.readUInt32BE(at + 6);
      if (end - at < head + bytes) break;
      const opcode = buffer[at]! & 0x0f;
      if (opcode === CLOSE) throw new Error('the broker closed the WebSocket');
      if (opcode < CLOSE) {
        buffer.copy(stream, length, at + head, at + head + bytes);
        length += bytes;
      }
      at += head + bytes;
    }
    const done = scan(stream, length);
    if (done > 0) stream.copyWithin(0, done, length);
    length -= done;
    return at;
  };
}
