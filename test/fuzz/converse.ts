// Sends one input to the broker and gathers its answer until the broker closes the connection. A broker that waits for
// the rest of something does not close; then the client leaves. When it leaves must not depend on the speed of the
// machine: under load the kernel may take longer than any fixed time to carry bytes over loopback. The broker runs in
// this process, so the client looks at the broker's end of the connection: it leaves only after the broker has read
// all that was sent, and everything that the broker wrote has arrived.

import { subscribe } from 'node:diagnostics_channel';
import { connect, type Socket } from 'node:net';

/**
 * How the client leaves. `fin`: it ends its side and the broker must close. `reset`: it resets the connection, so that no
 * port of this machine waits for a minute. `never`: the broker must close by itself.
 */
export const LEAVING = ['fin', 'reset', 'never'] as const;
export type Leaving = (typeof LEAVING)[number];

/**
 * Ticks after which the client leaves, counted while nothing is on its way in either direction. Each tick is at least one
 * turn of the event loop, in which the broker in the same process had its turn too.
 */
const QUIET_TICKS = 6;
/** Ticks after which it leaves though the broker has not read everything: the broker may have stopped reading. */
const UNREAD_TICKS = 1000;
const TICK_MS = 5;
/** After this an open connection is a failure. */
const LIMIT_MS = 30_000;

export interface Answer {
  readonly bytes: Buffer;
  /** Whether the broker closed the connection before the client left. */
  readonly closedFirst: boolean;
}

/** The broker's ends of open connections, by the client's port. Filled once `converse` was called. */
const brokerEnds = new Map<number, Socket>();
let watching = false;

function watchBrokerEnds(): void {
  if (watching) return;
  watching = true;
  subscribe('net.server.socket', (message) => {
    const { socket } = message as { socket: Socket };
    const { remotePort } = socket;
    if (remotePort === undefined) return;
    brokerEnds.set(remotePort, socket);
    socket.once('close', () => {
      if (brokerEnds.get(remotePort) === socket) brokerEnds.delete(remotePort);
    });
  });
}

/** Sends the pieces, one after another. Rejects where the broker does not close, although it must. */
export function converse(port: number, pieces: readonly Buffer[], leaving: Leaving): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    watchBrokerEnds();
    const toSend = pieces.reduce((sum, piece) => sum + piece.length, 0);
    let arrived = 0;
    let closedFirst = true;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    /** Whether the broker has read all bytes, and all of its bytes have arrived. */
    const isSettled = (): boolean => {
      const end = brokerEnds.get(socket.localPort ?? 0);
      return end !== undefined && end.bytesRead >= toSend && arrived >= end.bytesWritten;
    };
    let quietTicks = 0;
    let unreadTicks = 0;
    const ticks = setInterval(() => {
      if (leaving === 'never') return;
      quietTicks = isSettled() ? quietTicks + 1 : 0;
      if (quietTicks < QUIET_TICKS && ++unreadTicks < UNREAD_TICKS) return;
      clearInterval(ticks);
      closedFirst = false;
      if (leaving === 'fin') socket.end();
      else socket.resetAndDestroy();
    }, TICK_MS);
    const limit = setTimeout(() => {
      clearInterval(ticks);
      socket.destroy();
      reject(new Error(`the connection is still open after ${LIMIT_MS} ms`));
    }, LIMIT_MS);
    socket.on('connect', () => sendFrom(0));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      arrived += chunk.length;
      quietTicks = 0;
      unreadTicks = 0;
    });
    // The broker has said all that it will. A reset in answer keeps its side, too, from waiting for a minute.
    socket.on('end', () => socket.resetAndDestroy());
    // A reset is a close: the broker need not read what follows a violation. Not to be let in at all is not.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.syscall === 'connect') reject(error);
    });
    socket.on('close', () => {
      clearInterval(ticks);
      clearTimeout(limit);
      resolve({ bytes: Buffer.concat(chunks), closedFirst });
    });

    function sendFrom(index: number): void {
      if (index === pieces.length || !socket.writable) return;
      unreadTicks = 0;
      socket.write(pieces[index]!, () => setImmediate(sendFrom, index + 1));
    }
  });
}
