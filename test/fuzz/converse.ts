// Sends one input to the broker and collects its answer until the broker closes the connection. A broker that waits for
// more input does not close; then the client leaves. The broker runs in this process, so the client inspects the
// broker's end of the connection. It leaves only once the broker has read all input, is reading, and has no output
// pending. A fixed time would fail: on a busy machine the loopback, or a password hash, may take longer.

import { subscribe } from 'node:diagnostics_channel';
import { connect, type Socket } from 'node:net';

/**
 * How the client leaves. `fin`: it ends its side and the broker must close. `reset`: it resets the connection, which
 * avoids ports in TIME_WAIT. `never`: the broker must close by itself.
 */
export const LEAVING = ['fin', 'reset', 'never'] as const;
export type Leaving = (typeof LEAVING)[number];

/**
 * The client leaves after this many consecutive ticks at which the broker only waited for input. A tick is at least one
 * iteration of the event loop; together they suffice to seal and flush a turn and to receive its answers.
 */
const IDLE_TICKS = 8;
const TICK_MS = 2;
/** A connection still open after this time is a failure. */
const LIMIT_MS = 60_000;

export interface Answer {
  readonly bytes: Buffer;
  /** Whether the broker closed the connection before the client left. */
  readonly closedFirst: boolean;
}

/**
 * The broker's ends of open connections, by the broker's port and the client's. The client's port alone does not
 * suffice: the kernel gives the same one to connections that lead to different ports.
 */
const brokerEnds = new Map<string, Socket>();

function endsKey(brokerPort: number, clientPort: number | undefined): string {
  return `${brokerPort} ${clientPort}`;
}

subscribe('net.server.socket', (message) => {
  const { socket } = message as { readonly socket: Socket };
  if (socket.localPort === undefined || socket.remotePort === undefined) return;
  const key = endsKey(socket.localPort, socket.remotePort);
  brokerEnds.set(key, socket);
  socket.once('close', () => {
    if (brokerEnds.get(key) === socket) brokerEnds.delete(key);
  });
});

/**
 * Sends each piece when the broker has read the previous one, so that the broker sees the splits, and no write fails on
 * a connection that the broker has closed, which would lose its last answer. Rejects if the broker must close and does
 * not.
 */
export function converse(port: number, pieces: readonly Buffer[], leaving: Leaving): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let arrived = 0;
    let sent = 0;
    let nextPiece = 0;
    let idleTicks = 0;
    let closedFirst = true;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    const ticks = setInterval(tick, TICK_MS);
    const limit = setTimeout(() => {
      clearInterval(ticks);
      const end = brokerEnds.get(endsKey(port, socket.localPort));
      socket.destroy();
      const read = end === undefined ? 'is gone' : `has read ${end.bytesRead} bytes${end.isPaused() ? ', paused' : ''}`;
      reject(new Error(`the connection is still open after ${LIMIT_MS} ms; of ${sent} bytes the broker ${read}`));
    }, LIMIT_MS);
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      arrived += chunk.length;
    });
    // The broker has sent everything. A reset also avoids TIME_WAIT on the broker's side.
    socket.on('end', () => socket.resetAndDestroy());
    socket.on('error', () => {
      // A reset while it was sending is an answer too.
    });
    socket.on('close', () => {
      clearInterval(ticks);
      clearTimeout(limit);
      resolve({ bytes: Buffer.concat(chunks), closedFirst });
    });

    function tick(): void {
      const end = brokerEnds.get(endsKey(port, socket.localPort));
      if (socket.connecting || !socket.writable || end === undefined || end.bytesRead < sent) {
        idleTicks = 0;
        return;
      }
      if (nextPiece < pieces.length) {
        const piece = pieces[nextPiece++]!;
        sent += piece.length;
        socket.write(piece);
        return;
      }
      idleTicks = end.isPaused() || arrived < end.bytesWritten ? 0 : idleTicks + 1;
      if (leaving === 'never' || idleTicks < IDLE_TICKS) return;
      clearInterval(ticks);
      closedFirst = false;
      if (leaving === 'fin') socket.end();
      else socket.resetAndDestroy();
    }
  });
}
