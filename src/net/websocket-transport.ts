// A WebSocket as a transport: stands between a socket's transport and the front-end. In, it takes frames apart; out,
// the outbox frames what the front-end writes (websocket-framing.ts). Pings and the closing handshake (RFC 6455 §7)
// end here; the front-end sees bytes.

import type { Socket } from 'node:net';
import type { HttpCredentials } from './http-credentials.ts';
import type { MessageKind } from './message-kind.ts';
import type { Outbox } from './outbox.ts';
import { SocketTransport, type TransportContext } from './socket-transport.ts';
import { type Ticked, ticksFor } from './ticker.ts';
import type { ClientCertificate, Transport, TransportHandler } from './transport.ts';
import { CLOSE_CODE, type FrameSink, OPCODE, WebSocketReceiver } from './websocket-codec.ts';
import { DeflatingSink, Inflater } from './websocket-deflate.ts';
import { WebSocketFraming } from './websocket-framing.ts';

/** The peer broke RFC 6455; `closed` gets it. */
export class WebSocketError extends Error {
  /** The status code that the peer got. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'WebSocketError';
    this.code = code;
  }
}

/** What the opening handshake came to. */
export interface WebSocketTerms {
  readonly subprotocol: string;
  readonly httpCredentials: HttpCredentials | null;
  /** Messages need not hold whole frames of the protocol above. */
  readonly byteStream: boolean;
  readonly maxMessageBytes: number;
  /** The window of what goes out compressed; null: compression was not agreed on. */
  readonly windowBits: number | null;
  readonly maxInflatedBytes: number;
}

export class WebSocketTransport implements Transport, TransportHandler, FrameSink, Ticked {
  readonly outbox: Outbox;
  readonly subprotocol: string;
  readonly httpCredentials: HttpCredentials | null;
  private readonly carrier: SocketTransport;
  private readonly context: TransportContext;
  private readonly framing: WebSocketFraming;
  private readonly receiver: WebSocketReceiver;
  private handler: TransportHandler | null;
  private error: Error | null;
  private paused: boolean;
  /** What came behind the payload during which the handler paused. */
  private rest: Buffer | null;
  /** Our Close frame went out; the peer's is awaited since then. */
  private closing: boolean;
  private closingSince: number;

  constructor(socket: Socket, context: TransportContext, terms: WebSocketTerms) {
    const { windowBits } = terms;
    this.framing = new WebSocketFraming(terms.byteStream);
    const sink = windowBits === null ? socket : new DeflatingSink(socket, windowBits);
    this.carrier = new SocketTransport(socket, context, this.framing, sink);
    this.outbox = this.carrier.outbox;
    this.subprotocol = terms.subprotocol;
    this.httpCredentials = terms.httpCredentials;
    this.context = context;
    const inflater = windowBits === null ? null : new Inflater(terms.maxInflatedBytes);
    this.receiver = new WebSocketReceiver(this, terms.maxMessageBytes, inflater);
    this.handler = null;
    this.error = null;
    this.paused = false;
    this.rest = null;
    this.closing = false;
    this.closingSince = 0;
  }

  /** Connects the handler. `head` is what came behind the handshake already. */
  attach(handler: TransportHandler, head: Buffer): void {
    this.handler = handler;
    this.carrier.attach(this);
    if (head.length === 0) return;
    if (this.paused) this.rest = head;
    else this.carrier.receive(head);
  }

  get peer(): string {
    return this.carrier.peer;
  }

  get local(): string {
    return this.carrier.local;
  }

  get loopback(): boolean {
    return this.carrier.loopback;
  }

  get address(): string {
    return this.carrier.address;
  }

  get gone(): boolean {
    return this.carrier.gone;
  }

  get secure(): boolean {
    return this.carrier.secure;
  }

  get clientCertificate(): ClientCertificate | null {
    return this.carrier.clientCertificate;
  }

  get reading(): boolean {
    return this.carrier.reading;
  }

  get bytesRead(): number {
    return this.carrier.bytesRead;
  }

  get bytesWritten(): number {
    return this.carrier.bytesWritten;
  }

  get messageKind(): MessageKind {
    return this.framing.kind;
  }

  /** Ends the message of the other kind, so whole frames of the protocol above stand before it. */
  set messageKind(kind: MessageKind) {
    if (kind === this.framing.kind) return;
    this.outbox.endMessage();
    this.framing.kind = kind;
  }

  get lastMessageKind(): MessageKind {
    return this.receiver.kind;
  }

  pause(): void {
    if (this.closing) return;
    this.paused = true;
    this.carrier.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    if (this.rest === null) this.carrier.resume();
    else process.nextTick(goOn, this);
  }

  /** [§7.4.1] A client that hears of a server that goes away knows to come back. */
  end(): void {
    this.close(this.context.stopping ? CLOSE_CODE.goingAway : CLOSE_CODE.normal, '');
  }

  destroy(): void {
    this.carrier.destroy();
  }

  fault(): void {
    this.carrier.fault();
  }

  // What the carrier calls.

  data(chunk: Buffer): void {
    // Cannot come while paused: the carrier is paused too, and `rest` goes first.
    const rest = this.receiver.receive(chunk);
    if (rest === null) return;
    this.rest = rest;
    if (!this.paused) process.nextTick(goOn, this);
  }

  drained(): void {
    if (!this.closing) this.handler?.drained();
  }

  sayFault(): boolean {
    if (this.closing || this.handler?.sayFault() !== true) return false;
    this.outbox.endMessage();
    this.sendClose(CLOSE_CODE.internalError, '');
    return true;
  }

  closed(error: Error | null): void {
    this.context.ticker.remove(this);
    const { handler } = this;
    this.handler = null;
    this.rest = null;
    handler?.closed(this.error ?? error);
  }

  tick(nowTick: number): void {
    if (nowTick - this.closingSince < ticksFor(this.context.transport.lingerMs)) return;
    this.context.ticker.remove(this);
    this.carrier.destroy();
  }

  // What the receiver calls.

  payload(run: Buffer): boolean {
    if (this.closing || this.handler === null || !this.carrier.isOpen) return true;
    this.handler.data(run);
    return !this.paused;
  }

  /** [§5.5.2] Answered, but not without bound to a peer that does not read. */
  ping(payload: Buffer): void {
    if (!this.closing && this.outbox.writable) this.outbox.control(OPCODE.pong, payload);
  }

  /** [§5.5.1] The peer's Close is answered with the same code, once; then the server closes the connection. */
  closeFrame(code: number): void {
    if (!this.closing) this.sendClose(code, '');
    this.carrier.end();
  }

  violation(code: number, reason: string): void {
    this.error ??= new WebSocketError(code, reason);
    if (!this.closing) this.sendClose(code, reason);
    this.carrier.end();
  }

  /** Parses what came while the handler was paused, then reads on. */
  deliverRest(): void {
    const { rest } = this;
    if (rest === null || this.paused || this.handler === null) return;
    this.rest = null;
    this.carrier.receive(rest);
    if (this.rest === null && !this.paused) this.carrier.resume();
  }

  /** Says goodbye and waits for the peer's Close, not longer than the linger time. What it still sends is dropped. */
  private close(code: number, reason: string): void {
    if (this.closing || this.handler === null) return;
    this.sendClose(code, reason);
    this.outbox.flush();
    this.paused = false;
    this.rest = null;
    this.carrier.resume();
    this.closingSince = this.context.ticker.now;
    this.context.ticker.add(this);
  }

  private sendClose(code: number, reason: string): void {
    this.closing = true;
    const payload = Buffer.alloc(code === 1005 ? 0 : 2 + reason.length);
    if (code !== 1005) {
      payload.writeUInt16BE(code, 0);
      payload.write(reason, 2, 'latin1');
    }
    this.outbox.control(OPCODE.close, payload);
  }
}

function goOn(transport: WebSocketTransport): void {
  transport.deliverRest();
}
