// One AMQP connection: protocol header, handshake, channels, heartbeats, the end. It hands frames to their channels in
// order and one at a time: while a control operation is under way it parses nothing and stops reading, so commands
// never overtake each other and what a client sends meanwhile stays in its socket.
//
// Invariant: whatever the peer sends ends in a method, in the protocol's own error, or in a closed connection.

import { BrokerError } from '../../src/core/errors.ts';
import { countLimit } from '../../src/core/ports/limit-hits.ts';
import type { Meters } from '../../src/core/ports/meters.ts';
import type { ClientConnection, ConnectionInfo } from '../../src/core/session/client-connection.ts';
import { type Debtor, excessOf, type MemoryAccount, type MemoryLimit } from '../../src/core/session/memory-ledger.ts';
import { PublisherThrottle } from '../../src/core/session/publisher-throttle.ts';
import type { Session } from '../../src/core/session/session.ts';
import type { Turn } from '../../src/core/turn/turn.ts';
import type { WorkDescription, Worker } from '../../src/core/turn/turn-watch.ts';
import { MESSAGE_KIND } from '../../src/net/message-kind.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import { type GatedInput, ReadGate } from '../../src/net/read-gate.ts';
import { type Ticked, ticksFor } from '../../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import { AmqpError, isChannelScope, REPLY, replyFor } from './amqp-error.ts';
import type { AmqpChannel, ChannelConnection } from './channel.ts';
import { Channels } from './channels.ts';
import type { AmqpContext } from './context.ts';
import { FRAME, FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES, FrameParser, type FrameSink } from './frames.ts';
import { Handshake, type HandshakeConnection } from './handshake.ts';
import { Heartbeat } from './heartbeat.ts';
import { bareMethod, closeMethod, connectionBlocked, HEARTBEAT_FRAME } from './method-frames.ts';
import { METHOD } from './method-ids.ts';
import { readClose, readUpdateSecret } from './methods.ts';
import { Reader } from './reader.ts';
import { FRAME_MIN_BYTES, UNTUNED_FRAME_BYTES } from './tuning.ts';
import { isKnownMethod, unknownMethod } from './unknown-method.ts';

/** In order; a connection only moves forward. */
const STATE = { handshake: 0, running: 1, closing: 2, closed: 3 } as const;
type State = (typeof STATE)[keyof typeof STATE];

/** Memory of an open channel: its parser, caches and maps. Measured with 2,000 channels that have published. */
const CHANNEL_BYTES = 8 * 1024;
/** How long we wait for connection.close-ok before the socket is closed without it. */
const CLOSE_OK_TICKS = ticksFor(3000);

export class AmqpConnection
  implements
    TransportHandler,
    ClientConnection,
    Debtor,
    FrameSink,
    ChannelConnection,
    HandshakeConnection,
    GatedInput,
    Ticked,
    Worker
{
  readonly id: number;
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly context: AmqpContext;
  maxPayloadBytes: number;
  channelMax: number;
  readonly transacted: { bytes: number };
  readonly unfinished: { bytes: number };
  private readonly transport: Transport;
  private readonly parser: FrameParser;
  private readonly handshake: Handshake;
  private readonly channels: Channels;
  private readonly account: MemoryAccount;
  private readonly connectedAt: number;
  private state: State;
  private loggedIn: Session | null;
  private heartbeat: Heartbeat;
  /** Ticks spent waiting for close-ok. */
  private ticks: number;
  private readonly gate: ReadGate;
  private readonly throttle: PublisherThrottle;
  /** Whether the client was told that its publishes are held. */
  private blockedNotified: boolean;
  /** The transport is gone; what we hold is given back once no operation is under way. */
  private gone: boolean;

  constructor(transport: Transport, context: AmqpContext) {
    const { limits } = context;
    this.id = context.connections.nextId();
    this.outbox = transport.outbox;
    this.turn = context.turn;
    this.meters = context.meters;
    this.context = context;
    this.maxPayloadBytes = FRAME_MIN_BYTES - FRAME_OVERHEAD_BYTES;
    this.channelMax = limits.channelMax;
    this.transacted = { bytes: 0 };
    this.unfinished = { bytes: 0 };
    this.transport = transport;
    this.context = context;
    this.parser = new FrameParser(this, UNTUNED_FRAME_BYTES - FRAME_OVERHEAD_BYTES);
    this.handshake = new Handshake(this, context, transport);
    this.channels = new Channels(this);
    this.account = context.memory.open(this, transport.address);
    this.connectedAt = Date.now();
    this.state = STATE.handshake;
    this.loggedIn = null;
    this.heartbeat = new Heartbeat(0);
    this.ticks = 0;
    this.gate = new ReadGate(transport, this);
    this.gate.expectLogin();
    this.throttle = new PublisherThrottle(context.turn, this.gate);
    this.blockedNotified = false;
    this.gone = false;
    context.ticker.add(this);
    // In the handshake too: a stop waits for nobody who could not be told.
    context.connections.add(this);
  }

  /** The session of a connection that is open. */
  get session(): Session {
    return this.loggedIn!;
  }

  get notifiesCancel(): boolean {
    return this.handshake.capabilities.consumerCancelNotify;
  }

  data(chunk: Buffer): void {
    this.turn.input(chunk.length);
    this.received(chunk);
    this.account.update(this.heldBytes());
    this.turn.inputHandled(this);
  }

  /** Memory that the connection holds beside messages in queues. */
  private heldBytes(): number {
    const { parser, unfinished, transacted, outbox, handshake, channels } = this;
    const consumers = this.loggedIn === null ? 0 : this.loggedIn.consumerBytes;
    const work = parser.heldBytes + unfinished.bytes + transacted.bytes + outbox.unsentBytes;
    return work + handshake.propertyBytes + channels.count * CHANNEL_BYTES + consumers;
  }

  exceeded(limit: MemoryLimit): void {
    this.turn.begin();
    if (this.state >= STATE.closing) this.transport.destroy();
    else this.fail(new AmqpError(REPLY.resourceError, excessOf(limit), limit), 0);
  }

  describeWork(): WorkDescription {
    const { user, vhost } = this.handshake;
    return { work: 'AMQP input', connection: this.id, peer: this.transport.peer, user, vhost };
  }

  private received(chunk: Buffer): void {
    if (this.transport.lastMessageKind === MESSAGE_KIND.text) {
      this.refuseText();
      return;
    }
    const frames = this.handshake.greeted ? chunk : this.handshake.header(chunk);
    if (frames === null) return;
    this.parse(frames);
    if (this.gate.publishes) this.throttle.afterChunk(chunk.length, this.session);
    this.gate.inputHandled();
  }

  drained(): void {
    this.turn.begin();
    this.gate.drained();
    this.channels.resumeConsumers();
    this.account.update(this.heldBytes());
  }

  closed(error: Error | null): void {
    this.turn.begin();
    this.gone = true;
    this.gate.end();
    this.throttle.end();
    this.parser.stop();
    this.context.ticker.remove(this);
    const wasOpen = this.loggedIn !== null;
    const orderly = this.state === STATE.closed;
    this.state = STATE.closed;
    if (!this.gate.workPending) this.releaseAll();
    if (!wasOpen) return;
    const details = { connection: this.id, peer: this.transport.peer, user: this.handshake.user };
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
      case STATE.handshake:
        if (this.handshake.tick()) this.end();
        return;
      default:
        this.state satisfies never;
    }
    if (this.heartbeat.isDead(this.transport.bytesRead, this.transport.reading)) {
      this.context.log.warn({ connection: this.id, peer: this.transport.peer }, 'AMQP client missed its heartbeats');
      this.end();
      return;
    }
    if (this.heartbeat.isDue(this.transport.bytesWritten)) this.send(HEARTBEAT_FRAME);
  }

  info(): ConnectionInfo {
    const { clientProperties, name } = this.handshake;
    return {
      protocol: 'AMQP 0-9-1',
      user: this.loggedIn?.identity.user ?? null,
      vhost: this.loggedIn?.vhost.name ?? null,
      peer: this.transport.peer,
      secure: this.transport.secure,
      connectedAt: this.connectedAt,
      channels: this.channels.count,
      bytesRead: this.transport.bytesRead,
      bytesWritten: this.transport.bytesWritten,
      state: this.stateName(),
      clientProperties,
      name,
    };
  }

  block(reason: string, alarm: boolean): void {
    this.gate.hold(true);
    if (
      !alarm ||
      this.blockedNotified ||
      !this.handshake.capabilities.connectionBlocked ||
      this.state !== STATE.running
    )
      return;
    this.blockedNotified = true;
    this.send(connectionBlocked(reason));
  }

  unblock(): void {
    this.gate.hold(false);
    if (!this.blockedNotified) return;
    this.blockedNotified = false;
    if (this.state === STATE.running) this.send(bareMethod(0, METHOD.connectionUnblocked));
  }

  shutdown(reason: string): void {
    this.turn.begin();
    if (!this.handshake.greeted) this.end();
    else
      this.fail(new AmqpError(REPLY.connectionForced, `broker forced connection closure with reason '${reason}'`), 0);
  }

  /** A violation ends the connection here; only framing errors, after which nothing can be parsed, go further. */
  frame(type: number, channelNumber: number, buffer: Buffer, at: number, end: number, limit: number): number {
    try {
      return this.dispatch(type, channelNumber, buffer, at, end, limit);
    } catch (error) {
      if (error instanceof AmqpError && error.code === REPLY.frameError) throw error;
      this.fail(error, this.faulty(type, channelNumber, buffer, at));
      return end + 1;
    }
  }

  /** The method at fault, for the client to know: where content was expected, the one that it belongs to; else 0. */
  private faulty(type: number, channelNumber: number, buffer: Buffer, at: number): number {
    if (this.channels.byNumber[channelNumber]?.content.assembling) return METHOD.basicPublish;
    return type === FRAME.method ? buffer.readUInt32BE(at) : 0;
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
        if (end - at < 4) throw new AmqpError(REPLY.frameError, 'method frame is cut short');
        const method = ((buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!) >>> 0;
        const channel = this.channels.byNumber[channelNumber];
        if (channel !== null && channel !== undefined && !channel.closing && !channel.content.assembling) {
          if (method === METHOD.basicPublish) {
            if (!this.gate.mayPublish()) {
              this.parser.suspend();
              return at - FRAME_HEADER_BYTES;
            }
            this.throttle.published++;
            return channel.content.publish(buffer, at + 4, end, limit);
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
        if (channel !== null) channel.content.header(buffer, at, end);
        return end + 1;
      }
      case FRAME.body: {
        const channel = this.contentChannel(channelNumber);
        if (channel !== null) channel.content.body(buffer, at, end);
        return end + 1;
      }
      case FRAME.heartbeat:
        // §4.2.7: on channel 0, without payload.
        if (end !== at) throw new AmqpError(REPLY.frameError, 'heartbeat frame with a payload');
        if (channelNumber !== 0) throw new AmqpError(REPLY.unexpectedFrame, 'heartbeat frame on a channel');
        return end + 1;
      default:
        throw new AmqpError(REPLY.frameError, `unknown frame type ${type}`);
    }
  }

  /** Nothing is said after connection.close. */
  send(frame: Buffer): void {
    if (this.state <= STATE.running) this.write(frame);
  }

  broken(): void {
    this.transport.fault();
  }

  sayFault(): boolean {
    if (this.state !== STATE.running && !(this.state === STATE.handshake && this.handshake.greeted)) return false;
    this.write(closeMethod(0, METHOD.connectionClose, replyFor(null), 0));
    this.gate.end();
    this.parser.stop();
    return true;
  }

  tickFailed(): void {
    this.broken();
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
    countLimit(this.meters.limitHits, error);
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

  /** Text is for characters [RFC 6455 §5.6], and a client that sends it has lost its bytes to an encoding by now. */
  private refuseText(): void {
    if (this.state !== STATE.running) this.end();
    else this.fail(new AmqpError(REPLY.frameError, 'a WebSocket message of text'), 0);
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

  private method(channelNumber: number, method: number, reader: Reader): void {
    switch (this.state) {
      case STATE.handshake:
        if (channelNumber !== 0) throw new AmqpError(REPLY.commandInvalid, 'the connection is not open yet');
        if (method === METHOD.connectionClose) this.close(reader);
        else this.opening(method, reader);
        return;
      case STATE.running:
        if (channelNumber === 0) this.connectionMethod(method, reader);
        else this.channels.method(channelNumber, method, reader);
        return;
      case STATE.closing:
        if (channelNumber === 0) this.closingMethod(method);
        return;
      case STATE.closed:
        return;
      default:
        this.state satisfies never;
    }
  }

  private opening(method: number, reader: Reader): void {
    this.loggedIn = this.handshake.method(method, reader);
    if (this.loggedIn === null) return;
    this.state = STATE.running;
    this.gate.loggedIn();
    this.account.loggedIn(this.loggedIn.identity.user);
    const { held } = this.context.connections;
    if (held !== null) this.block(held.reason, held.alarm);
    const { user, vhost, name } = this.handshake;
    const details = { connection: this.id, peer: this.transport.peer, user, vhost };
    this.context.log.info({ ...details, name }, 'AMQP connection opened');
  }

  private connectionMethod(method: number, reader: Reader): void {
    switch (method) {
      case METHOD.connectionClose:
        this.close(reader);
        break;
      case METHOD.connectionUpdateSecret:
        readUpdateSecret(reader);
        // Nothing of ours expires with a secret: RabbitMQ's answer for plain credentials.
        this.send(bareMethod(0, METHOD.connectionUpdateSecretOk));
        break;
      default:
        // As RabbitMQ, also of what belongs to the handshake or to a channel.
        throw isKnownMethod(method)
          ? new AmqpError(REPLY.channelError, 'unexpected method in connection state running')
          : unknownMethod(method);
    }
  }

  private close(reader: Reader): void {
    readClose(reader);
    // First, so that a client that has seen close-ok finds its messages requeued and its exclusive queues gone.
    this.releaseAll();
    this.send(bareMethod(0, METHOD.connectionCloseOk));
    this.end();
  }

  private closingMethod(method: number): void {
    if (method === METHOD.connectionClose) this.write(bareMethod(0, METHOD.connectionCloseOk));
    if (method === METHOD.connectionCloseOk || method === METHOD.connectionClose) this.end();
  }

  tuned(channelMax: number, frameMaxBytes: number, heartbeatSeconds: number): void {
    this.channelMax = channelMax;
    this.maxPayloadBytes = frameMaxBytes - FRAME_OVERHEAD_BYTES;
    this.parser.maxPayloadBytes = this.maxPayloadBytes;
    this.heartbeat = new Heartbeat(heartbeatSeconds);
  }

  private contentChannel(number: number): AmqpChannel | null {
    return this.state === STATE.closing ? null : this.channels.forContent(number);
  }

  /** Parses nothing more until `work` is done; then goes on behind the frame that asked for it. */
  wait(work: Promise<void>, onError: (error: unknown) => void): void {
    this.parser.suspend();
    this.gate.beginWork();
    work.then(
      () => this.workDone(),
      (error) => {
        this.turn.begin();
        if (!this.gone) onError(error);
        this.workDone();
      },
    );
  }

  private workDone(): void {
    this.gate.endWork();
    if (this.gone) {
      if (!this.gate.workPending) this.releaseAll();
      return;
    }
    if (this.turn.isLong) void this.turn.slices.next(this).then(() => this.gate.goOn());
    else this.gate.goOn();
  }

  // What the gate calls.

  countWaitingInput(): void {
    this.turn.input(this.parser.waitingBytes);
  }

  handleWaitingInput(): void {
    this.turn.begin();
    this.turn.inputContinues();
    try {
      this.parser.resume();
    } catch (error) {
      this.framingFailed(error);
    }
    this.account.update(this.heldBytes());
    this.turn.inputHandled(this);
  }

  /** Ends the connection with an error: tells the client and waits for its close-ok. */
  fail(error: unknown, method: number): void {
    if (this.state >= STATE.closing) return;
    if (!(error instanceof AmqpError || error instanceof BrokerError)) {
      this.turn.faults.report('input', error, this);
      this.broken();
      return;
    }
    countLimit(this.meters.limitHits, error);
    const reply = replyFor(error);
    const details = { connection: this.id, peer: this.transport.peer, error: reply.message };
    this.context.log.warn(details, 'AMQP connection closed with an error');
    this.channels.release();
    this.send(closeMethod(0, METHOD.connectionClose, reply, method));
    this.state = STATE.closing;
    this.ticks = 0;
    this.gate.close();
  }

  end(): void {
    this.state = STATE.closed;
    this.gate.end();
    this.parser.stop();
    this.transport.end();
  }

  private releaseAll(): void {
    this.channels.release();
    this.loggedIn?.close();
    this.context.connections.remove(this);
    this.account.close();
  }

  private stateName(): string {
    if (this.state === STATE.running) return this.gate.blocked ? 'blocked' : 'running';
    return this.state === STATE.handshake ? 'starting' : 'closing';
  }
}
