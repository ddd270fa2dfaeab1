// The transport of one MQTT connection: TCP, or a WebSocket whose messages a check may split anywhere. Both are closed
// when the check ends.

import { connect } from 'node:net';
import { WebSocket } from 'ws';
import type { CheckContext } from '../../check.ts';

export interface Line {
  write(bytes: Uint8Array): void;
  /** Closes without a DISCONNECT packet. */
  cut(): void;
  listen(data: (chunk: Buffer) => void, end: () => void): void;
}

/** Opens a TCP connection and sends nothing. */
export async function dialTcp(context: Pick<CheckContext, 'endpoint' | 'after'>): Promise<Line> {
  const { host, port } = context.endpoint;
  const socket = connect({ host, port, noDelay: true });
  context.after(() => {
    socket.destroy();
  });
  // A broker may answer malformed bytes with a reset, which counts as an end.
  socket.on('error', () => {});
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return {
    write: (bytes) => void socket.write(bytes),
    cut: () => void socket.destroy(),
    listen(data, end) {
      socket.on('data', data);
      socket.on('end', end);
      socket.on('close', end);
    },
  };
}

export interface WebSocketLine extends Line {
  /** The subprotocol that the server selected. */
  readonly protocol: string;
  /** Sends a text message, which MQTT forbids. */
  text(text: string): void;
}

/** Opens a WebSocket and sends nothing; each write is one binary message. */
export async function dialWebSocket(
  context: CheckContext,
  url: string,
  protocols: readonly string[],
): Promise<WebSocketLine> {
  const socket = new WebSocket(url, [...protocols]);
  context.after(() => {
    socket.terminate();
  });
  socket.on('error', () => {});
  const messages: { readonly data: Buffer; readonly binary: boolean }[] = [];
  let take = (data: Buffer, binary: boolean): void => void messages.push({ data, binary });
  socket.on('message', (data, binary) => take(data as Buffer, binary));
  await new Promise<void>((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return {
    protocol: socket.protocol,
    write: (bytes) => void socket.send(bytes, { binary: true }),
    text: (text) => void socket.send(text, { binary: false }),
    cut: () => void socket.terminate(),
    listen(data, end) {
      take = (chunk, binary) => {
        // [MQTT-6.0.0-1]
        if (binary) data(chunk);
        else context.note(`← text ${chunk.subarray(0, 40)}`);
      };
      for (const { data: chunk, binary } of messages) take(chunk, binary);
      socket.on('close', end);
    },
  };
}
