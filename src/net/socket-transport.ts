// One TCP or TLS connection: carries a socket's events to its front-end and the front-end's outbox to the socket.
// Whatever happens on the socket or in the handler ends this connection at most. Ten thousand of these are idle most of
// the time: no closure, timer or buffer of its own for each; listeners are shared functions that find the transport
// through the socket, and only who lingers or stalls is on the ticker.

import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { AddressLimit } from './address-limit.ts';
import type { ChunkGarbage } from './chunk-garbage.ts';
import { MESSAGE_KIND, type MessageKind } from './message-kind.ts';
import { Outbox, type OutboxContext, type OutboxOwner, type OutboxSink } from './outbox.ts';
import { addressGroup, isLoopback, plainAddress } from './peer-address.ts';
import { type Ticked, type Ticker, ticksFor } from './ticker.ts';
import type { ClientCertificate, Transport, TransportHandler } from './transport.ts';
import type { WebSocketFraming } from './websocket-framing.ts';

export interface TransportLimits {
  /** How long a connection may take to go after `end`. */
  readonly lingerMs: number;
  /** A peer that takes none of the bytes that wait for it for so long is closed; 0: never. */
  readonly slowReaderTimeoutMs: number;
}

export const TRANSPORT_DEFAULTS: TransportLimits = { lingerMs: 3000, slowReaderTimeoutMs: 0 };

/** What all connections of a listener share. */
export interface TransportContext extends OutboxContext {
  /** Counts the connections of each address. */
  readonly addresses: AddressLimit;
  readonly ticker: Ticker;
  readonly garbage: ChunkGarbage;
  readonly transport: TransportLimits;
  /** The broker is stopping: what ends from now on ends because of that. */
  stopping: boolean;
  /** A handler threw. Its connection is destroyed already. */
  readonly onHandlerError: (error: unknown, transport: Transport) => void;
  /** A connection was closed because it took too long. */
  readonly onExpired: (code: TransportError['code']) => void;
}

/** Why we closed a connection that did nothing wrong by its protocol; `closed` gets it. */
export class TransportError extends Error {
  readonly code: 'slow-reader' | 'linger-expired';

  constructor(code: TransportError['code'], message: string) {
    super(message);
    this.name = 'TransportError';
    this.code = code;
  }
}

const TRANSPORT = Symbol('transport');
type OwnedSocket = Socket & { [TRANSPORT]: SocketTransport };

interface ReadHandle {
  reading: boolean;
  readStart(): number;
  readStop(): number;
}

/** In order; a connection only moves forward. */
const STATE = { open: 0, ending: 1, closed: 2 } as const;

export class SocketTransport implements Transport, OutboxOwner, Ticked {
  readonly outbox: Outbox;
  readonly peer: string;
  readonly loopback: boolean;
  readonly address: string;
  messageKind: MessageKind;
  private readonly socket: Socket;
  private readonly context: TransportContext;
  private handler: TransportHandler | null;
  private state: (typeof STATE)[keyof typeof STATE];
  private error: Error | null;
  /** Whether the front-end wants no input. */
  private paused: boolean;
  /** Whether `pause` has stopped libuv's reading. */
  private stopped: boolean;
  /** Whether the ticker watches us, since when nothing has moved, and how much was left then. */
  private watched: boolean;
  private quietSince: number;
  private lastUnsent: number;

  /**
   * The socket is connected and, with TLS, secure. Nothing is delivered until `attach`. `sink` stands between the outbox
   * and the socket, where something does.
   */
  constructor(socket: Socket, context: TransportContext, framing: WebSocketFraming | null, sink: OutboxSink = socket) {
    this.outbox = new Outbox(sink, this, context, framing);
    this.peer = address(socket.remoteAddress, socket.remotePort);
    this.address = addressGroup(socket.remoteAddress ?? '');
    this.loopback = isLoopback(socket.remoteAddress ?? '');
    this.messageKind = MESSAGE_KIND.binary;
    this.socket = socket;
    this.context = context;
    this.handler = null;
    this.state = STATE.open;
    this.error = null;
    this.paused = false;
    this.stopped = false;
    this.watched = false;
    this.quietSince = 0;
    this.lastUnsent = 0;
    (socket as OwnedSocket)[TRANSPORT] = this;
  }

  /** Connects the handler; its `data` is called from here on. */
  attach(handler: TransportHandler): void {
    this.handler = handler;
    const { socket } = this;
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.on('end', onEnd);
    socket.on('data', onData);
    if (socket.destroyed) process.nextTick(finish, this);
  }

  /** Input still goes to the handler. */
  get isOpen(): boolean {
    return this.state === STATE.open && !this.socket.destroyed;
  }

  get gone(): boolean {
    return !this.isOpen;
  }

  get local(): string {
    return address(this.socket.localAddress, this.socket.localPort);
  }

  get secure(): boolean {
    return this.socket instanceof TLSSocket;
  }

  get clientCertificate(): ClientCertificate | null {
    return this.socket instanceof TLSSocket ? clientCertificate(this.socket) : null;
  }

  get httpCredentials(): null {
    return null;
  }

  get subprotocol(): string {
    return '';
  }

  get lastMessageKind(): MessageKind {
    return MESSAGE_KIND.binary;
  }

  get bytesRead(): number {
    return this.socket.bytesRead;
  }

  get bytesWritten(): number {
    return this.socket.bytesWritten ?? 0;
  }

  get reading(): boolean {
    return !this.paused;
  }

  pause(): void {
    this.paused = true;
    if (this.state !== STATE.open) return;
    this.socket.pause();
    // `pause` alone lets Node read another chunk ahead: with 1,000 publishers that are held 64 MiB. Node believes that it
    // still reads, so that it does not begin again by itself.
    const handle = readHandle(this.socket);
    if (handle?.reading !== true) return;
    this.stopped = true;
    handle.readStop();
  }

  resume(): void {
    this.paused = false;
    if (this.state !== STATE.open) return;
    this.read();
  }

  end(): void {
    if (this.state !== STATE.open) return;
    this.state = STATE.ending;
    this.outbox.flush();
    // The front-end may not know yet and write on: from here on that goes nowhere.
    this.outbox.destroy();
    this.socket.end();
    // What the peer still sends is read and dropped: closing with unread input would reset the connection and could
    // take our last bytes with it.
    this.read();
    this.quietSince = this.context.ticker.now;
    this.watch();
  }

  destroy(): void {
    this.outbox.destroy();
    this.socket.destroy();
  }

  fault(): void {
    const { handler } = this;
    if (this.state !== STATE.open || handler === null || !this.outbox.discard() || !handler.sayFault()) {
      this.destroy();
      return;
    }
    this.end();
    // Not after the linger time: what the connection holds is given back now.
    this.handler = null;
    setImmediate(() => this.close(handler));
  }

  /** The outbox is writable again. */
  drained(): void {
    if (this.state !== STATE.open || this.handler === null) return;
    try {
      this.handler.drained();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Writing failed by a fault of ours. */
  broken(): void {
    this.destroy();
  }

  /** The kernel took less than we wrote. */
  stalled(): void {
    if (this.context.transport.slowReaderTimeoutMs > 0 && !this.watched) {
      this.quietSince = this.context.ticker.now;
      this.lastUnsent = this.waitingBytes();
      this.watch();
    }
  }

  tickFailed(): void {
    this.watched = false;
    this.destroy();
  }

  tick(nowTick: number): void {
    const { lingerMs, slowReaderTimeoutMs } = this.context.transport;
    if (this.state === STATE.ending) {
      if (nowTick - this.quietSince >= ticksFor(lingerMs)) this.expire('linger-expired', 'it did not close in time');
      return;
    }
    const unsent = this.waitingBytes();
    if (unsent === 0) {
      this.unwatch();
    } else if (unsent !== this.lastUnsent) {
      this.lastUnsent = unsent;
      this.quietSince = nowTick;
    } else if (nowTick - this.quietSince >= ticksFor(slowReaderTimeoutMs)) {
      this.expire('slow-reader', `it took none of ${this.outbox.unsentBytes} bytes for ${slowReaderTimeoutMs} ms`);
    }
  }

  /** Called by the socket's listeners. */
  receive(chunk: Buffer): void {
    if (!this.isOpen) return;
    this.context.garbage.count(chunk.length);
    try {
      this.handler!.data(chunk);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Called by the socket's listeners. */
  errored(error: Error): void {
    this.error ??= error;
    this.outbox.destroy();
  }

  /** Called by the socket's listeners, and by `attach` for a socket that was gone by then. */
  finished(): void {
    if (this.state === STATE.closed) return;
    this.state = STATE.closed;
    this.outbox.destroy();
    this.unwatch();
    const { handler } = this;
    this.handler = null;
    if (handler !== null) this.close(handler);
  }

  private close(handler: TransportHandler): void {
    try {
      handler.closed(this.error);
    } catch (error) {
      this.context.onHandlerError(error, this);
    }
  }

  /** The handler broke: this connection ends, nothing else does. */
  private fail(error: unknown): void {
    this.error ??= error instanceof Error ? error : new Error(String(error));
    this.context.onHandlerError(error, this);
    try {
      this.fault();
    } catch {
      this.destroy();
    }
  }

  private expire(code: TransportError['code'], why: string): void {
    this.context.onExpired(code);
    this.error ??= new TransportError(code, `${this.peer} was closed: ${why}`);
    this.destroy();
  }

  private read(): void {
    this.socket.resume();
    if (!this.stopped) return;
    this.stopped = false;
    readHandle(this.socket)?.readStart();
  }

  private watch(): void {
    if (this.watched || this.state === STATE.closed) return;
    this.watched = true;
    this.context.ticker.add(this);
  }

  private unwatch(): void {
    if (!this.watched) return;
    this.watched = false;
    this.context.ticker.remove(this);
  }

  /**
   * What the kernel has not taken. While one large write is under way `writableLength` stands still; libuv's queue
   * behind it shows how far it has come.
   */
  private waitingBytes(): number {
    const handle = (this.socket as Socket & { _handle?: { writeQueueSize?: number } | null })._handle;
    return this.socket.writableLength + (handle?.writeQueueSize ?? 0);
  }
}

/** Libuv's handle as Node's own streams use it; null: the socket is closed, or not one of Node's. */
function readHandle(socket: Socket): ReadHandle | null {
  const { _handle: handle } = socket as Socket & { _handle?: Partial<ReadHandle> | null };
  return handle?.readStop === undefined || handle.readStart === undefined ? null : (handle as ReadHandle);
}

function onData(this: Socket, chunk: Buffer): void {
  (this as OwnedSocket)[TRANSPORT].receive(chunk);
}

/** The peer will say no more (FIN). What we have to say still goes out. */
function onEnd(this: Socket): void {
  (this as OwnedSocket)[TRANSPORT].end();
}

function onError(this: Socket, error: Error): void {
  (this as OwnedSocket)[TRANSPORT].errored(error);
}

function onClose(this: Socket): void {
  (this as OwnedSocket)[TRANSPORT].finished();
}

function finish(transport: SocketTransport): void {
  transport.finished();
}

function address(host: string | undefined, port: number | undefined): string {
  if (host === undefined) return '';
  const plain = plainAddress(host);
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`;
}

function clientCertificate(socket: TLSSocket): ClientCertificate | null {
  if (!socket.authorized) return null;
  const certificate = socket.getPeerCertificate();
  // An empty object where the peer sent none.
  if (certificate?.subject === undefined) return null;
  // A line for each part, special characters escaped (RFC 4514 §2.4): two different subjects never have the same text.
  const parts = socket.getPeerX509Certificate()?.subject.split('\n') ?? [];
  return {
    commonName: first(certificate.subject.CN),
    subject: parts.reverse().join(','),
    alternativeNames: certificate.subjectaltname ?? '',
    fingerprint256: certificate.fingerprint256,
  };
}

/** Node gives an array where an attribute stands more than once. */
function first(value: string | string[] | undefined): string {
  return Array.isArray(value) ? (value[0] ?? '') : (value ?? '');
}
