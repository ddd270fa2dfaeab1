// One client's network connection: lets it in, hands its packets on to the conversation (conversation.ts), and closes at
// the first breach of the protocol (3.1.1 has no error reply). What outlives the connection is the session's
// (session.ts); what publishes is in publisher.ts.
//
// Order: while a control operation runs, input waits (paused transport, packets kept by the framer), so that commands
// never overtake each other.

import type { ClientConnection, ConnectionInfo } from '../../src/core/client-connection.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE } from '../../src/core/field-table.ts';
import type { Session } from '../../src/core/session.ts';
import type { Outbox } from '../../src/net/outbox.ts';
import type { Ticked } from '../../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import type { ConnectRequest, Will } from './control.ts';
import { Conversation, type Conversing } from './conversation.ts';
import { ConnectRefused, connectCodeOf, MalformedPacket } from './errors.ts';
import { NEXT, type Next, PacketFramer, type PacketHandler } from './framer.ts';
import { KeepAlive } from './keep-alive.ts';
import { type Opening, openSession } from './opening.ts';
import { CONNECT_CODE, connack, PACKET } from './packet-types.ts';
import { publishWill } from './publisher.ts';
import type { MqttSession } from './session.ts';
import type { MqttShared } from './shared.ts';

const STATE = { waiting: 0, opening: 1, open: 2, closed: 3 } as const;
type State = (typeof STATE)[keyof typeof STATE];

export class MqttConnection implements TransportHandler, ClientConnection, PacketHandler, Conversing, Opening, Ticked {
  readonly id: number;
  readonly transport: Transport;
  readonly outbox: Outbox;
  private readonly shared: MqttShared;
  private readonly framer: PacketFramer;
  private readonly connectedAt: number;
  private state: State;
  /** Protocol level of the CONNECT: 3 or 4. */
  private level: number;
  private clientId: string;
  private will: Will | null;
  private coreSession: Session | null;
  private session: MqttSession | null;
  /** What it says while it is connected. */
  private conversation: Conversation | null;
  /** The control operation that input waits for, or null. */
  private work: Promise<void> | null;
  /** Whether publishing is held (backpressure), and whether a PUBLISH waits for its release. */
  held: boolean;
  private waits: boolean;
  private readonly keepAlive: KeepAlive;
  /** What must end before the client id is free for another connection. */
  private goodbye: Promise<void> | null;

  constructor(transport: Transport, shared: MqttShared) {
    this.id = shared.context.connections.nextId();
    this.transport = transport;
    this.outbox = transport.outbox;
    this.shared = shared;
    this.framer = new PacketFramer(this, shared.limits.connectBytes);
    this.connectedAt = shared.turn.now;
    this.state = STATE.waiting;
    this.level = 4;
    this.clientId = '';
    this.will = null;
    this.coreSession = null;
    this.session = null;
    this.conversation = null;
    this.work = null;
    this.held = false;
    this.waits = false;
    this.keepAlive = new KeepAlive(shared.ticker.now, shared.context.unauthenticatedMs);
    this.goodbye = null;
    shared.ticker.add(this);
    shared.context.connections.add(this);
  }

  // What the transport and the ticker call.

  data(chunk: Buffer): void {
    if (this.state === STATE.closed) return;
    this.shared.turn.begin();
    this.keepAlive.heard = true;
    try {
      // Told from its first byte: whoever speaks another protocol here is not waited for.
      if (this.state === STATE.waiting && !this.framer.midPacket) requireConnect(chunk[0]!);
      this.framer.push(chunk);
    } catch (error) {
      this.broke(error);
    }
    if (this.state === STATE.open) this.conversation!.publisher?.rest.afterChunk(chunk.length, this.coreSession!);
  }

  drained(): void {
    this.shared.turn.begin();
    this.session?.drained();
  }

  closed(error: Error | null): void {
    this.shared.turn.begin();
    this.leave(error === null ? 'the client closed the connection' : error.message, false);
  }

  /** [MQTT-3.1.2-24], and the time that a stranger has for its CONNECT. */
  tick(nowTick: number): void {
    // Input that we do not read is no silence of the client.
    const reading = !this.waits && (this.work === null || this.state !== STATE.open);
    if (!this.keepAlive.isOver(nowTick, reading)) return;
    this.shared.turn.begin();
    this.leave(this.state === STATE.open ? 'keep-alive timeout' : 'not logged in in time', false);
    this.transport.destroy();
  }

  // What the framer calls.

  packet(buffer: Buffer, start: number, body: number, end: number): Next {
    const { conversation } = this;
    return conversation === null
      ? this.firstPacket(buffer, start, body, end)
      : conversation.packet(buffer, start, body, end);
  }

  // What the registry of connections calls.

  block(_reason: string, _alarm: boolean): void {
    this.held = true;
    if (this.publishes) this.transport.pause();
  }

  unblock(): void {
    this.held = false;
    if (this.work !== null || this.state === STATE.closed) return;
    // In a turn of its own: whoever releases the publishers is in the middle of one.
    if (this.waits) setImmediate(goOn, this);
    else this.readOn();
  }

  shutdown(reason: string): void {
    this.shared.turn.begin();
    this.leave(reason, false);
    this.transport.end();
  }

  info(): ConnectionInfo {
    const { transport, coreSession } = this;
    return {
      protocol: this.level === 3 ? 'MQTT 3.1' : 'MQTT 3.1.1',
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

  holds(session: MqttSession): void {
    this.session = session;
  }

  takenOver(): Promise<void> {
    this.leave('another connection took the client id', false);
    this.transport.end();
    return this.goodbye ?? Promise.resolve();
  }

  queueGone(): void {
    this.leave('the queue of the session was deleted', false);
    this.transport.end();
  }

  notStored(): void {
    this.leave('a message could not be stored', false);
    this.transport.end();
  }

  suspend(work: Promise<void>): Next {
    this.transport.pause();
    this.work = work.then(
      () => this.workDone(),
      (error: unknown) => {
        this.work = null;
        this.shared.turn.begin();
        this.broke(error);
      },
    );
    return NEXT.pause;
  }

  /** Reads on, unless something still waits. */
  readOn(): void {
    if (this.state === STATE.closed || this.work !== null || this.waits) return;
    if (this.conversation?.publisher?.rest.resting || (this.held && this.publishes)) return;
    this.transport.resume();
  }

  waitForRelease(): Next {
    this.waits = true;
    this.transport.pause();
    return NEXT.retry;
  }

  disconnected(): void {
    this.leave('DISCONNECT', true);
    this.transport.end();
  }

  /** Takes up the input that waited for backpressure to end. */
  released(): void {
    this.shared.turn.begin();
    if (this.waits && !this.held) this.proceed();
  }

  // CONNECT.

  private firstPacket(buffer: Buffer, start: number, body: number, end: number): Next {
    if (this.state === STATE.closed) return NEXT.stop;
    requireConnect(buffer[start]!);
    this.state = STATE.opening;
    try {
      return this.suspend(this.connect(this.shared.control.connect(buffer, start, body, end)));
    } catch (error) {
      if (!(error instanceof ConnectRefused)) throw error;
      this.refuse(error);
      return NEXT.stop;
    }
  }

  private async connect(request: ConnectRequest): Promise<void> {
    this.level = request.level;
    try {
      const opened = await openSession(request, this, this.shared);
      if (opened !== null && !this.isClosed()) this.open(request, opened.present);
    } catch (error) {
      if (error instanceof ConnectRefused) this.refuse(error);
      else if (error instanceof BrokerError) this.refuse(new ConnectRefused(connectCodeOf(error.kind), error.message));
      else throw error;
    }
  }

  private open(request: ConnectRequest, present: boolean): void {
    const { ticker, limits, log, turn } = this.shared;
    turn.begin();
    this.state = STATE.open;
    this.conversation = new Conversation(this, this.session!, this.shared);
    this.will = request.will;
    this.framer.maxPacketBytes = limits.packetBytes;
    // [MQTT-3.1.2-24]: one and a half times the keep-alive; 0 switches it off.
    if (request.keepAliveSeconds === 0) ticker.remove(this);
    else this.keepAlive.restart(ticker.now, request.keepAliveSeconds * 1500);
    const answer = connack(CONNECT_CODE.accepted, present);
    this.outbox.append(answer, 0, answer.length);
    log.info(this.about(), 'MQTT connection opened');
    this.session!.start();
  }

  private refuse(refusal: ConnectRefused): void {
    if (this.state === STATE.closed) return;
    this.shared.turn.begin();
    const answer = connack(refusal.code, false);
    this.outbox.append(answer, 0, answer.length);
    this.leave(refusal.message, false);
    this.transport.end();
  }

  // Waiting, and the end.

  private workDone(): void {
    this.work = null;
    if (this.state === STATE.closed) return;
    this.shared.turn.begin();
    this.proceed();
  }

  private get publishes(): boolean {
    return this.conversation !== null && this.conversation.publisher !== null;
  }

  /** Takes up the input that waited, and reads on unless something else waits. */
  private proceed(): void {
    if (this.state === STATE.closed || this.work !== null) return;
    this.waits = false;
    try {
      this.framer.resume();
    } catch (error) {
      this.broke(error);
    }
    this.readOn();
  }

  /** The client broke the protocol or was refused, or we are wrong; its connection ends in any case. */
  private broke(error: unknown): void {
    if (this.state === STATE.closed) return;
    const known = error instanceof MalformedPacket || error instanceof BrokerError;
    if (!known) this.shared.log.error({ ...this.about(), error }, 'MQTT connection failed');
    this.leave(error instanceof Error ? error.message : String(error), false);
    this.transport.end();
  }

  /** Gives up everything that the connection holds, once. The will is published unless the client said goodbye. */
  private leave(reason: string, orderly: boolean): void {
    if (this.state === STATE.closed) return;
    const wasOpen = this.state === STATE.open;
    this.state = STATE.closed;
    const { shared, coreSession: core } = this;
    shared.ticker.remove(this);
    shared.context.connections.remove(this);
    shared.log.info({ ...this.about(), reason }, wasOpen ? 'MQTT connection closed' : 'MQTT connection refused');
    this.session?.detach();
    this.conversation?.publisher?.abandon();
    this.conversation = null;
    if (core === null) return;
    const will = wasOpen && !orderly && this.will !== null ? publishWill(this.will, core, shared) : null;
    this.will = null;
    // An operation that is under way may still declare something: the core session closes after it.
    if (will === null && this.work === null) this.finish(core);
    else this.goodbye = Promise.allSettled([will, this.work]).then(() => this.finish(core));
  }

  private finish(core: Session): void {
    this.shared.turn.begin();
    core.close();
    this.shared.sessions.release(core.vhost.name, this.clientId, this);
  }

  private stateName(): string {
    switch (this.state) {
      case STATE.waiting:
      case STATE.opening:
        return 'starting';
      case STATE.open:
        return this.held && this.publishes ? 'blocked' : 'running';
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

function requireConnect(firstByte: number): void {
  if (firstByte >> 4 !== PACKET.connect) throw new MalformedPacket('the first packet is not CONNECT [MQTT-3.1.0-1]');
  if ((firstByte & 15) !== 0) throw new MalformedPacket('reserved flags of CONNECT [MQTT-2.2.2-2]');
}

function goOn(connection: MqttConnection): void {
  connection.released();
}
