// STOMP packets for the rule-breaking proxy: frames, and the line ends between them. Frames are split as any version
// would and keep their bytes, because checks send malformed ones. Headers are kept escaped.

import type { PacketFormat, Splitter } from '../../mutations/mutation.ts';
import { SERVER_COMMANDS } from '../wire/frames.ts';

export type Line = readonly [string, string];

export interface StompPacket {
  readonly bytes: Buffer;
  /** Empty for line ends, and for bytes that cannot be split into frames. */
  readonly command: string;
  readonly lines: readonly Line[];
  readonly body: Buffer;
  /** Whether no version allows the frame. */
  readonly malformed: boolean;
}

const LF = 0x0a;
const CR = 0x0d;
const NOTHING = Buffer.alloc(0);
/** A body with a larger content-length is passed on without splitting. */
const ENDLESS_BYTES = 2 ** 31;

const CLIENT_COMMANDS = [
  'CONNECT',
  'STOMP',
  'SEND',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'ACK',
  'NACK',
  'BEGIN',
  'COMMIT',
  'ABORT',
  'DISCONNECT',
];

/** Line ends between frames, or bytes that are not a frame. */
export function bytesPacket(bytes: Buffer): StompPacket {
  return { bytes, command: '', lines: [], body: NOTHING, malformed: false };
}

export function isEol({ command, bytes }: StompPacket): boolean {
  return command === '' && (bytes[0] === LF || bytes[0] === CR);
}

/** Encodes a frame with headers as given; corrects content-length if present. */
export function framePacket(command: string, lines: readonly Line[], body: Buffer | string = NOTHING): StompPacket {
  const octets = Buffer.from(body as string);
  const right = lines.map(([name, value]): Line => [name, name === 'content-length' ? `${octets.length}` : value]);
  const head = `${command}\n${right.map(([name, value]) => `${name}:${value}\n`).join('')}\n`;
  return {
    bytes: Buffer.concat([Buffer.from(head), octets, Buffer.of(0)]),
    command,
    lines: right,
    body: octets,
    malformed: false,
  };
}

/** The escaped value of a header, or null. */
export function headerOf({ lines }: StompPacket, name: string): string | null {
  return lines.find(([each]) => each === name)?.[1] ?? null;
}

class FrameSplitter implements Splitter<StompPacket> {
  private readonly commands: readonly string[];
  private left: Buffer;
  /** Set after bytes that are not a frame: the rest is passed on without splitting. */
  private foreign: boolean;

  constructor(commands: readonly string[]) {
    this.commands = commands;
    this.left = NOTHING;
    this.foreign = false;
  }

  split(chunk: Buffer): readonly StompPacket[] {
    this.left = this.left.length === 0 ? chunk : Buffer.concat([this.left, chunk]);
    const packets: StompPacket[] = [];
    while (this.left.length > 0) {
      const packet = this.foreign ? bytesPacket(this.take(this.left.length)) : (this.eols() ?? this.frame());
      if (packet === null) break;
      packets.push(packet);
    }
    return packets;
  }

  private eols(): StompPacket | null {
    let count = 0;
    while (this.left[count] === LF || this.left[count] === CR) count++;
    return count === 0 ? null : bytesPacket(this.take(count));
  }

  private frame(): StompPacket | null {
    const { left } = this;
    const end = headEnd(left);
    if (end < 0) return null;
    // A CR belongs to the line end if the command's line end has one, and otherwise to the header.
    const head = left.toString('utf8', 0, end).replace(/\n\r?\n$/, '');
    const [command = '', ...texts] = head.split(/^[^\n]*\r(?:\n|$)/.test(head) ? /\r?\n|\r$/ : '\n');
    const lines = texts.map((text): Line => {
      const colon = text.indexOf(':');
      return colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)];
    });
    const said = lines.find(([name]) => name === 'content-length')?.[1] ?? null;
    const length = said !== null && /^\d+$/.test(said) ? Number(said) : null;
    if (length !== null && length >= ENDLESS_BYTES) {
      this.foreign = true;
      return bytesPacket(this.take(left.length));
    }
    let stop = length === null ? left.indexOf(0, end) : end + length;
    if (stop < 0 || stop >= left.length) return null;
    const misplaced = left[stop] !== 0;
    if (misplaced) {
      stop = left.indexOf(0, end);
      if (stop < 0) return null;
    }
    const malformed =
      misplaced ||
      (said !== null && length === null) ||
      !this.commands.includes(command) ||
      texts.some((text) => text.indexOf(':') <= 0 || /\r./.test(text));
    const body = left.subarray(end, stop);
    return { bytes: this.take(stop + 1), command, lines, body, malformed };
  }

  private take(count: number): Buffer {
    const taken = this.left.subarray(0, count);
    this.left = this.left.subarray(count);
    return taken;
  }
}

/** Offset of the body, or −1. */
function headEnd(bytes: Buffer): number {
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at + 1] === LF) return at + 2;
    if (bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
  }
  return -1;
}

export const STOMP_FORMAT: PacketFormat<StompPacket> = {
  client: () => new FrameSplitter(CLIENT_COMMANDS),
  broker: () => new FrameSplitter(SERVER_COMMANDS),
};
