// One input against one broker: connect, say all of it, hear what comes back until the broker closes. A broker that has
// nothing more to say waits for the rest of something; then the client leaves. How long it takes to notice that is a
// matter of patience, not of the verdict.

import { connect } from 'node:net';

/**
 * How the client leaves. `fin`: it ends its side and the broker must close. `reset`: it is gone, which leaves no port of
 * this machine waiting for a minute, as ten thousand goodbyes would. `never`: the broker must close all by itself.
 */
export const LEAVING = ['fin', 'reset', 'never'] as const;
export type Leaving = (typeof LEAVING)[number];

/**
 * Quiet for so many ticks: the broker waits for the rest of something. Ticks and not a time, because each is a turn of
 * the event loop at least, in which a broker in the same process had its turn too, however busy both are.
 */
const QUIET_TICKS = 6;
const TICK_MS = 5;
/** After this an open connection is a failure. */
const LIMIT_MS = 30_000;

export interface Answer {
  readonly bytes: Buffer;
  /** Whether the broker closed before it was told goodbye. */
  readonly closedFirst: boolean;
}

/** Sends the pieces, one after another. Rejects where the broker does not close, although it must. */
export function converse(port: number, pieces: readonly Buffer[], leaving: Leaving): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let closedFirst = true;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    let quietTicks = 0;
    const ticks = setInterval(() => {
      if (leaving === 'never' || ++quietTicks < QUIET_TICKS) return;
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
      quietTicks = 0;
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
      quietTicks = 0;
      socket.write(pieces[index]!, () => setImmediate(sendFrom, index + 1));
    }
  });
}
