// A WebSocket server (RFC 6455) in front of a broker's TCP port, for running checks over WebSocket against mutations. A
// mutation of STOMP runs behind it; a mutation of WebSocket is a fault of the gateway, one at a time. Without a fault
// it is correct.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { WebSocketAddress } from '../../check.ts';
import { isUtf8 } from '../../utf8.ts';
import { OPCODE } from '../../websocket.ts';

/** The faults: each breaks one rule of WebSocket. */
export const FAULTS = {
  'subprotocol-none': 'does not say which subprotocol it chose',
  'subprotocol-unasked': 'chooses a subprotocol that was not offered',
  'accept-other': 'answers with the digest of another key',
  'version-any': 'takes any version of WebSocket for its own',
  'key-none': 'needs no key',
  'text-dropped': 'does not read text messages',
  'binary-dropped': 'does not read binary messages',
  'binary-always': 'answers in binary whatever it was asked in',
  'text-always': 'answers in text whatever the octets are',
  'one-frame': 'reads the first frame of a message only',
  'whole-frames': 'refuses a message that does not end with a frame',
  'empty-refused': 'refuses an empty message',
  'fragments-refused': 'refuses fragments',
  'between-refused': 'refuses control frames between fragments',
  'long-refused': 'knows lengths of 7 bits only',
  'pong-other': 'answers a ping with another payload',
  'pong-refused': 'refuses a pong that it did not ask for',
  'close-silent': 'ends without Close',
  'utf8-any': 'takes any octets for text',
  'masks-any': 'needs no mask',
  'reserved-any': 'does not look at reserved bits',
  'opcode-any': 'does not look at unknown opcodes',
  'continuation-any': 'takes the continuation of no message for one',
  'interleaved-any': 'takes a message within a message',
  'control-any': 'takes control frames of any length, in pieces',
} as const;
export type Fault = keyof typeof FAULTS;

/** Faults by which an expected frame never comes. */
export const WITHHOLDING: readonly Fault[] = [
  'text-dropped',
  'binary-dropped',
  'one-frame',
  'masks-any',
  'reserved-any',
  'opcode-any',
  'continuation-any',
  'interleaved-any',
  'control-any',
];

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const SUBPROTOCOLS = ['v12.stomp', 'v11.stomp', 'v10.stomp'];
const CLOSE = { normal: 1000, protocol: 1002, unsupported: 1003, invalid: 1007, large: 1009 } as const;

export class Gateway {
  acted: boolean;
  /** Resolves when the fault has taken effect. */
  readonly acting: Promise<void>;
  private readonly touched: () => void;
  /** Its port, once it listens. */
  address: WebSocketAddress;
  private readonly fault: Fault | null;
  private readonly target: { readonly host: string; readonly port: number };
  private readonly server: Server;
  private readonly sockets: Set<Socket>;

  constructor(fault: Fault | null, target: { readonly host: string; readonly port: number }, path: string) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.acted = false;
    this.acting = promise;
    this.touched = () => {
      this.acted = true;
      resolve();
    };
    this.address = { host: '127.0.0.1', port: 0, path };
    this.fault = fault;
    this.target = target;
    this.sockets = new Set();
    this.server = createServer({ noDelay: true }, (socket) => {
      this.keep(socket);
      new Bridge(socket, this);
    });
  }

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.address = { ...this.address, port: (this.server.address() as AddressInfo).port };
  }

  /** Whether it has this fault; called where the rule is broken. */
  breaks(fault: Fault): boolean {
    if (this.fault === fault) this.touched();
    return this.fault === fault;
  }

  /** A connection to the broker. */
  dial(): Socket {
    const { host, port } = this.target;
    return this.keep(connect({ host, port, noDelay: true }));
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private keep(socket: Socket): Socket {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    return socket;
  }
}

/** One client's WebSocket and its TCP connection to the broker. */
class Bridge {
  private readonly client: Socket;
  private readonly gateway: Gateway;
  private broker: Socket | null;
  private bytes: Buffer;
  /** Opcode and payload so far of the incomplete message. */
  private message: { opcode: number; payloads: Buffer[] } | null;
  private textual: boolean;
  /** Code of the client's Close that has not been answered yet. */
  private leaving: number | null;
  /** Whether our Close was sent. */
  private closing: boolean;

  constructor(client: Socket, gateway: Gateway) {
    this.client = client;
    this.gateway = gateway;
    this.broker = null;
    this.bytes = Buffer.alloc(0);
    this.message = null;
    this.textual = true;
    this.leaving = null;
    this.closing = false;
    client.on('data', (chunk: Buffer) => this.data(chunk));
    client.on('close', () => this.broker?.end());
  }

  private data(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    if (this.broker === null && !this.handshake()) return;
    while (!this.client.writableEnded && this.next()) {}
  }

  /** Handles the upgrade request once it is complete. */
  private handshake(): boolean {
    const end = this.bytes.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const [, ...lines] = this.bytes.toString('latin1', 0, end).split('\r\n');
    this.bytes = this.bytes.subarray(end + 4);
    const headers = new Map(
      lines.map((line) => [line.split(':')[0]!.toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const { gateway } = this;
    const key = headers.get('sec-websocket-key');
    if (key === undefined && !gateway.breaks('key-none')) return this.refuse('400 Bad Request', '');
    const current = headers.get('sec-websocket-version') === '13';
    if (!current && !gateway.breaks('version-any')) {
      return this.refuse('426 Upgrade Required', 'Sec-WebSocket-Version: 13\r\n');
    }
    const offered = (headers.get('sec-websocket-protocol') ?? '').split(',').map((name) => name.trim());
    let chosen = SUBPROTOCOLS.find((name) => offered.includes(name));
    if (chosen === undefined && gateway.breaks('subprotocol-unasked')) [chosen] = SUBPROTOCOLS;
    if (chosen !== undefined && gateway.breaks('subprotocol-none')) chosen = undefined;
    const said = gateway.breaks('accept-other') ? `${key}.` : key;
    const accept = createHash('sha1').update(`${said}${GUID}`).digest('base64');
    const protocol = chosen === undefined ? '' : `Sec-WebSocket-Protocol: ${chosen}\r\n`;
    this.client.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${protocol}\r\n`,
    );
    this.broker = gateway.dial();
    this.broker.on('data', (chunk: Buffer) => this.fromBroker(chunk));
    this.broker.on('end', () => this.left());
    this.broker.on('close', () => this.left());
    return true;
  }

  /** The broker has ended, by itself or because the client did. */
  private left(): void {
    this.close(this.leaving ?? CLOSE.normal);
    if (this.leaving !== null) this.client.end();
  }

  private refuse(status: string, header: string): false {
    this.client.end(`HTTP/1.1 ${status}\r\n${header}Content-Length: 0\r\nConnection: close\r\n\r\n`);
    return false;
  }

  private fromBroker(chunk: Buffer): void {
    if (this.closing) return;
    let text = this.textual && isUtf8(chunk);
    if (!text && this.gateway.breaks('text-always')) text = true;
    if (text && this.gateway.breaks('binary-always')) text = false;
    this.write(text ? OPCODE.text : OPCODE.binary, chunk);
  }

  /** Reads one frame of the client; false if none is complete. */
  private next(): boolean {
    const { bytes, gateway } = this;
    if (bytes.length < 2) return false;
    const [first, second] = [bytes[0]!, bytes[1]!];
    const masked = (second & 0x80) !== 0;
    const short = second & 0x7f;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    const body = start + (masked ? 4 : 0);
    if (bytes.length < body) return false;
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    if (bytes.length < body + length) return false;
    const mask = bytes.subarray(start, body);
    const payload = Buffer.from(bytes.subarray(body, body + length));
    if (masked) for (let i = 0; i < length; i++) payload[i]! ^= mask[i % 4]!;
    this.bytes = bytes.subarray(body + length);
    if (this.closing) {
      // Frames after our Close are dropped; the client's Close is the end.
      if ((first & 0x0f) === OPCODE.close) this.client.end();
      return true;
    }
    if (short >= 126 && gateway.breaks('long-refused')) return this.close(CLOSE.large);
    if (!masked && !gateway.breaks('masks-any')) return this.close(CLOSE.protocol);
    if ((first & 0x70) !== 0 && !gateway.breaks('reserved-any')) return this.close(CLOSE.protocol);
    return this.frame(first & 0x0f, (first & 0x80) !== 0, payload);
  }

  private frame(opcode: number, fin: boolean, payload: Buffer): boolean {
    const { gateway } = this;
    if (opcode >= 8) return this.control(opcode, fin, payload);
    switch (opcode) {
      case OPCODE.continuation:
        if (this.message === null) {
          if (!gateway.breaks('continuation-any')) return this.close(CLOSE.protocol);
          this.message = { opcode: OPCODE.text, payloads: [] };
        }
        break;
      case OPCODE.text:
      case OPCODE.binary:
        if (this.message !== null && !gateway.breaks('interleaved-any')) return this.close(CLOSE.protocol);
        this.message = { opcode, payloads: [] };
        break;
      default:
        return gateway.breaks('opcode-any') || this.close(CLOSE.protocol);
    }
    if (!fin && gateway.breaks('fragments-refused')) return this.close(CLOSE.unsupported);
    this.message.payloads.push(payload);
    return fin ? this.whole(this.message.opcode, Buffer.concat(this.message.payloads)) : true;
  }

  private whole(opcode: number, payload: Buffer): boolean {
    const { gateway } = this;
    this.message = null;
    this.textual = opcode === OPCODE.text;
    if (this.textual && !isUtf8(payload) && !gateway.breaks('utf8-any')) return this.close(CLOSE.invalid);
    const last = payload.at(-1);
    if (payload.length === 0 && gateway.breaks('empty-refused')) return this.close(CLOSE.unsupported);
    if (last !== 0 && last !== 0x0a && gateway.breaks('whole-frames')) return this.close(CLOSE.unsupported);
    if (gateway.breaks(this.textual ? 'text-dropped' : 'binary-dropped')) return true;
    const end = payload.indexOf(0);
    const cut = end >= 0 && end < payload.length - 1 && gateway.breaks('one-frame');
    this.broker?.write(cut ? payload.subarray(0, end + 1) : payload);
    return true;
  }

  private control(opcode: number, fin: boolean, payload: Buffer): boolean {
    const { gateway } = this;
    if ((!fin || payload.length > 125) && !gateway.breaks('control-any')) return this.close(CLOSE.protocol);
    if (this.message !== null && gateway.breaks('between-refused')) return this.close(CLOSE.protocol);
    switch (opcode) {
      case OPCODE.ping:
        if (!fin || payload.length > 125) return true;
        this.write(OPCODE.pong, gateway.breaks('pong-other') ? Buffer.from('pong') : payload);
        return true;
      case OPCODE.pong:
        return gateway.breaks('pong-refused') ? this.close(CLOSE.protocol) : true;
      case OPCODE.close:
        // Answered after the broker has sent its last bytes.
        this.leaving = payload.length < 2 ? CLOSE.normal : payload.readUInt16BE(0);
        this.broker?.end();
        return true;
      default:
        return this.close(CLOSE.protocol);
    }
  }

  /** Sends Close once; then the client's Close, or the end of its stream, ends the connection. */
  private close(code: number): false {
    if (this.closing) return false;
    this.closing = true;
    this.broker?.end();
    if (this.gateway.breaks('close-silent')) this.client.end();
    else this.write(OPCODE.close, Buffer.of(code >> 8, code & 0xff));
    return false;
  }

  private write(opcode: number, payload: Buffer): void {
    const { length } = payload;
    const long = length < 126 ? 0 : length < 65_536 ? 2 : 8;
    const head = Buffer.alloc(2 + long);
    head[0] = 0x80 | opcode;
    head[1] = long === 0 ? length : long === 2 ? 126 : 127;
    if (long === 2) head.writeUInt16BE(length, 2);
    if (long === 8) head.writeBigUInt64BE(BigInt(length), 2);
    if (this.client.writable) this.client.write(Buffer.concat([head, payload]));
  }
}
