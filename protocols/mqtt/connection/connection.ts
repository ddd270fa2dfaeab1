// One network connection: handshake.ts gets its packets until CONNACK, conversation.ts those after it. It closes at the
// first protocol error; an MQTT 5 client is sent the reason in DISCONNECT, which older versions do not have. What outlives
// the connection belongs to the session (session.ts). Made by front-end.ts; called by its transport and the ticker.
//
// Invariant: while a control operation runs, input waits (the gate pauses the transport, the framer keeps packets), so that
// commands never overtake each other.

import { BrokerError } from '../../../src/core/errors.ts';
import { EMPTY_TABLE } from '../../../src/core/message/field-table.ts';
import { countLimit } from '../../../src/core/ports/limit-hits.ts';
import type { ClientConnection, ConnectionInfo } from '../../../src/core/session/client-connection.ts';
import {
  type Debtor,
  excessOf,
  type MemoryAccount,
  type MemoryLimit,
} from '../../../src/core/session/memory-ledger.ts';
import type { Session } from '../../../src/core/session/session.ts';
import type { WorkDescription, Worker } from '../../../src/core/turn/turn-watch.ts';
import { MESSAGE_KIND } from '../../../src/net/message-kind.ts';
import type { Outbox } from '../../../src/net/outbox.ts';
import { type GatedInput, ReadGate } from '../../../src/net/read-gate.ts';
import type { Ticked } from '../../../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../../../src/net/transport.ts';
import type { MqttContext } from '../context.ts';
import { acceptedConnack, disconnect, refusedConnack } from '../packet/answers.ts';
import type { ConnectRequest } from '../packet/connect-packet.ts';
import type { AuthRequest } from '../packet/control.ts';
import { ConnectRefused, MalformedPacket, refusalReasonOf } from '../packet/errors.ts';
import { NEXT, type Next, PacketFramer, type PacketHandler } from '../packet/framer.ts';
import { connack, LARGEST_PACKET_BYTES, LEVEL } from '../packet/packet-types.ts';
import { CONNECT_CODE, REASON, type Reason } from '../packet/reason-codes.ts';
import { BrokerAliases } from '../packet/topic-aliases.ts';
import type { MqttSession } from '../session/session.ts';
import type { Sessions } from '../session/sessions.ts';
import { Conversation, type OpenConnection } from './conversation.ts';
import { Handshake, type HandshakeConnection, requireConnect } from './handshake.ts';
import { KeepAlive } from './keep-alive.ts';
import type { OpenedSession } from './opening.ts';

const STATE = { waiting: 0, opening: 1, open: 2, closed: 3 } as const;
type State = (typeof STATE)[keyof typeof STATE];

const VERSIONS: Readonly<Record<number, string>> = { 3: 'MQTT 3.1', 4: 'MQTT 3.1.1', 5: 'MQTT 5.0' };

export class MqttConnection
  implements
    TransportHandler,
    ClientConnection,
    Debtor,
    PacketHandler,
    OpenConnection,
    HandshakeConnection,
    GatedInput,
    Ticked,
    Worker
{
  readonly id: number;
  readonly transport: Transport;
  readonly outbox: Outbox;
  readonly sessions: Sessions;
  readonly gate: ReadGate;
  /** Protocol level of the CONNECT. */
  level: number;
  bridge: boolean;
  v5: boolean;
  /** The client's receive maximum and maximum packet size, of its CONNECT. */
  receiveMaximum: number;
  maximumPacketBytes: number;
  aliases: BrokerAliases | null;
  private readonly context: MqttContext;
  private readonly framer: PacketFramer;
  private readonly account: MemoryAccount;
  private readonly connectedAt: number;
  private state: State;
  private clientId: string;
  private coreSession: Session | null;
  private session: MqttSession | null;
  /** From CONNACK until the connection closes. */
  private conversation: Conversation | null;
  private readonly handshake: Handshake;
  /** The control operation that input waits for, or null. */
  private work: Promise<void> | null;
  private readonly keepAlive: KeepAlive;
  /** Resolves when the client id is free for another connection; null: it is free, or the connection is open. */
  private closing: Promise<void> | null;

  constructor(transport: Transport, context: MqttContext, sessions: Sessions) {
    this.id = context.connections.nextId();
    this.transport = transport;
    this.outbox = transport.outbox;
    this.sessions = sessions;
    this.gate = new ReadGate(transport, this);
    this.gate.expectLogin();
    this.level = LEVEL.v3_1_1;
    this.bridge = false;
    this.v5 = false;
    this.receiveMaximum = context.limits.receiveMaximum;
    this.maximumPacketBytes = LARGEST_PACKET_BYTES;
    this.aliases = null;
    this.context = context;
    this.framer = new PacketFramer(this, context.limits.connectBytes);
    this.account = context.memory.open(this, transport.address);
    this.connectedAt = context.turn.now;
    this.state = STATE.waiting;
    this.clientId = '';
    this.coreSession = null;
    this.session = null;
    this.conversation = null;
    this.handshake = new Handshake(this, context);
    this.work = null;
    this.keepAlive = new KeepAlive(context.ticker.now, context.unauthenticatedMs);
    this.closing = null;
    context.ticker.add(this);
    context.connections.add(this);
    context.traffic.opened(transport);
  }

  // What the transport and the ticker call.

  data(chunk: Buffer): void {
    // First: ending the turn may close this connection.
    this.context.turn.input(chunk.length);
    this.received(chunk);
    this.account.update(this.heldBytes());
    this.context.turn.inputHandled(this);
  }

  /** Memory that the connection holds beside messages in queues. */
  private heldBytes(): number {
    const { framer, outbox, conversation, coreSession, session } = this;
    if (this.state === STATE.closed) return 0;
    const consumers = coreSession === null ? 0 : coreSession.consumerBytes;
    const aliases = conversation?.publisher?.aliasBytes ?? 0;
    return framer.heldBytes + outbox.unsentBytes + consumers + aliases + (session === null ? 0 : session.heldBytes);
  }

  exceeded(limit: MemoryLimit): void {
    this.context.turn.begin();
    if (this.state === STATE.closed) this.transport.destroy();
    else this.fail(new MalformedPacket(excessOf(limit), REASON.quotaExceeded, limit));
  }

  describeWork(): WorkDescription {
    return { work: 'MQTT input', ...this.about(), vhost: this.coreSession?.vhost.name ?? null };
  }

  private received(chunk: Buffer): void {
    if (this.state === STATE.closed) return;
    // Before login, input does not extend the time limit, however slowly the bytes come.
    if (this.state === STATE.open) this.keepAlive.received = true;
    try {
      if (this.transport.lastMessageKind === MESSAGE_KIND.text) {
        throw new MalformedPacket('a WebSocket message of text [MQTT-6.0.0-1]', REASON.protocolError);
      }
      // Checked at the first byte: a client of another protocol is closed at once.
      if (this.state === STATE.waiting && !this.framer.midPacket) requireConnect(chunk[0]!);
      this.framer.push(chunk);
    } catch (error) {
      this.fail(error);
    }
    if (this.state === STATE.open) this.conversation!.publisher?.throttle.afterChunk(chunk.length, this.coreSession!);
    this.gate.inputHandled();
  }

  drained(): void {
    this.context.turn.begin();
    this.gate.drained();
    this.session?.deliveries.resume();
    this.account.update(this.heldBytes());
  }

  closed(error: Error | null): void {
    this.context.turn.begin();
    this.context.traffic.closed(this.transport);
    this.close(error === null ? 'the client closed the connection' : error.message, null);
  }

  /** Checks the keep-alive timeout [MQTT-3.1.2-24], and before CONNACK the time limit for login. */
  tick(nowTick: number): void {
    // While the socket is not read, missing input does not mean that the client is silent.
    const reading = this.transport.reading || this.state !== STATE.open;
    if (!this.keepAlive.isOver(nowTick, reading)) return;
    this.context.turn.begin();
    const sendsDisconnect = this.v5 && this.state === STATE.open;
    if (this.state === STATE.open) this.close('keep-alive timeout', REASON.keepAliveTimeout);
    else {
      this.context.meters.limitHits['limits.unauthenticatedMs']++;
      this.close('not logged in in time', null);
    }
    if (sendsDisconnect) this.transport.end();
    else this.transport.destroy();
  }

  // What the framer calls.

  packet(buffer: Buffer, start: number, body: number, end: number): Next {
    const { conversation } = this;
    const { traffic } = this.context;
    traffic.packetsReceived++;
    if (conversation !== null) {
      const next = conversation.packet(buffer, start, body, end);
      // The framer passes it again.
      if (next === NEXT.retry) traffic.packetsReceived--;
      return next;
    }
    if (this.state === STATE.closed) return NEXT.stop;
    return this.handshake.packet(buffer, start, body, end);
  }

  // What the registry of connections calls.

  block(_reason: string, _alarm: boolean): void {
    this.gate.hold(true);
  }

  unblock(): void {
    this.session?.deliveries.unblocked();
    this.gate.hold(false);
  }

  shutdown(reason: string): void {
    this.context.turn.begin();
    const elsewhere = this.context.options.serverReference !== null;
    this.close(reason, elsewhere ? REASON.useAnotherServer : REASON.shuttingDown);
    this.transport.end();
  }

  info(): ConnectionInfo {
    const { transport, coreSession } = this;
    return {
      protocol: VERSIONS[this.level]!,
      user: coreSession?.identity.user ?? null,
      vhost: coreSession?.vhost.name ?? null,
      peer: transport.peer,
      secure: transport.secure,
      connectedAt: this.connectedAt,
      channels: 0,
      bytesRead: transport.bytesRead,
      bytesWritten: transport.bytesWritten,
      state: this.stateName(),
      clientProperties: EMPTY_TABLE,
      name: this.clientId === '' ? null : this.clientId,
    };
  }

  // What the session, its opening and its publisher call.

  get core(): Session {
    return this.coreSession!;
  }

  isClosed(): boolean {
    return this.state === STATE.closed;
  }

  loggedIn(core: Session, clientId: string): void {
    this.coreSession = core;
    this.clientId = clientId;
  }

  sessionFound(session: MqttSession): void {
    this.session = session;
  }

  get user(): string | null {
    return this.coreSession?.identity.user ?? null;
  }

  broken(): void {
    this.transport.fault();
  }

  sayFault(): boolean {
    if (this.state !== STATE.open || !this.v5) return false;
    this.write(disconnect(REASON.implementationSpecific, null, null, this.maximumPacketBytes));
    this.gate.end();
    return true;
  }

  tickFailed(): void {
    this.broken();
  }

  takenOver(): Promise<void> {
    this.close('another connection took the client id', REASON.sessionTakenOver);
    this.transport.end();
    return this.closing ?? Promise.resolve();
  }

  queueGone(): void {
    this.close('the queue of the session was deleted', REASON.administrativeAction);
    this.transport.end();
  }

  notStored(): void {
    this.close('a message could not be stored', REASON.quotaExceeded);
    this.transport.end();
  }

  pubcompSent(): void {
    this.conversation?.publisher?.completed();
  }

  suspend(work: Promise<void>): Next {
    this.gate.beginWork();
    this.work = work.then(
      () => this.workDone(),
      (error: unknown) => {
        this.work = null;
        this.gate.endWork();
        this.context.turn.begin();
        this.fail(error);
      },
    );
    return NEXT.pause;
  }

  disconnected(expirySeconds: number | null, withWill: boolean): void {
    this.session?.disconnecting(expirySeconds, withWill);
    this.close('DISCONNECT', null);
    this.transport.end();
  }

  reauthenticate(request: AuthRequest): Promise<void> {
    return this.handshake.reauthenticate(request);
  }

  // What the handshake calls.

  announced(level: number): void {
    this.state = STATE.opening;
    this.level = level;
    this.v5 = level === LEVEL.v5;
  }

  accepts(request: ConnectRequest): void {
    const { limits } = this.context;
    this.bridge = request.bridge;
    this.receiveMaximum = Math.min(request.receiveMaximum, limits.receiveMaximum);
    this.maximumPacketBytes = Math.min(request.maximumPacketBytes, LARGEST_PACKET_BYTES);
    const aliases = Math.min(request.topicAliasMaximum, limits.topicAliases);
    this.aliases = aliases === 0 ? null : new BrokerAliases(aliases);
  }

  open(request: ConnectRequest, opened: OpenedSession, proof: Buffer | null): void {
    const { ticker, limits, log, turn } = this.context;
    const { keepAliveSeconds: longest } = limits;
    const asked = request.keepAliveSeconds;
    const shortened = this.v5 && longest > 0 && (asked === 0 || asked > longest);
    const answer = this.accepted(request, opened, shortened ? longest : null, proof);
    if (answer.length > this.maximumPacketBytes) {
      this.refuse(REASON.packetTooLarge, `a CONNACK of ${answer.length} bytes is more than the client takes`);
      return;
    }
    turn.begin();
    this.state = STATE.open;
    this.gate.loggedIn();
    this.account.loggedIn(this.core.identity.user);
    this.conversation = new Conversation(this, this.session!, this.context);
    this.framer.maxPacketBytes = limits.packetBytes;
    this.framer.limit = 'mqtt.packetBytes';
    const keepAliveSeconds = shortened ? longest : asked;
    // [MQTT-3.1.2-24]: one and a half times the keep-alive; 0 switches it off.
    if (keepAliveSeconds === 0) ticker.remove(this);
    else this.keepAlive.restart(ticker.now, keepAliveSeconds * 1500);
    this.write(answer);
    log.info(this.about(), 'MQTT connection opened');
    this.session!.start();
  }

  refuse(reason: Reason, message: string): void {
    if (this.state === STATE.closed) return;
    this.context.turn.begin();
    // The client learns only the reason code; why a login was refused is logged.
    const why = reason === REASON.badCredentials || reason === REASON.notAuthorized ? 'login refused' : message;
    this.write(refusedConnack(this.v5, reason, why, this.maximumPacketBytes));
    this.close(message, null);
    this.transport.end();
  }

  /** Writes an answer. Throws MalformedPacket if it is over the client's maximum packet size [MQTT-3.1.2-24]. */
  send(packet: Buffer): void {
    if (packet.length > this.maximumPacketBytes) {
      const why = `an answer of ${packet.length} bytes is more than the client takes`;
      throw new MalformedPacket(why, REASON.packetTooLarge);
    }
    this.write(packet);
  }

  /** The CONNACK of success; without response information if it would exceed the client's maximum packet size. */
  private accepted(
    request: ConnectRequest,
    opened: OpenedSession,
    keepAlive: number | null,
    proof: Buffer | null,
  ): Buffer {
    // 3.1 has no session present flag: those bits are reserved.
    if (!this.v5) return connack(CONNECT_CODE.accepted, opened.present && this.level !== LEVEL.v3_1);
    const properties = this.handshake.connackProperties(request, opened, this.clientId, keepAlive, proof);
    const whole = acceptedConnack(opened.present, properties);
    if (whole.length <= this.maximumPacketBytes || properties.responseInformation === undefined) return whole;
    const { responseInformation: _, ...rest } = properties;
    return acceptedConnack(opened.present, rest);
  }

  private write(packet: Buffer): void {
    if (packet.length > this.maximumPacketBytes) return;
    this.context.traffic.packetsSent++;
    this.outbox.append(packet, 0, packet.length);
  }

  // Waiting, and the end.

  private workDone(): void {
    this.work = null;
    this.gate.endWork();
    const { turn } = this.context;
    if (turn.isLong) void turn.slices.next(this).then(() => this.gate.goOn());
    else this.gate.goOn();
  }

  // What the gate calls.

  countWaitingInput(): void {
    this.context.turn.input(this.framer.waitingBytes);
  }

  handleWaitingInput(): void {
    const { turn } = this.context;
    turn.begin();
    turn.inputContinues();
    try {
      this.framer.resume();
    } catch (error) {
      this.fail(error);
    }
    this.account.update(this.heldBytes());
    turn.inputHandled(this);
  }

  /** Closes the connection after a protocol error, a refusal, or an error of our own, which is logged. */
  private fail(error: unknown): void {
    if (this.state === STATE.closed) return;
    countLimit(this.context.meters.limitHits, error);
    let reason: Reason = REASON.unspecified;
    if (error instanceof MalformedPacket || error instanceof ConnectRefused) reason = error.reason;
    else if (error instanceof BrokerError) reason = refusalReasonOf(error.kind);
    else {
      this.context.turn.faults.report('input', error, this);
      this.broken();
      return;
    }
    this.close(error instanceof Error ? error.message : String(error), reason);
    this.transport.end();
  }

  /**
   * Ends the connection, once: detaches the session, which publishes the will, and closes the core's session. An MQTT 5
   * client is sent DISCONNECT with `reason`; null: it has sent DISCONNECT itself, or the transport is closed.
   */
  private close(why: string, reason: Reason | null): void {
    if (this.state === STATE.closed) return;
    const wasOpen = this.state === STATE.open;
    this.state = STATE.closed;
    this.gate.end();
    const { context, coreSession: core, session } = this;
    context.ticker.remove(this);
    context.connections.remove(this);
    this.account.close();
    context.log.info({ ...this.about(), reason: why }, wasOpen ? 'MQTT connection closed' : 'MQTT connection refused');
    if (wasOpen && this.v5 && reason !== null) {
      const server = reason === REASON.useAnotherServer ? context.options.serverReference : null;
      // The text of an internal error is not sent.
      const text = reason === REASON.unspecified ? null : why;
      this.write(disconnect(reason, text, server, this.maximumPacketBytes));
    }
    // Before CONNACK there is no will.
    if (!wasOpen) session?.disconnecting(null, false);
    const will = session?.detach() ?? null;
    this.conversation?.publisher?.abandon();
    this.conversation = null;
    if (core === null) return;
    // A control operation in progress may still declare something: the core's session closes after it.
    if (will === null && this.work === null) this.finish(core);
    else this.closing = Promise.allSettled([will, this.work]).then(() => this.finish(core));
  }

  private finish(core: Session): void {
    this.context.turn.begin();
    core.close();
    this.sessions.release(core.vhost.name, this.clientId, this);
  }

  private stateName(): string {
    switch (this.state) {
      case STATE.waiting:
      case STATE.opening:
        return 'starting';
      case STATE.open:
        return this.gate.blocked ? 'blocked' : 'running';
      case STATE.closed:
        return 'closing';
      default:
        return this.state satisfies never;
    }
  }

  private about(): { connection: number; peer: string; clientId: string; user: string | null } {
    return {
      connection: this.id,
      peer: this.transport.peer,
      clientId: this.clientId,
      user: this.coreSession?.identity.user ?? null,
    };
  }
}
