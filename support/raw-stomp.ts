// A raw client that speaks STOMP 1.2 frame by frame.

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { RawClient } from './raw-client.ts';
import * as stomp from './wire/stomp.ts';

function stompBytes(buffer: Buffer): number {
  let start = 0;
  while (buffer[start] === 10) start++;
  const head = buffer.indexOf('\n\n', start);
  if (head < 0) return 0;
  const length = /\ncontent-length:(\d+)/.exec(buffer.toString('latin1', start, head));
  const end = length === null ? buffer.indexOf(0, head + 2) : head + 2 + Number(length[1]);
  return end < 0 ? 0 : end + 1;
}

export interface StompFrame {
  readonly command: string;
  /** Names and values as in the frame, still escaped. */
  readonly lines: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

export function readStompFrame(bytes: Buffer): StompFrame {
  let start = 0;
  while (bytes[start] === 10) start++;
  const head = bytes.indexOf('\n\n', start);
  const [command, ...lines] = bytes.toString('utf8', start, head).split('\n');
  const split = (line: string) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const;
  return { command: command!, lines: lines.map(split), body: bytes.subarray(head + 2, bytes.length - 1) };
}

export function headerOf(frame: StompFrame, name: string): string | null {
  return frame.lines.find(([key]) => key === name)?.[1] ?? null;
}

export async function expectStomp(client: RawClient, command: string): Promise<StompFrame> {
  const frame = readStompFrame(await client.take());
  assert.equal(frame.command, command, `${JSON.stringify(frame.lines)} ${frame.body}`);
  return frame;
}

/** Logged in as guest; CONNECTED was read. */
export async function openStomp(socket: Socket): Promise<RawClient> {
  const client = new RawClient(socket, stompBytes);
  client.send(stomp.connect('guest', 'guest'));
  await expectStomp(client, 'CONNECTED');
  return client;
}
