// One AMQP connection: protocol header, handshake, channels, heartbeats, the end. It hands frames to their channels in
// order and one at a time: while a control operation is under way it parses nothing and stops reading, so commands
// never overtake each other and what a client sends meanwhile stays in its socket.
//
// Invariant: whatever the peer sends ends in a method, in the protocol's own error, or in a closed connection.

import type { ClientConnection, ConnectionInfo } from '../../src/core/client-connection.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE, type FieldTable } from '../../src/core/field-table.ts';
import type { FrontEnd } from '../../src/core/front-end.ts';
import type { Identity, Meters } from '../../src/core/ports.ts';
import { FULL_CHUNK_BYTES, PUBLISHES_A_TURN, PublisherRest } from '../../src/core/publisher-rest.ts';
import type { Session } from '../../src/core/session.ts';
import type { Turn } from '../../src/core/turn.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { type Ticked, ticksFor } from '../../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import { AmqpError, isChannelScope, REPLY, replyFor } from './amqp-error.ts';
import { AmqpChannel, type ChannelConnection, unknownMethod } from './channel.ts';
import { FRAME, FRAME_OVERHEAD_BYTES, FrameParser, type FrameSink } from './frames.ts';
import type { AmqpFrontEnd } from './front-end.ts';
import { Heartbeat } from './heartbeat.ts';
import {
  bareMethod,
  channelOpenOk,
  closeMethod,
  connectionBlocked,
  connectionOpenOk,
  connectionStart,
  connectionTune,
  HEARTBEAT_FRAME,
  PROTOCOL_HEADER,
} from './method-frames.ts';
import { METHOD } from './method-ids.ts';
import { readClose, readConnectionOpen, readStartOk, readTuneOk } from './methods.ts';
import type { PropertyScanner } from './properties.ts';
import { Reader } from './reader.ts';
import { MECHANISMS, readLogin } from './sasl.ts';
import {
  type ClientCapabilities,
  clientCapabilities,
  connectionName,
  NO_CAPABILITIES,
  serverProperties,
} from './server-properties.ts';
import type { ShortStringCache, ShortStringEncoder } from './short-string.ts';
import { checkTuning, FRAME_MIN_BYTES, UNTUNED_FRAME_BYTES } from './tuning.ts';

/** What the client has to send next; in order, a connection only moves forward. */
const STATE = { header: 0, startOk: 1, tuneOk: 2, open: 3, running: 4, closing: 5, closed: 6 } as const;
type State = (typeof STATE)[keyof typeof STATE];

/** How long we wait for connection.close-ok before the socket is closed without it. */
const CLOSE_OK_TICKS = ticksFor(3000);

export class AmqpConnection implements TransportHandler, ClientConnection, FrameSink, ChannelConnection, Ticked {
  readonly id: number;
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly names: ShortStringCache;
  readonly encodedNames: ShortStringEncoder;
  readonly scanner: PropertyScanner;
  readonly maxMessageBytes: number;
  readonly unackedPerChannel: number;
  readonly consumersPerChannel: number;
  maxPayloadBytes: number;
  private readonly transport: Transport;
  private readonly frontEnd: AmqpFrontEnd;
  private readonly context: FrontEnd;
  private readonly parser: FrameParser;
  private readonly connectedAt: number;
  private state: State;
  private headerBytes: number;
  /** Who it says it is; who it is. */
  private user: string;
  private identity: Identity | null;
  private clientProperties: FieldTable;
  private capabilities: ClientCapabilities;
  private loggedIn: Session | null;
  private channelMax: number;
  private channelCount: number;
  /** By number; holes and nulls where no channel is open. */
  private readonly channels: (AmqpChannel | null)[];
  private heartbeat: Heartbeat;
  /** Ticks spent in the handshake, or waiting for close-ok. */
  private ticks: number;
  /** A control operation is under way. */
  private busy: boolean;
  /** Publishes since the last rest; whether there ever was one. */
  private published: number;
  private publishes: boolean;
  private readonly rest: PublisherRest;
  /** Why publishing is held, or null; and whether the client was told. */
  private heldFor: string | null;
  private toldBlocked: boolean;
  private paused: boolean;
  /** The transport is gone; what we hold is given back once no operation is under way. */
  private gone: boolean;

  constructor(transport: Transport, frontEnd: AmqpFrontEnd) {
    const { context, limits } = frontEnd;
    this.id = context.connections.nextId();
    this.outbox = transport.outbox;
    this.turn = context.turn;
    this.meters = context.meters;
    this.names = frontEnd.names;
    this.encodedNames = frontEnd.encodedNames;
    this.scanner = frontEnd.scanner;
    this.maxMessageBytes = context.messageBytes;
    this.unackedPerChannel = context.unackedPerChannel;
    this.consumersPerChannel = limits.consumersPerChannel;
    this.maxPayloadBytes = FRAME_MIN_BYTES - FRAME_OVERHEAD_BYTES;
    this.transport = transport;
    this.frontEnd = frontEnd;
    this.context = context;
    this.parser = new FrameParser(this, UNTUNED_FRAME_BYTES - FRAME_OVERHEAD_BYTES);
    this.connectedAt = Date.now();
    this.state = STATE.header;
    this.headerBytes = 0;
    this.user = '';
    this.identity = null;
    this.clientProperties = EMPTY_TABLE;
    this.capabilities = NO_CAPABILITIES;
    this.loggedIn = null;
    this.channelMax = limits.channelMax;
    this.channelCount = 0;
    this.channels = [];
    this.heartbeat = new Heartbeat(0);
    this.ticks = 0;
    this.busy = false;
    this.published = 0;
    this.publishes = false;
    this.rest = new PublisherRest(context.turn, () => this.updateReading());
    this.heldFor = null;
    this.toldBlocked = false;
    this.paused = false;
    this.gone = false;
    frontEnd.ticker.add(this);
  }

  /** The session of a connection that is open. */
  get session(): Session {
    return this.loggedIn!;
  }

  get notifiesCancel(): boolean {
    return this.capabilities.consumerCancelNotify;
  }

  data(chunk: Buffer): void {
    this.turn.begin();
    const frames = this.state === STATE.header ? this.protocolHeader(chunk) : chunk;
    if (frames === null) return;
    this.parse(frames);
    if (this.published >= PUBLISHES_A_TURN && chunk.length >= FULL_CHUNK_BYTES && this.loggedIn !== null) {
      this.published = 0;
      this.rest.begin(this.loggedIn);
    }
  }

  drained(): void {
    this.turn.begin();
    for (const channel of this.channels) channel?.resumeConsumers();
  }

  closed(error: Error | null): void {
    this.turn.begin();
    this.gone = true;
    this.rest.end();
    this.parser.stop();
    this.frontEnd.ticker.remove(this);
    const wasOpen = this.loggedIn !== null;
    const orderly = this.state === STATE.closed;
    this.state = STATE.closed;
    if (!this.busy) this.giveBack();
    if (!wasOpen) return;
    const details = { connection: this.id, peer: this.transport.peer, user: this.user };
    if (orderly) this.context.log.info(details, 'AMQP connection closed');
    else this.context.log.warn({ ...details, error: error?.message }, 'AMQP connection closed without a close method');
  }

  tick(): void {
    switch (this.state) {
      case STATE.running:
        break;
      case STATE.closing:
        if (++this.ticks > CLOSE_OK_TICKS) this.end();
        return;
      case STATE.closed:
        return;
      default:
        if (++this.ticks <= ticksFor(this.context.unauthenticatedMs)) return;
        this.refused('the handshake took too long');
        this.end();
        return;
    }
    if (this.heartbeat.isDead(this.transport.bytesRead, !this.paused)) {
      this.context.log.warn({ connection: this.id, peer: this.transport.peer }, 'AMQP client missed its heartbeats');
      this.end();
      return;
    }
    if (this.heartbeat.isDue(this.transport.bytesWritten)) this.send(HEARTBEAT_FRAME);
  }

  info(): ConnectionInfo {
    return {
      protocol: 'AMQP 0-9-1',
      user: this.loggedIn?.identity.user ?? null,
      vhost: this.loggedIn?.vhost.name ?? null,
      peer: this.transport.peer,
      secure: this.transport.secure,
      connectedAt: this.connectedAt,
      channels: this.channelCount,
      bytesRead: this.transport.bytesRead,
      bytesWritten: this.transport.bytesWritten,
      state: this.stateName(),
      clientProperties: this.clientProperties,
      name: connectionName(this.clientProperties),
    };
  }

  block(reason: string, alarm: boolean): void {
    this.heldFor = reason;
    this.updateReading();
    if (!alarm || this.toldBlocked || !this.capabilities.connectionBlocked || this.state !== STATE.running) return;
    this.toldBlocked = true;
    this.send(connectionBlocked(reason));
  }

  unblock(): void {
    this.heldFor = null;
    this.updateReading();
    if (!this.toldBlocked) return;
    this.toldBlocked = false;
    if (this.state === STATE.running) this.send(bareMethod(0, METHOD.connectionUnblocked));
  }

  shutdown(reason: string): void {
    this.turn.begin();
    if (this.state < STATE.startOk) this.end();
    else
      this.fail(new AmqpError(REPLY.connectionForced, `broker forced connection closure with reason '${reason}'`), 0);
  }

  /** A violation ends the connection here; only framing errors, after which nothing can be parsed, go further. */
  frame(type: number, channelNumber: number, buffer: Buffer, at: number, end: number, limit: number): number {
    try {
      return this.dispatch(type, channelNumber, buffer, at, end, limit);
    } catch (error) {
      if (error instanceof AmqpError && error.code === REPLY.frameError) throw error;
      this.fail(error, type === FRAME.method && end - at >= 4 ? buffer.readUInt32BE(at) : 0);
      return end + 1;
    }
  }

  private dispatch(
    type: number,
    channelNumber: number,
    buffer: Buffer,
    at: number,
    end: number,
    limit: number,
  ): number {
    switch (type) {
      case FRAME.method: {
        if (end - at < 4) throw new AmqpError(REPLY.syntaxError, 'method frame is cut short');
        const method = ((buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!) >>> 0;
        const channel = this.channels[channelNumber];
        if (channel !== null && channel !== undefined && !channel.closing && !channel.publishing.assembling) {
          if (method === METHOD.basicPublish) {
            if (!this.publishes) this.firstPublish();
            this.published++;
            return channel.publishing.publish(buffer, at + 4, end, limit);
          }
          // delivery-tag(longlong) multiple(bit)
          if (method === METHOD.basicAck && end - at === 13) {
            const tag = buffer.readUInt32BE(at + 4) * 0x100000000 + buffer.readUInt32BE(at + 8);
            channel.acknowledge(tag, (buffer[at + 12]! & 1) !== 0);
            return end + 1;
          }
        }
        this.method(channelNumber, method, new Reader(buffer, at + 4, end));
        return end + 1;
      }
      case FRAME.header: {
        const channel = this.contentChannel(channelNumber);
        if (channel !== null) channel.publishing.header(buffer, at, end);
        return end + 1;
      }
      case FRAME.body: {
        const channel = this.contentChannel(channelNumber);
        if (channel !== null) channel.publishing.body(buffer, at, end);
        return end + 1;
      }
      case FRAME.heartbeat:
        // §4.2.7: on channel 0, without payload.
        if (channelNumber !== 0 || end !== at) throw new AmqpError(REPLY.frameError, 'invalid heartbeat frame');
        return end + 1;
      default:
        throw new AmqpError(REPLY.frameError, `unknown frame type ${type}`);
    }
  }

  /** Nothing is said after connection.close. */
  send(frame: Buffer): void {
    if (this.state <= STATE.running) this.write(frame);
  }

  suspendFor(work: Promise<void>, channel: AmqpChannel, method: number): void {
    this.wait(work, (error) => this.failChannel(channel, error, method));
  }

  /** An error of a channel: closes the channel or, where its code says so, the connection. */
  failChannel(channel: AmqpChannel, error: unknown, method: number): void {
    const reply = replyFor(error);
    if (!isChannelScope(reply.code)) {
      this.fail(error, method);
      return;
    }
    if (channel.closing || this.state !== STATE.running) return;
    channel.closing = true;
    channel.release();
    this.context.log.info(
      { connection: this.id, channel: channel.number, error: reply.message },
      'AMQP channel closed with an error',
    );
    this.send(closeMethod(channel.number, METHOD.channelClose, reply, method));
  }

  private write(frame: Buffer): void {
    this.outbox.append(frame, 0, frame.length);
  }

  private parse(chunk: Buffer): void {
    try {
      this.parser.feed(chunk);
    } catch (error) {
      this.framingFailed(error);
    }
  }

  /** Frames can no longer be told apart: not even close-ok could be recognised. */
  private framingFailed(error: unknown): void {
    this.fail(error, 0);
    this.end();
  }

  /** §4.2.2: `AMQP`, 0, and the version 0-9-1. Returns what follows it, or null. */
  private protocolHeader(chunk: Buffer): Buffer | null {
    let at = 0;
    while (at < chunk.length && this.headerBytes < PROTOCOL_HEADER.length) {
      if (chunk[at++] !== PROTOCOL_HEADER[this.headerBytes++]) {
        this.refused('it does not speak AMQP 0-9-1');
        this.send(PROTOCOL_HEADER);
        this.end();
        return null;
      }
    }
    if (this.headerBytes < PROTOCOL_HEADER.length) return null;
    this.state = STATE.startOk;
    this.send(connectionStart(serverProperties(this.context.version), MECHANISMS));
    return chunk.subarray(at);
  }

  private method(channelNumber: number, method: number, reader: Reader): void {
    if (this.state === STATE.closing) {
      if (channelNumber === 0) this.closingMethod(method);
      return;
    }
    if (channelNumber === 0) {
      this.connectionMethod(method, reader);
      return;
    }
    if (this.state !== STATE.running) {
      throw new AmqpError(REPLY.commandInvalid, 'the connection is not open yet');
    }
    if (method >>> 16 === 10) throw new AmqpError(REPLY.commandInvalid, 'connection methods belong to channel 0');
    const channel = this.channels[channelNumber] ?? null;
    if (channel === null) {
      if (method !== METHOD.channelOpen) throw new AmqpError(REPLY.channelError, "expected 'channel.open'");
      this.openChannel(channelNumber);
      return;
    }
    if (method === METHOD.channelCloseOk) {
      if (!channel.closing) throw unknownMethod(method);
      this.forget(channel);
      return;
    }
    if (method === METHOD.channelClose) {
      readClose(reader);
      this.send(bareMethod(channelNumber, METHOD.channelCloseOk));
      if (!channel.closing) this.forget(channel);
      return;
    }
    if (channel.closing) return;
    if (channel.publishing.assembling) {
      throw new AmqpError(
        REPLY.unexpectedFrame,
        'expected content header or body for class 60, got non content frame instead',
      );
    }
    if (method === METHOD.channelOpen) throw new AmqpError(REPLY.channelError, "second 'channel.open' seen");
    try {
      channel.method(method, reader);
    } catch (error) {
      this.failChannel(channel, error, method);
    }
  }

  private connectionMethod(method: number, reader: Reader): void {
    switch (method) {
      case METHOD.connectionStartOk:
        this.require(STATE.startOk, method);
        this.startOk(reader);
        break;
      case METHOD.connectionTuneOk:
        this.require(STATE.tuneOk, method);
        this.tuneOk(reader);
        break;
      case METHOD.connectionOpen:
        this.require(STATE.open, method);
        this.open(readConnectionOpen(reader).vhost);
        break;
      case METHOD.connectionClose:
        readClose(reader);
        // First, so that a client that has seen close-ok finds its messages requeued and its exclusive queues gone.
        this.giveBack();
        this.send(bareMethod(0, METHOD.connectionCloseOk));
        this.end();
        break;
      case METHOD.connectionUpdateSecret:
        this.require(STATE.running, method);
        // Nothing of ours expires with a secret: RabbitMQ's answer for plain credentials.
        this.send(bareMethod(0, METHOD.connectionUpdateSecretOk));
        break;
      default:
        throw method >>> 16 === 10
          ? unknownMethod(method)
          : new AmqpError(REPLY.commandInvalid, 'only connection methods belong to channel 0');
    }
  }

  private closingMethod(method: number): void {
    if (method === METHOD.connectionClose) this.write(bareMethod(0, METHOD.connectionCloseOk));
    if (method === METHOD.connectionCloseOk || method === METHOD.connectionClose) this.end();
  }

  private startOk(reader: Reader): void {
    const { clientProperties, mechanism, response } = readStartOk(reader);
    this.clientProperties = clientProperties;
    this.capabilities = clientCapabilities(clientProperties);
    const { user, password } = readLogin(mechanism, response);
    this.user = user;
    const { door } = this.context;
    const login = door.identify(user, password, this.transport.loopback).then((identity) => {
      this.identity = identity;
      this.state = STATE.tuneOk;
      const { channelMax, frameMaxBytes, heartbeatSeconds } = this.frontEnd.limits;
      this.send(connectionTune(channelMax, frameMaxBytes, heartbeatSeconds));
    });
    this.wait(login, (error) => this.loginFailed(error, mechanism));
  }

  private tuneOk(reader: Reader): void {
    const { channelMax, frameMax, heartbeatSeconds } = readTuneOk(reader);
    const { limits } = this.frontEnd;
    checkTuning('frame_max', frameMax, limits.frameMaxBytes, FRAME_MIN_BYTES);
    checkTuning('channel_max', channelMax, limits.channelMax, 1);
    this.channelMax = channelMax;
    this.maxPayloadBytes = frameMax - FRAME_OVERHEAD_BYTES;
    this.parser.maxPayloadBytes = this.maxPayloadBytes;
    this.heartbeat = new Heartbeat(heartbeatSeconds);
    this.state = STATE.open;
  }

  private open(vhost: string): void {
    try {
      this.loggedIn = this.context.door.enter(this.identity!, vhost);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      this.refused(error.message);
      throw new AmqpError(REPLY.notAllowed, error.message);
    }
    this.state = STATE.running;
    this.send(connectionOpenOk());
    this.context.connections.add(this);
    const name = connectionName(this.clientProperties);
    this.context.log.info(
      { connection: this.id, peer: this.transport.peer, user: this.user, vhost, name },
      'AMQP connection opened',
    );
  }

  private loginFailed(error: unknown, mechanism: string): void {
    if (!(error instanceof BrokerError)) {
      this.fail(error, METHOD.connectionStartOk);
      return;
    }
    this.refused(error.message);
    if (!this.capabilities.authenticationFailureClose) {
      this.end();
      return;
    }
    const text = `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`;
    this.fail(new AmqpError(REPLY.accessRefused, text), 0);
  }

  private openChannel(number: number): void {
    if (number > this.channelMax) {
      const text = `number of channels opened (${this.channelCount}) has reached the negotiated channel_max (${this.channelMax})`;
      throw new AmqpError(REPLY.notAllowed, text);
    }
    while (this.channels.length <= number) this.channels.push(null);
    this.channels[number] = new AmqpChannel(number, this);
    this.channelCount++;
    this.send(channelOpenOk(number));
  }

  private forget(channel: AmqpChannel): void {
    channel.release();
    this.channels[channel.number] = null;
    this.channelCount--;
  }

  /** The channel that a content frame belongs to; null where it is to be ignored. */
  private contentChannel(number: number): AmqpChannel | null {
    if (this.state === STATE.closing) return null;
    const channel = this.channels[number] ?? null;
    if (channel === null) {
      if (number === 0) throw new AmqpError(REPLY.unexpectedFrame, 'content frame on channel 0');
      throw new AmqpError(REPLY.channelError, "expected 'channel.open'");
    }
    return channel.closing ? null : channel;
  }

  private firstPublish(): void {
    this.publishes = true;
    this.updateReading();
  }

  /** Parses nothing more until `work` is done; then goes on behind the frame that asked for it. */
  private wait(work: Promise<void>, onError: (error: unknown) => void): void {
    this.busy = true;
    this.parser.suspend();
    this.updateReading();
    work.then(
      () => this.goOn(),
      (error) => {
        this.turn.begin();
        if (!this.gone) onError(error);
        this.goOn();
      },
    );
  }

  private goOn(): void {
    this.busy = false;
    if (this.gone) {
      this.giveBack();
      return;
    }
    this.turn.begin();
    try {
      this.parser.resume();
    } catch (error) {
      this.framingFailed(error);
    }
    this.updateReading();
  }

  private updateReading(): void {
    const pause =
      this.busy || this.rest.resting || (this.heldFor !== null && this.publishes && this.state === STATE.running);
    if (pause === this.paused) return;
    this.paused = pause;
    if (pause) this.transport.pause();
    else this.transport.resume();
  }

  /** Ends the connection with an error: tells the client and waits for its close-ok. */
  private fail(error: unknown, method: number): void {
    if (this.state >= STATE.closing) return;
    const reply = replyFor(error);
    const details = { connection: this.id, peer: this.transport.peer, error: reply.message };
    if (reply.code === REPLY.internalError)
      this.context.log.error({ ...details, cause: error }, 'AMQP connection failed');
    else this.context.log.warn(details, 'AMQP connection closed with an error');
    for (const channel of this.channels) channel?.release();
    this.channels.length = 0;
    this.send(closeMethod(0, METHOD.connectionClose, reply, method));
    this.state = STATE.closing;
    this.ticks = 0;
    // Backpressure must not keep us from hearing close-ok.
    this.updateReading();
  }

  private end(): void {
    this.state = STATE.closed;
    this.parser.stop();
    this.transport.end();
  }

  private giveBack(): void {
    for (const channel of this.channels) channel?.release();
    this.channels.length = 0;
    this.loggedIn?.close();
    this.context.connections.remove(this);
  }

  private refused(why: string): void {
    this.context.log.warn({ peer: this.transport.peer, user: this.user, reason: why }, 'AMQP connection refused');
  }

  private require(state: State, method: number): void {
    if (this.state !== state) throw unknownMethod(method);
  }

  private stateName(): string {
    if (this.state === STATE.running) return this.heldFor !== null && this.publishes ? 'blocked' : 'running';
    return this.state < STATE.running ? 'starting' : 'closing';
  }
}
