// The checks' WebSocket client (RFC 6455). A check decides the type, fragments and masks of what it sends, and sees
// each message with its type. What a server may never send (a masked frame, a reserved bit, text that is not UTF-8, a
// long or fragmented control frame) fails the call that waits.

import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { type Carrier, type CarrierSink, dial } from './carrier.ts';
import type { CheckContext } from './check.ts';
import { isUtf8 } from './utf8.ts';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export type Kind = 'text' | 'binary';

/** [RFC 6455 §1.3] */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export interface UpgradeOptions {
  readonly subprotocols?: readonly string[];
  /** Headers that add to or replace those of the handshake; null removes one. */
  readonly headers?: Readonly<Record<string, string | null>>;
}

/** The server's response to the upgrade request. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly socket: Socket;
  /** The bytes after the response. */
  readonly rest: Buffer;
  /** The expected `Sec-WebSocket-Accept`. */
  readonly accept: string;
}

export interface Message {
  readonly kind: Kind;
  readonly payload: Buffer;
}

export interface RawFrame {
  readonly opcode: number;
  readonly payload?: Buffer | string;
  readonly fin?: boolean;
  readonly masked?: boolean;
  /** The three reserved bits. */
  readonly reserved?: number;
}

/** Sends an upgrade request and returns the response, whatever it is. */
export async function upgrade(context: CheckContext, options: UpgradeOptions = {}): Promise<Answer> {
  const address = context.endpoint.webSocket;
  if (address === undefined) throw new Error('the broker has no address for WebSocket');
  const socket = await dial(context, address.host, address.port);
  const key = randomBytes(16).toString('base64');
  const headers: Record<string, string | null> = {
    Host: `${address.host}:${address.port}`,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': key,
    'Sec-WebSocket-Version': '13',
    ...(options.subprotocols === undefined ? {} : { 'Sec-WebSocket-Protocol': options.subprotocols.join(', ') }),
    ...options.headers,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}\r\n`]));
  socket.write(`GET ${address.path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const { head, rest } = await readHead(socket, context.signal);
  const [first, ...fields] = head.split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first!)?.[1]);
  if (Number.isNaN(status)) throw new Error(`no HTTP answer: '${first}'`);
  const answered = fields.map((line) => [
    line.slice(0, line.indexOf(':')).toLowerCase(),
    line.slice(line.indexOf(':') + 1).trim(),
  ]);
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
  return { status, headers: Object.fromEntries(answered), socket, rest, accept };
}

function readHead(socket: Socket, signal: AbortSignal): Promise<{ head: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const done = (): void => {
      socket.off('data', data).off('close', closed);
      socket.pause();
    };
    const data = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) return;
      done();
      resolve({ head: bytes.toString('latin1', 0, end), rest: bytes.subarray(end + 4) });
    };
    const closed = (): void => {
      done();
      reject(new Error(`the end instead of an HTTP answer, after '${bytes}'`));
    };
    socket.on('data', data).on('close', closed);
    signal.addEventListener('abort', closed);
  });
}

export class WebSocketClient implements Carrier {
  readonly socket: Socket;
  /** The subprotocol that the server selected, or null. */
  readonly subprotocol: string | null;
  /** The message type that `send` uses; null: text if the bytes are valid text. */
  kind: Kind | null;
  /** Every message received, and the payload of every pong. */
  readonly messages: Message[];
  readonly pongs: Buffer[];
  /** Status code of the server's Close frame; 1005 if it had none. */
  closeCode: number | null;
  /** Whether our Close frame was sent. */
  private closing: boolean;
  private readonly rest: Buffer;
  private bytes: Buffer;
  private fragments: { kind: Kind; payloads: Buffer[] } | null;
  private sink: CarrierSink | null;

  constructor(answer: Answer) {
    this.socket = answer.socket;
    this.subprotocol = answer.headers['sec-websocket-protocol'] ?? null;
    this.kind = null;
    this.messages = [];
    this.pongs = [];
    this.closeCode = null;
    this.closing = false;
    this.rest = answer.rest;
    this.bytes = Buffer.alloc(0);
    this.fragments = null;
    this.sink = null;
  }

  static async open(context: CheckContext, options: UpgradeOptions = {}): Promise<WebSocketClient> {
    const answer = await upgrade(context, options);
    if (answer.status !== 101) throw new Error(`the upgrade was answered with ${answer.status}`);
    return new WebSocketClient(answer);
  }

  attach(sink: CarrierSink): void {
    this.sink = sink;
    const { socket } = this;
    socket.on('data', (chunk: Buffer) => this.data(chunk));
    socket.on('end', () => sink.ended());
    socket.on('close', () => sink.ended());
    if (this.rest.length > 0) this.data(this.rest);
    socket.resume();
  }

  send(bytes: Buffer): void {
    this.message(this.kind ?? (isUtf8(bytes) ? 'text' : 'binary'), bytes);
  }

  /** Sends a message with one frame for each piece. */
  message(kind: Kind, ...pieces: (Buffer | string)[]): void {
    pieces.forEach((payload, index) => {
      this.frame({ opcode: index === 0 ? OPCODE[kind] : 0, payload, fin: index === pieces.length - 1 });
    });
  }

  /** Any frame, legal or not [RFC 6455 §5.2]. */
  frame({ opcode, payload = '', fin = true, masked = true, reserved = 0 }: RawFrame): void {
    const bytes = Buffer.from(payload as string);
    if (opcode === OPCODE.close) this.closing = true;
    const { length } = bytes;
    const long = length < 126 ? 0 : length < 65_536 ? 2 : 8;
    const head = Buffer.alloc(2 + long);
    head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
    head[1] = (masked ? 0x80 : 0) | (long === 0 ? length : long === 2 ? 126 : 127);
    if (long === 2) head.writeUInt16BE(length, 2);
    if (long === 8) head.writeBigUInt64BE(BigInt(length), 2);
    if (!masked) {
      this.socket.write(Buffer.concat([head, bytes]));
      return;
    }
    const mask = randomBytes(4);
    const covered = bytes.map((byte, index) => byte ^ mask[index % 4]!);
    this.socket.write(Buffer.concat([head, mask, covered]));
  }

  /** A Close frame with that status code. */
  close(code: number): void {
    this.frame({ opcode: OPCODE.close, payload: Buffer.of(code >> 8, code & 0xff) });
  }

  private data(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    try {
      while (this.next()) {}
    } catch (error) {
      this.sink!.failed(error as Error);
    }
  }

  /** Reads one frame; false if none is complete. */
  private next(): boolean {
    const { bytes } = this;
    if (bytes.length < 2) return false;
    const [first, second] = [bytes[0]!, bytes[1]!];
    if ((first & 0x70) !== 0) throw new Error('malformed: a WebSocket frame with a reserved bit');
    if ((second & 0x80) !== 0) throw new Error('malformed: a masked WebSocket frame from a server');
    const short = second & 0x7f;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < start) return false;
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    if (bytes.length < start + length) return false;
    this.bytes = bytes.subarray(start + length);
    this.received(first & 0x0f, (first & 0x80) !== 0, bytes.subarray(start, start + length));
    return true;
  }

  private received(opcode: number, fin: boolean, payload: Buffer): void {
    if (opcode >= 8 && (!fin || payload.length > 125))
      throw new Error('malformed: a control frame in pieces or too long');
    if (this.closeCode !== null) throw new Error('malformed: a WebSocket frame behind Close');
    switch (opcode) {
      case OPCODE.text:
      case OPCODE.binary:
        if (this.fragments !== null) throw new Error('malformed: a message within a message');
        this.fragments = { kind: opcode === OPCODE.text ? 'text' : 'binary', payloads: [payload] };
        break;
      case OPCODE.continuation:
        if (this.fragments === null) throw new Error('malformed: the continuation of no message');
        this.fragments.payloads.push(payload);
        break;
      case OPCODE.close:
        this.closeCode = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
        // [RFC 6455 §5.5.1] The server waits for the answer.
        if (!this.closing) this.frame({ opcode: OPCODE.close, payload: payload.subarray(0, 2) });
        this.sink!.data(Buffer.alloc(0));
        return;
      case OPCODE.ping:
        this.frame({ opcode: OPCODE.pong, payload });
        return;
      case OPCODE.pong:
        this.pongs.push(payload);
        this.sink!.data(Buffer.alloc(0));
        return;
      default:
        throw new Error(`malformed: a WebSocket frame with opcode ${opcode}`);
    }
    if (!fin) return;
    const message = { kind: this.fragments.kind, payload: Buffer.concat(this.fragments.payloads) };
    this.fragments = null;
    if (message.kind === 'text' && !isUtf8(message.payload))
      throw new Error('malformed: a text message that is no UTF-8');
    this.messages.push(message);
    this.sink!.data(message.payload);
  }
}
