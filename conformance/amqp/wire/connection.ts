// The checks' AMQP 0-9-1 connection. It sends any bytes, legal or not, and returns every method received, in order and
// by channel. What a broker may never send (a frame above frame-max, content frames out of order, a method with
// trailing bytes) fails the call that waits.

import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { inspect } from 'node:util';
import type { CheckContext, Endpoint } from '../../check.ts';
import { Conversation } from '../../conversation.ts';
import {
  decodeHeader,
  decodeMethod,
  encodeFrame,
  encodeHeader,
  encodeMethod,
  FRAME,
  FRAME_OVERHEAD,
  type Frame,
  firstFrame,
  PROTOCOL_HEADER,
} from './frames.ts';
import { type Args, type Call, METHODS, type MethodName, type Properties } from './methods.ts';
import { bool, type Table, table, text } from './table.ts';

export interface Content {
  readonly properties: Properties;
  readonly body: Buffer;
  /** Payload size of each body frame. */
  readonly frames: readonly number[];
}
export interface Received<N extends MethodName = MethodName> {
  readonly name: N;
  readonly args: Args<N>;
  /** Body of a method with content; empty for any other. */
  readonly content: Content;
  /** Its position among all methods of the connection. */
  readonly order: number;
}

export interface OpenOptions {
  readonly virtualHost?: string;
  readonly user?: string;
  readonly password?: string;
  readonly mechanism?: string;
  readonly response?: string | Buffer;
  readonly clientProperties?: Table;
  /** Replaces the broker's proposals. */
  readonly tune?: Partial<Args<'connection.tune-ok'>>;
}

/** Characters of a method's fields that are shown in the notes of a failure. */
const SHOWN = 240;

const NO_CONTENT: Content = { properties: {}, body: Buffer.alloc(0), frames: [] };

/** The client properties of RabbitMQ's clients; with them a broker sends notifications and reasons. */
export const CAPABILITIES: Table = {
  capabilities: table({
    publisher_confirms: bool(true),
    exchange_exchange_bindings: bool(true),
    'basic.nack': bool(true),
    consumer_cancel_notify: bool(true),
    'connection.blocked': bool(true),
    authentication_failure_close: bool(true),
  }),
  product: text('conformance'),
};

/** The incomplete content on one channel. */
interface Inbox {
  readonly received: Received[];
  partial: { method: Omit<Received, 'content'>; header: ReturnType<typeof decodeHeader> | null; body: Buffer[] } | null;
}

export class AmqpConnection extends Conversation {
  readonly endpoint: Endpoint;
  readonly signal: AbortSignal;
  /** TCP or WebSocket. */
  readonly socket: Duplex;
  /** The negotiated maximum frame size; 0 before tuning. */
  frameMax: number;
  heartbeats: number;
  private readonly note: (line: string) => void;
  private readonly inboxes: Map<number, Inbox>;
  private bytes: Buffer;
  private order: number;

  constructor(socket: Duplex, context: CheckContext) {
    super(context.signal);
    this.endpoint = context.endpoint;
    this.signal = context.signal;
    this.socket = socket;
    this.frameMax = 0;
    this.heartbeats = 0;
    this.note = context.note;
    this.inboxes = new Map();
    this.bytes = Buffer.alloc(0);
    this.order = 0;
    socket.on('data', (chunk: Buffer) => this.data(chunk));
    socket.on('error', () => {});
    socket.on('violation', (error: Error) => this.fail(error));
    socket.on('end', () => this.finish());
    socket.on('close', () => this.finish());
  }

  /** Opens a TCP connection that sends nothing and is closed when the check ends. */
  static async dial(context: CheckContext): Promise<AmqpConnection> {
    const { host, port } = context.endpoint;
    const socket = connect({ host, port, noDelay: true });
    context.after(() => {
      socket.destroy();
    });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new AmqpConnection(socket, context);
  }

  /** Sends the protocol header and returns connection.start. */
  async start(): Promise<Args<'connection.start'>> {
    this.raw(PROTOCOL_HEADER);
    return (await this.expect(0, 'connection.start')).args;
  }

  sendStartOk(options: OpenOptions = {}): void {
    const { user, password } = { ...this.endpoint, ...options };
    this.send(0, 'connection.start-ok', {
      clientProperties: options.clientProperties ?? CAPABILITIES,
      mechanism: options.mechanism ?? 'PLAIN',
      response: (options.response ?? `\0${user}\0${password}`) as string,
      locale: 'en_US',
    });
  }

  /** Start, start-ok and tune. */
  async login(options: OpenOptions = {}): Promise<Args<'connection.tune'>> {
    await this.start();
    this.sendStartOk(options);
    return (await this.expect(0, 'connection.tune')).args;
  }

  /** The whole handshake. Heartbeats are off by default: a check ends long before one is due. */
  async open(options: OpenOptions = {}): Promise<void> {
    const offered = await this.login(options);
    const tune = { ...offered, heartbeat: 0, ...options.tune };
    this.send(0, 'connection.tune-ok', tune);
    this.frameMax = tune.frameMax;
    this.send(0, 'connection.open', { virtualHost: options.virtualHost ?? '/' });
    await this.expect(0, 'connection.open-ok');
  }

  raw(bytes: Uint8Array): void {
    this.note(`→ ${bytes.length} bytes: ${Buffer.from(bytes).subarray(0, 32).toString('hex')}`);
    this.socket.write(bytes);
  }

  frame(type: number, channel: number, payload: Uint8Array): void {
    this.raw(encodeFrame(type, channel, payload));
  }

  send<N extends MethodName>(channel: number, name: N, args: Partial<Args<N>> = {}): void {
    this.note(`→ ${channel} ${name} ${shown(args)}`);
    this.socket.write(encodeFrame(FRAME.method, channel, encodeMethod(name, args)));
  }

  header(channel: number, bodySize: number, properties: Properties = {}): void {
    this.note(`→ ${channel} header ${bodySize} ${shown(properties)}`);
    this.socket.write(encodeFrame(FRAME.header, channel, encodeHeader(bodySize, properties)));
  }

  body(channel: number, payload: Uint8Array): void {
    this.note(`→ ${channel} body ${payload.length} bytes`);
    this.socket.write(encodeFrame(FRAME.body, channel, payload));
  }

  /** The next method on the channel. */
  receive(channel: number): Promise<Received> {
    return this.next(channel, 'something');
  }

  /** The next method on the channel, which must have this name. */
  async expect<N extends MethodName>(channel: number, name: N): Promise<Received<N>> {
    const next = await this.next(channel, name);
    if (next.name !== name) throw new Error(`expected ${name} on channel ${channel}, got ${described(next)}`);
    return next as unknown as Received<N>;
  }

  async call<N extends Call>(channel: number, name: N, args: Partial<Args<N>> = {}): Promise<Args<`${N}-ok`>> {
    this.send(channel, name, args);
    return (await this.expect(channel, `${name}-ok`)).args as Args<`${N}-ok`>;
  }

  /**
   * Expects the broker to close the connection with this code, answers, and waits for the end of the stream. Any other
   * method, on any channel, fails it.
   */
  async expectClose(code: number | readonly number[], textPattern?: RegExp): Promise<Args<'connection.close'>> {
    const before = this.order;
    await this.until(() => this.has(0) || this.order > before, 'connection.close');
    for (const { received } of this.inboxes.values()) {
      const instead = received.at(-1);
      if (instead !== undefined && instead.order >= before && !this.has(0))
        throw new Error(`expected connection.close, got ${described(instead)}`);
    }
    const { args } = await this.expect(0, 'connection.close');
    if (![code].flat().includes(args.replyCode)) {
      throw new Error(`expected a close with ${code}, got ${args.replyCode} ${args.replyText}`);
    }
    if (textPattern !== undefined && !textPattern.test(args.replyText)) {
      throw new Error(`expected a close with ${textPattern}, got '${args.replyText}'`);
    }
    this.send(0, 'connection.close-ok');
    await this.expectEnd();
    return args;
  }

  /** The broker ends the stream, possibly after a close with this code: before open it need not send one. */
  async expectRefusal(code: number | readonly number[]): Promise<void> {
    await this.until(() => this.finished || this.has(0), 'a close or the end');
    if (this.has(0)) await this.expectClose(code);
  }

  /** The broker ends the stream and sends nothing before that. */
  async expectEnd(): Promise<void> {
    const saysMore = (): boolean => [...this.inboxes.values()].some(({ received }) => received.length > 0);
    await this.until(() => this.finished || saysMore(), 'the end of the connection');
    for (const [channel, { received }] of this.inboxes) {
      if (received.length > 0)
        throw new Error(`expected the end, got ${described(received[0]!)} on channel ${channel}`);
    }
    if (this.bytes.length > 0)
      throw new Error(`malformed: the stream ends within a frame (${this.bytes.toString('hex')})`);
  }

  /** Bytes before the end of the stream that are not frames. */
  async expectBytesAndEnd(expected: Uint8Array): Promise<void> {
    let all = Buffer.alloc(0);
    this.socket.removeAllListeners('data');
    this.socket.on('data', (chunk: Buffer) => {
      all = Buffer.concat([all, chunk]);
      this.wake();
    });
    await this.until(() => this.finished || all.length > expected.length, 'the end of the connection');
    if (!all.equals(Buffer.from(expected)))
      throw new Error(`expected '${expected}', got '${all}' (${all.toString('hex')})`);
  }

  /** Fails if an unread method is on the channel. */
  expectNothing(channel: number): void {
    this.requireUnfailed();
    const [unexpected] = this.inbox(channel).received;
    if (unexpected !== undefined)
      throw new Error(`expected nothing on channel ${channel}, got ${described(unexpected)}`);
  }

  /** Whether an unread method is on the channel. */
  has(channel: number): boolean {
    return this.inbox(channel).received.length > 0;
  }

  /** Waits for a method on the channel; fails if the broker closes the connection instead. */
  private async next(channel: number, what: string): Promise<Received> {
    const { received } = this.inbox(channel);
    const closing = (): Received | undefined => {
      return channel === 0 ? undefined : this.inbox(0).received.find(({ name }) => name === 'connection.close');
    };
    await this.until(() => received.length > 0 || closing() !== undefined, `${what} on channel ${channel}`);
    const method = received.shift();
    if (method === undefined) throw new Error(`expected ${what} on channel ${channel}, got ${described(closing()!)}`);
    return method;
  }

  private data(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    try {
      for (let frame = firstFrame(this.bytes); frame !== null; frame = firstFrame(this.bytes)) {
        this.bytes = this.bytes.subarray(frame.payload.length + FRAME_OVERHEAD);
        this.received(frame);
      }
    } catch (error) {
      this.fail(error as Error);
    }
    this.wake();
  }

  private received({ type, channel, payload }: Frame): void {
    const size = payload.length + FRAME_OVERHEAD;
    if (this.frameMax > 0 && size > this.frameMax) throw new Error(`a frame of ${size} bytes beyond ${this.frameMax}`);
    const inbox = this.inbox(channel);
    switch (type) {
      case FRAME.method: {
        if (inbox.partial !== null) throw new Error(`a method within the content of ${inbox.partial.method.name}`);
        const { name, args } = decodeMethod(payload);
        const method = { name, args: args as unknown as Received['args'], order: this.order++ };
        if (METHODS[name].content) inbox.partial = { method, header: null, body: [] };
        else this.deliver(inbox, channel, { ...method, content: NO_CONTENT });
        return;
      }
      case FRAME.header:
        if (inbox.partial === null || inbox.partial.header !== null) throw new Error('a content header out of place');
        inbox.partial.header = decodeHeader(payload);
        break;
      case FRAME.body:
        if (inbox.partial?.header == null) throw new Error('a content body out of place');
        inbox.partial.body.push(payload);
        break;
      case FRAME.heartbeat:
        if (channel !== 0 || payload.length > 0) throw new Error('a heartbeat on a channel or with a payload');
        this.heartbeats++;
        this.note('← heartbeat');
        return;
      default:
        throw new Error(`malformed: a frame of type ${type}`);
    }
    const { method, header, body } = inbox.partial;
    const left = header.bodySize - body.reduce((sum, { length }) => sum + BigInt(length), 0n);
    if (left < 0n) throw new Error('a content body beyond the size of its header');
    if (left > 0n) return;
    inbox.partial = null;
    const content = {
      properties: header.properties,
      body: Buffer.concat(body),
      frames: body.map(({ length }) => length),
    };
    this.deliver(inbox, channel, { ...method, content });
  }

  private deliver(inbox: Inbox, channel: number, method: Received): void {
    this.note(`← ${channel} ${described(method)}`);
    inbox.received.push(method);
  }

  private inbox(channel: number): Inbox {
    let inbox = this.inboxes.get(channel);
    if (inbox === undefined) this.inboxes.set(channel, (inbox = { received: [], partial: null }));
    return inbox;
  }
}

function described({ name, args, content }: Received): string {
  return METHODS[name].content ? `${name} ${shown(args)} '${content.body.subarray(0, 40)}'` : `${name} ${shown(args)}`;
}

function shown(value: object): string {
  const text = inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 4, maxStringLength: 60 });
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}
