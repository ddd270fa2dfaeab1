// A STOMP connection: it turns frames into calls of the session door, in the order in which they came. What has to wait
// (a declaration, an authorisation) suspends the parser; nothing overtakes it. Every violation and every refusal ends
// in one ERROR frame and the end of this connection, and of no other.
//
// Receipts leave through one confirm ring, so a receipt for a SEND into durable queues comes after the commit and all
// receipts keep the order of their frames.

import { hostname } from 'node:os';
import type { ClientConnection, ConnectionInfo } from '../../src/core/client-connection.ts';
import { ConfirmRing, type ConfirmSink } from '../../src/core/confirms.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE } from '../../src/core/field-table.ts';
import type { Session } from '../../src/core/session.ts';
import { DEFAULT_VHOST } from '../../src/core/virtual-hosts.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import type { StompClient } from './client.ts';
import { COMMAND, commandName } from './command.ts';
import type { StompContext } from './context.ts';
import { FrameParser } from './frame-parser.ts';
import { errorFrame, FrameWriter, textFrame } from './frame-writer.ts';
import { HEADER } from './header-names.ts';
import { type Beating, HeartBeat, parseHeartBeat } from './heart-beat.ts';
import { Publisher } from './publisher.ts';
import { StompError, summaryOf } from './stomp-error.ts';
import { Subscriptions } from './subscriptions.ts';
import { negotiateVersion, STOMP_VERSION, SUPPORTED_VERSIONS, versionName } from './version.ts';

/** The tag of the confirm slot at which a DISCONNECT is answered. */
class Goodbye {
  readonly receipt: string | null;

  constructor(receipt: string | null) {
    this.receipt = receipt;
  }
}

type State = 'login' | 'running' | 'closing' | 'closed';

export class StompConnection implements TransportHandler, ClientConnection, StompClient, ConfirmSink, Beating {
  readonly id: number;
  readonly transport: Transport;
  readonly context: StompContext;
  readonly parser: FrameParser;
  readonly ring: ConfirmRing;
  private readonly heartBeat: HeartBeat;
  private readonly connectedAt: number;
  private state: State;
  private session: Session | null;
  readonly sessionId: string;
  writer: FrameWriter;
  private publisher: Publisher | null;
  private subscriptions: Subscriptions | null;
  /** How many waits the current frame is in: no other frame is looked at meanwhile. */
  private suspensions: number;
  /** Publishing is held. */
  private blocked: boolean;
  private paused: boolean;
  private failed: boolean;

  constructor(transport: Transport, context: StompContext) {
    this.id = context.connections.nextId();
    this.transport = transport;
    this.context = context;
    this.parser = new FrameParser(context.limits);
    this.ring = new ConfirmRing(this, context.turn);
    this.heartBeat = new HeartBeat(transport, context.ticker, this, context.limits.loginTimeoutMs);
    this.connectedAt = context.turn.now;
    this.state = 'login';
    this.session = null;
    this.sessionId = `${context.startedAt.toString(36)}.${this.id.toString(36)}`;
    this.writer = new FrameWriter(transport, STOMP_VERSION.v1_2, context.destinationLines[STOMP_VERSION.v1_2]!);
    this.publisher = null;
    this.subscriptions = null;
    this.suspensions = 0;
    this.failed = false;
    this.blocked = false;
    this.paused = false;
    context.connections.add(this);
  }

  // What the transport calls.

  data(chunk: Buffer): void {
    if (this.state === 'closing' || this.state === 'closed') return;
    this.context.turn.begin();
    if (this.state === 'login') this.writer.followClient();
    this.parser.push(chunk);
    if (!this.hearing()) return;
    this.pump();
    if (this.hearing()) this.publisher?.rest.afterChunk(chunk.length, this.session!);
    this.updateReading();
  }

  drained(): void {
    this.context.turn.begin();
    this.subscriptions?.resume();
  }

  closed(error: Error | null): void {
    const wasRunning = this.state === 'running';
    this.state = 'closed';
    this.context.connections.remove(this);
    this.context.turn.begin();
    this.publisher?.rest.end();
    this.release();
    this.heartBeat.stop();
    const { log } = this.context;
    const details = { connection: this.id, peer: this.transport.peer, user: this.session?.identity.user ?? null };
    if (error !== null || wasRunning)
      log.info({ ...details, error: error?.message ?? null }, 'STOMP connection closed');
    else log.debug(details, 'STOMP connection closed');
  }

  get running(): boolean {
    return this.state === 'running';
  }

  // What the heart-beat calls.

  hearing(): boolean {
    return this.suspensions === 0 && !this.publisher?.rest.resting && !this.isHeld();
  }

  beat(): void {
    this.context.turn.begin();
    this.writer.heartBeat();
  }

  silent(what: 'heart-beat' | 'login'): void {
    this.context.turn.begin();
    if (what === 'login') this.fail(new StompError('Login timeout', 'no CONNECT frame came in time'), null);
    else this.fail(new StompError('Heart-beat timeout', 'nothing came for longer than the heart-beat interval'), null);
  }

  // What the registry of connections calls.

  info(): ConnectionInfo {
    const { transport } = this;
    return {
      protocol: `STOMP ${versionName(this.parser.version)}`,
      user: this.session?.identity.user ?? null,
      vhost: this.session?.vhost.name ?? null,
      peer: transport.peer,
      secure: transport.secure,
      connectedAt: this.connectedAt,
      channels: this.session === null ? 0 : 1,
      bytesRead: transport.bytesRead,
      bytesWritten: transport.bytesWritten,
      state: this.state === 'login' ? 'starting' : this.isHeld() ? 'blocked' : this.state,
      clientProperties: EMPTY_TABLE,
      name: this.session === null ? null : this.sessionId,
    };
  }

  block(): void {
    this.blocked = true;
    this.updateReading();
  }

  unblock(): void {
    if (!this.blocked) return;
    this.blocked = false;
    this.context.turn.begin();
    this.goOn();
  }

  shutdown(reason: string): void {
    this.context.turn.begin();
    this.fail(new StompError('Connection closed by the broker', reason), null);
  }

  // Receipts.

  confirmed(ring: ConfirmRing, from: number, to: number, ok: boolean): void {
    for (let slot = from; slot <= to; slot++) {
      const tag = ring.tagAt(slot);
      if (!ok) {
        this.fail(new StompError('Message refused', 'a queue did not accept it'), typeof tag === 'string' ? tag : null);
        return;
      }
      if (typeof tag === 'string') this.writer.receipt(tag);
      else if (tag instanceof Goodbye) {
        if (tag.receipt !== null) this.writer.receipt(tag.receipt);
        this.finish();
        return;
      }
    }
  }

  // Frames.

  private pump(): void {
    const { parser } = this;
    if (this.state === 'closing' || this.state === 'closed') return;
    try {
      while (this.hearing() && parser.next()) {
        const { publisher } = this;
        if (parser.command !== COMMAND.send) this.control();
        else if (publisher === null) throw notConnected();
        else publisher.send();
        if (!this.running) return;
      }
    } catch (error) {
      this.fail(error);
    }
  }

  private control(): void {
    const { parser, publisher, subscriptions } = this;
    const { command } = parser;
    if (publisher === null || subscriptions === null) {
      if (command !== COMMAND.connect) throw notConnected();
      this.suspend(this.connect());
      return;
    }
    switch (command) {
      case COMMAND.subscribe:
        this.suspend(subscriptions.subscribe());
        return;
      case COMMAND.unsubscribe:
        subscriptions.unsubscribe();
        return;
      case COMMAND.ack:
      case COMMAND.nack: {
        const settlement = subscriptions.readSettlement();
        const transaction = parser.text(HEADER.transaction);
        if (transaction === null) subscriptions.settle(settlement);
        else publisher.defer(transaction, settlement);
        break;
      }
      case COMMAND.begin:
        publisher.begin(this.transaction());
        break;
      case COMMAND.commit:
        publisher.commit(this.transaction());
        return;
      case COMMAND.abort:
        publisher.abort(this.transaction());
        break;
      case COMMAND.disconnect:
        this.disconnect();
        return;
      case COMMAND.connect:
        throw new StompError('Already connected', 'a connection logs in once');
      default:
        throw new StompError('Unknown command', commandName(command));
    }
    this.receipt(this.receiptId());
  }

  private async connect(): Promise<void> {
    const { parser, transport, context } = this;
    const accepted = parser.text(HEADER.acceptVersion);
    const version = negotiateVersion(accepted);
    if (version === null) {
      throw new StompError('Version mismatch', `supported protocol versions are ${SUPPORTED_VERSIONS}`);
    }
    const user = parser.text(HEADER.login);
    const password = parser.text(HEADER.passcode);
    const host = parser.text(HEADER.host);
    const offer = parseHeartBeat(parser.text(HEADER.heartBeat));
    this.writer = new FrameWriter(transport, version, context.destinationLines[version]!);
    if (user === null || password === null) {
      throw new StompError('Bad CONNECT', "'login' and 'passcode' are required");
    }
    const vhost = host === null || host === '' ? DEFAULT_VHOST : host;
    let session: Session;
    try {
      session = await this.login(user, password, vhost);
    } catch (error) {
      context.log.warn(
        { connection: this.id, peer: transport.peer, user, vhost, reason: String(error) },
        'STOMP login refused',
      );
      // Whatever was wrong, a stranger learns the same.
      if (error instanceof BrokerError && error.kind === 'access-refused') {
        throw new StompError('Bad CONNECT', `access refused for user '${user}'`);
      }
      throw error;
    }
    this.session = session;
    if (this.state !== 'login') return;
    this.state = 'running';
    parser.version = version;
    const destinations = context.destinations[version]!;
    this.subscriptions = new Subscriptions(this, session, destinations);
    this.publisher = new Publisher(this, session, this.subscriptions, destinations);
    const beat = context.limits.minHeartBeatMs;
    const headers: [string, string][] = [
      ['version', versionName(version)],
      ['server', `Trivium/${context.version}`],
      ['session', this.sessionId],
      ['heart-beat', `${beat},${beat}`],
    ];
    // CONNECTED is never escaped (STOMP 1.2, «Value Encoding»), and none of these values needs it.
    this.writer.frame(textFrame('CONNECTED', headers, '', STOMP_VERSION.v1_0));
    this.heartBeat.start(offer, beat);
    context.log.info({ connection: this.id, peer: transport.peer, user, vhost }, 'STOMP connection opened');
  }

  /**
   * «It is RECOMMENDED clients set this to the host name that the socket was established against» (STOMP 1.2, CONNECT),
   * and several libraries do: where that is no virtual host of the user's, the default one is meant.
   */
  private async login(user: string, password: string, vhost: string): Promise<Session> {
    const { context, transport } = this;
    const { loopback } = transport;
    try {
      return await context.door.login({ user, password, vhost, loopback });
    } catch (error) {
      if (!(error instanceof BrokerError) || !isOwnName(vhost, transport.local)) throw error;
      return context.door.login({ user, password, vhost: DEFAULT_VHOST, loopback });
    }
  }

  private disconnect(): void {
    this.subscriptions?.release();
    const goodbye = new Goodbye(this.receiptId());
    this.state = 'closing';
    if (this.ring.size > 0) this.ring.settle(this.ring.open(goodbye));
    else {
      if (goodbye.receipt !== null) this.writer.receipt(goodbye.receipt);
      this.finish();
    }
  }

  private transaction(): string {
    const { parser } = this;
    const name = parser.text(HEADER.transaction);
    if (name === null || name === '') {
      throw new StompError('Missing header', `${commandName(parser.command)} needs the 'transaction' header`);
    }
    return name;
  }

  /** The current frame's receipt header, byte for byte, or null. */
  receiptId(): string | null {
    const { parser } = this;
    if (parser.receiptStart < 0) return null;
    return parser.buffer.toString('latin1', parser.start + parser.receiptStart, parser.start + parser.receiptEnd);
  }

  /** A frame was carried out: its receipt, behind those that still wait. */
  receipt(receiptId: string | null): void {
    if (receiptId === null || this.state !== 'running') return;
    if (this.ring.size > 0) this.ring.settle(this.ring.open(receiptId));
    else this.writer.receipt(receiptId);
  }

  // Waiting, and the end.

  suspend(work: Promise<void>): void {
    this.suspensions++;
    this.updateReading();
    work.then(
      () => this.continue(null),
      (error: unknown) => this.continue(error),
    );
  }

  private continue(error: unknown): void {
    this.context.turn.begin();
    this.suspensions--;
    if (error !== null) this.fail(error);
    if (this.suspensions > 0) return;
    if (this.state === 'closing' || this.state === 'closed') this.release();
    else this.goOn();
  }

  /** Frames that were parsed no further, then the socket. */
  goOn(): void {
    if (this.hearing()) this.pump();
    this.updateReading();
  }

  private isHeld(): boolean {
    return this.blocked && this.publisher !== null && this.publisher.count > 0;
  }

  private updateReading(): void {
    if (this.state === 'closing' || this.state === 'closed') return;
    const pause = !this.hearing();
    if (pause === this.paused) return;
    this.paused = pause;
    if (pause) this.transport.pause();
    else this.transport.resume();
  }

  /** Ends the connection with an ERROR frame. */
  fail(error: unknown, receiptId: string | null = this.receiptId()): void {
    if (this.state === 'closed' || this.failed) return;
    this.failed = true;
    const { log } = this.context;
    const details = { connection: this.id, peer: this.transport.peer, user: this.session?.identity.user ?? null };
    let summary = 'internal_error';
    let detail = 'the broker failed to handle a frame';
    if (error instanceof StompError) {
      summary = error.summary;
      detail = error.detail;
    } else if (error instanceof BrokerError) {
      summary = summaryOf(error.kind);
      detail = error.message;
    } else log.error({ ...details, error: error instanceof Error ? error.stack : String(error) }, 'STOMP frame failed');
    log.info({ ...details, summary, detail }, 'STOMP connection refused');
    // Nothing comes behind an ERROR: not a message, not a receipt.
    this.release();
    this.writer.frame(errorFrame(summary, detail, receiptId, this.writer.version));
    this.finish();
  }

  private finish(): void {
    this.state = 'closing';
    this.publisher?.rest.end();
    this.transport.end();
  }

  /** Gives everything back: what is out goes back to its queues, consumers and exclusive queues end. Idempotent. */
  private release(): void {
    this.ring.close();
    this.subscriptions?.release();
    // What is suspended may still declare and consume; it is given back when it is done.
    if (this.suspensions === 0) this.session?.close();
  }
}

/** Whether that is a name or an address of this machine, as the socket or the system knows it. */
function isOwnName(name: string, local: string): boolean {
  const address = local.slice(0, local.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  return name === 'localhost' || name === address || name === hostname();
}

function notConnected(): StompError {
  return new StompError('Not connected', 'the first frame must be CONNECT or STOMP');
}
