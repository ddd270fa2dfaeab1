// Ports for processes that need fixed ones or restart on the same one. They are below the ephemeral range, so that no
// outgoing connection takes one before its process does. Each process hands out the ports of blocks that are its own: it
// listens on the first port of a block for as long as it lives. So a port stays free for a broker that restarts, although
// other test processes look for ports meanwhile.

import { randomInt } from 'node:crypto';
import { connect, createServer, type Server } from 'node:net';

const LOWEST = 12_000;
const BLOCK_PORTS = 100;
const BLOCKS = 200;

/** The next port of this process's block, and the end of the block. */
let next = 0;
let end = 0;

/** A loopback port that is free, and that no other process gets from here. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port!;
}

/** `count` distinct free ports. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    if (next === end) await takeBlock();
    const port = next++;
    const server = createServer();
    if (!(await listens(server, port))) continue;
    await new Promise((resolve) => server.close(resolve));
    ports.push(port);
  }
  return ports;
}

async function takeBlock(): Promise<void> {
  for (;;) {
    const first = LOWEST + randomInt(BLOCKS) * BLOCK_PORTS;
    const owner = createServer((socket) => socket.destroy());
    if (!(await listens(owner, first))) continue;
    owner.unref();
    next = first + 1;
    end = first + BLOCK_PORTS;
    return;
  }
}

function listens(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
}

/** Whether a process accepts connections there. */
export function listening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
