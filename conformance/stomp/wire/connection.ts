// The checks' STOMP connection. It sends any bytes, legal or not, and returns every frame received. An unexpected
// ERROR, or a frame that a broker may never send (frames.ts), fails the call that waits.

import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { Carrier, CarrierSink } from '../../carrier.ts';
import type { CheckContext } from '../../check.ts';
import { Conversation } from '../../conversation.ts';
import { WebSocketClient } from '../../websocket.ts';
import {
  encodeFrame,
  firstFrame,
  type Lines,
  type Received,
  type ServerCommand,
  VERSIONS,
  type Version,
} from './frames.ts';

/** Characters of a frame that are shown in the notes of a failure. */
const SHOWN = 240;

export interface Subscription {
  readonly id: string;
  readonly destination: string;
}

export class StompConnection extends Conversation implements CarrierSink {
  readonly context: CheckContext;
  readonly carrier: Carrier;
  /** The version used for sending; frames received are decoded in it after CONNECTED. */
  version: Version;
  /** Line ends received between frames. */
  eols: number;
  private agreed: boolean;
  private bytes: Buffer;
  private readonly frames: Received[];
  private order: number;
  private ids: number;

  constructor(carrier: Carrier, context: CheckContext, version: Version) {
    super(context.signal);
    this.context = context;
    this.carrier = carrier;
    this.version = version;
    this.eols = 0;
    this.agreed = false;
    this.bytes = Buffer.alloc(0);
    this.frames = [];
    this.order = 0;
    this.ids = 0;
    carrier.attach(this);
  }

  /** The WebSocket, if it is the transport. */
  get webSocket(): WebSocketClient {
    return this.carrier as WebSocketClient;
  }

  /** Sends CONNECT with the usual headers and returns the answer. `lines` add to or replace them. */
  async connect(lines: Readonly<Record<string, string>> = {}, command = 'CONNECT'): Promise<Received<'CONNECTED'>> {
    this.sendConnect(lines, command);
    return this.expect('CONNECTED');
  }

  sendConnect(lines: Readonly<Record<string, string>> = {}, command = 'CONNECT'): void {
    this.send(command, { ...this.connectLines(), ...lines });
  }

  /** The usual headers of CONNECT in this version. */
  connectLines(): Record<string, string> {
    const { user, password } = this.context.endpoint;
    const login = { login: user, passcode: password };
    return this.version === '1.0' ? login : { 'accept-version': this.version, host: '/', ...login };
  }

  /** Sends a frame, encoded as the version requires. */
  send(command: string, lines: Lines = {}, body: string | Buffer = ''): void {
    this.raw(encodeFrame(this.version, command, lines, body));
  }

  /** Sends any bytes. */
  raw(bytes: Buffer | string): void {
    const octets = Buffer.from(bytes as string);
    this.context.note(`→ ${shown(octets.toString())}`);
    this.carrier.send(octets);
  }

  /** Sends a frame with a receipt and waits for it. */
  async request(
    command: string,
    lines: Readonly<Record<string, string | number>> = {},
    body: string | Buffer = '',
  ): Promise<Received<'RECEIPT'>> {
    const receipt = `r${++this.ids}`;
    this.send(command, { ...lines, receipt }, body);
    return this.expectReceipt(receipt);
  }

  async expectReceipt(id: string): Promise<Received<'RECEIPT'>> {
    const frame = await this.expect('RECEIPT');
    assert.equal(frame.headers['receipt-id'], id, 'receipt-id');
    return frame;
  }

  /** Subscribes, and resolves when the subscription is active. */
  async subscribe(destination: string, lines: Readonly<Record<string, string>> = {}): Promise<Subscription> {
    const id = lines.id ?? `s${++this.ids}`;
    await this.request('SUBSCRIBE', { id, destination, ...lines });
    return { id, destination };
  }

  /** Ends the sending side as the transport does; frames are still received. */
  hangUp(): void {
    if (this.carrier instanceof WebSocketClient) this.carrier.close(1000);
    else this.carrier.socket.end();
  }

  /** The next frame with this command. Earlier frames are kept, but an ERROR fails it. */
  async expect<C extends ServerCommand>(command: C): Promise<Received<C>> {
    const find = (): number => this.frames.findIndex((frame) => frame.command === command || frame.command === 'ERROR');
    await this.until(() => find() >= 0, command);
    const [frame] = this.frames.splice(find(), 1);
    if (frame!.command !== command) throw new Error(`expected ${command}, got ${described(frame!)}`);
    return frame as Received<C>;
  }

  /** The next message; its body must be `body`, if given. */
  async message(body?: string): Promise<Received<'MESSAGE'>> {
    const message = await this.expect('MESSAGE');
    if (body !== undefined) assert.equal(message.body.toString(), body, 'the body of the message');
    return message;
  }

  /** Sends ACK or NACK with the version's header. */
  settle(command: 'ACK' | 'NACK', message: Received<'MESSAGE'>, lines: Readonly<Record<string, string>> = {}): void {
    this.send(command, { ...this.settlement(message), ...lines });
  }

  settlement({ headers }: Received<'MESSAGE'>): Record<string, string> {
    const of = (name: string): string => {
      const value = headers[name];
      assert.ok(value !== undefined, `a message without ${name}`);
      return value;
    };
    switch (this.version) {
      case '1.0':
        return { 'message-id': of('message-id') };
      case '1.1':
        return { 'message-id': of('message-id'), subscription: of('subscription') };
      case '1.2':
        return { id: of('ack') };
      default:
        return this.version satisfies never;
    }
  }

  /** Expects an ERROR, without checking that the connection ends after it. */
  async expectError(receiptId?: string): Promise<Received<'ERROR'>> {
    const error = await this.expect('ERROR');
    if (receiptId !== undefined) assert.equal(error.headers['receipt-id'], receiptId, 'receipt-id of the ERROR');
    return error;
  }

  /** Expects an ERROR, and then the end with no frame between. */
  async expectLastError(): Promise<Received<'ERROR'>> {
    const error = await this.expect('ERROR');
    await this.expectEnd(error.order + 1);
    return error;
  }

  /** Expects an ERROR, or only the end if the version does not require an ERROR. */
  async expectRefusal(): Promise<void> {
    await this.until(() => this.finished || this.has('ERROR'), 'ERROR or the end');
  }

  /** Sends DISCONNECT and waits for its receipt or the end; then its unacknowledged messages are back in the queue. */
  async leave(): Promise<void> {
    this.send('DISCONNECT', { receipt: 'goodbye' });
    await this.until(() => this.finished || this.has('RECEIPT'), 'RECEIPT or the end');
  }

  /** Expects the end, after at most this many frames. */
  async expectEnd(frames = Number.POSITIVE_INFINITY): Promise<void> {
    await this.until(() => this.finished || this.order > frames, 'the end of the connection');
    if (this.order > frames) throw new Error(`expected the end, got ${described(this.frames.at(-1)!)}`);
  }

  /** Resolves when the broker has read everything sent so far. */
  async roundTrip(): Promise<void> {
    const transaction = `t${++this.ids}`;
    this.send('BEGIN', { transaction });
    await this.request('ABORT', { transaction });
  }

  /** Fails if a frame with this command was received. */
  expectNone(command: ServerCommand): void {
    this.requireUnfailed();
    const frame = this.frames.find((candidate) => candidate.command === command);
    if (frame !== undefined) throw new Error(`expected no ${command}, got ${described(frame)}`);
  }

  /** Whether an unread frame with this command exists. */
  has(command: ServerCommand): boolean {
    return this.frames.some((frame) => frame.command === command);
  }

  /** Frames received and not read yet. */
  get pending(): number {
    return this.frames.length;
  }

  // Called by the transport.

  data(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    try {
      for (;;) {
        const { frame, length, eols } = firstFrame(this.bytes, this.agreed ? this.version : null);
        this.eols += eols;
        this.bytes = this.bytes.subarray(length);
        if (frame === null) break;
        this.received(frame);
      }
    } catch (error) {
      this.failed(error as Error);
    }
    this.wake();
  }

  ended(): void {
    this.finish();
  }

  failed(error: Error): void {
    this.fail(error);
  }

  private received(parsed: Omit<Received, 'order'>): void {
    const frame = { ...parsed, order: this.order++ };
    this.context.note(`← ${described(frame)}`);
    if (frame.command === 'CONNECTED') {
      this.agreed = true;
      // Only 1.0 has no version header.
      const said = frame.headers.version as Version | undefined;
      if (said === undefined || VERSIONS.includes(said)) this.version = said ?? '1.0';
    }
    this.frames.push(frame);
  }
}

export function described({ command, headers, body }: Received): string {
  const fields = inspect({ ...headers }, { breakLength: Number.POSITIVE_INFINITY, maxStringLength: 60 });
  return shown(`${command} ${fields} '${body.subarray(0, 80)}'`);
}

function shown(text: string): string {
  const visible = text.replaceAll('\n', '⏎').replaceAll('\0', '∅').replaceAll('\r', '␍');
  return visible.length > SHOWN ? `${visible.slice(0, SHOWN)}…` : visible;
}
