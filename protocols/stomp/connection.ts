// A STOMP connection: it turns frames into calls of the session, in the order in which they came. What has to wait
// (a declaration, an authorisation) suspends the parser; nothing overtakes it. Every violation and every refusal ends
// in one ERROR frame and the end of this connection, and of no other.

import { BrokerError } from '../../src/core/errors.ts';
import { EMPTY_TABLE } from '../../src/core/message/field-table.ts';
import { countLimit } from '../../src/core/ports/limit-hits.ts';
import type { ClientConnection, ConnectionInfo } from '../../src/core/session/client-connection.ts';
import { type Debtor, excessOf, type MemoryAccount, type MemoryLimit } from '../../src/core/session/memory-ledger.ts';
import type { Session } from '../../src/core/session/session.ts';
import type { WorkDescription, Worker } from '../../src/core/turn/turn-watch.ts';
import { type GatedInput, ReadGate } from '../../src/net/read-gate.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import type { StompClient } from './client.ts';
import { COMMAND, commandName } from './command.ts';
import type { StompContext } from './context.ts';
import { FrameParser } from './frame-parser.ts';
import { errorFrame, FrameWriter } from './frame-writer.ts';
import { HEADER } from './header-names.ts';
import { type Beating, HeartBeat } from './heart-beat.ts';
import { connectedFrame, logIn, readConnect } from './login.ts';
import { Publisher } from './publisher.ts';
import { type ReceiptClient, Receipts } from './receipts.ts';
import { notConnected, StompError, shownToPeer } from './stomp-error.ts';
import { Subscriptions } from './subscriptions.ts';
import { Transactions } from './transactions.ts';
import { STOMP_VERSION, versionName } from './version.ts';

type State = 'login' | 'running' | 'closing' | 'closed';

export class StompConnection
  implements TransportHandler, ClientConnection, Debtor, StompClient, ReceiptClient, Beating, GatedInput, Worker
{
  readonly id: number;
  readonly transport: Transport;
  readonly context: StompContext;
  readonly parser: FrameParser;
  readonly gate: ReadGate;
  readonly receipts: Receipts;
  private readonly heartBeat: HeartBeat;
  private readonly account: MemoryAccount;
  private readonly connectedAt: number;
  private state: State;
  private session: Session | null;
  readonly sessionId: string;
  writer: FrameWriter;
  private publisher: Publisher | null;
  private transactions: Transactions | null;
  private subscriptions: Subscriptions | null;
  /** The parser's current frame is a SEND that waits until publishers are released. */
  private sendWaits: boolean;
  private failed: boolean;

  constructor(transport: Transport, context: StompContext) {
    this.id = context.connections.nextId();
    this.transport = transport;
    this.context = context;
    this.parser = new FrameParser(context.limits);
    this.parser.beforeLogin = true;
    this.gate = new ReadGate(transport, this);
    this.gate.expectLogin();
    this.receipts = new Receipts(this, context.turn);
    this.account = context.memory.open(this, transport.address);
    this.heartBeat = new HeartBeat(transport, context.ticker, this, context.limits.loginTimeoutMs);
    this.connectedAt = context.turn.now;
    this.state = 'login';
    this.session = null;
    this.sessionId = `${context.startedAt.toString(36)}.${this.id.toString(36)}`;
    this.writer = new FrameWriter(transport, STOMP_VERSION.v1_2, context.destinationLines[STOMP_VERSION.v1_2]!);
    this.publisher = null;
    this.transactions = null;
    this.subscriptions = null;
    this.sendWaits = false;
    this.failed = false;
    context.connections.add(this);
  }

  // What the transport calls.

  data(chunk: Buffer): void {
    // Before anything else: what ends the turn may end this connection.
    this.context.turn.input(chunk.length);
    this.received(chunk);
    this.account.update(this.heldBytes());
    this.context.turn.inputHandled(this);
  }

  /** Memory that the connection holds beside messages in queues. */
  private heldBytes(): number {
    const { parser, transport, session, transactions } = this;
    if (this.state === 'closing' || this.state === 'closed') return 0;
    const open = transactions === null ? 0 : transactions.heldBytes;
    return parser.heldBytes + transport.outbox.unsentBytes + (session === null ? 0 : session.consumerBytes) + open;
  }

  sayFault(): boolean {
    if (this.failed || this.state !== 'running') return false;
    this.failed = true;
    this.gate.end();
    const { summary, detail } = shownToPeer(null);
    this.writer.frame(errorFrame(summary, detail, null, this.writer.version));
    return true;
  }

  exceeded(limit: MemoryLimit): void {
    this.context.turn.begin();
    if (this.failed || this.state === 'closing') this.transport.destroy();
    else this.fail(new StompError('Limit exceeded', excessOf(limit), limit), null);
  }

  describeWork(): WorkDescription {
    const { id: connection, session } = this;
    const { peer } = this.transport;
    const [user, vhost] = [session?.identity.user ?? null, session?.vhost.name ?? null];
    return { work: 'STOMP input', connection, peer, user, vhost };
  }

  private received(chunk: Buffer): void {
    if (this.state === 'closing' || this.state === 'closed') return;
    if (this.state === 'login') this.writer.followClient();
    this.parser.push(chunk);
    this.pump();
    if (this.running && this.gate.publishes) this.publisher!.throttle.afterChunk(chunk.length, this.session!);
    this.gate.inputHandled();
  }

  drained(): void {
    this.context.turn.begin();
    this.gate.drained();
    this.subscriptions?.resume();
    this.account.update(this.heldBytes());
  }

  closed(error: Error | null): void {
    const wasRunning = this.state === 'running';
    this.state = 'closed';
    this.context.connections.remove(this);
    this.account.close();
    this.context.turn.begin();
    this.gate.end();
    this.publisher?.throttle.end();
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

  beat(): void {
    this.context.turn.begin();
    this.writer.heartBeat();
  }

  silent(what: 'heart-beat' | 'login'): void {
    this.context.turn.begin();
    if (what === 'login') {
      this.fail(new StompError('Login timeout', 'no CONNECT frame came in time', 'limits.unauthenticatedMs'), null);
    } else
      this.fail(new StompError('Heart-beat timeout', 'nothing came for longer than the heart-beat interval'), null);
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
      state: this.state === 'login' ? 'starting' : this.gate.blocked ? 'blocked' : this.state,
      clientProperties: EMPTY_TABLE,
      name: this.session === null ? null : this.sessionId,
    };
  }

  block(): void {
    this.gate.hold(true);
  }

  unblock(): void {
    this.gate.hold(false);
  }

  shutdown(reason: string): void {
    this.context.turn.begin();
    this.fail(new StompError('Connection closed by the broker', reason), null);
  }

  // Frames.

  private pump(): void {
    const { parser, gate } = this;
    if (this.state === 'closing' || this.state === 'closed') return;
    try {
      while (gate.open && (this.sendWaits || parser.next())) {
        const { publisher } = this;
        if (parser.command !== COMMAND.send) this.control();
        else if (publisher === null) throw notConnected();
        else {
          this.sendWaits = !gate.mayPublish();
          if (!this.sendWaits) publisher.send();
        }
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
        const acknowledgement = subscriptions.readAcknowledgement();
        const transaction = parser.text(HEADER.transaction);
        if (transaction === null) subscriptions.settle(acknowledgement);
        else publisher.acknowledge(transaction, acknowledgement);
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
    this.receipts.give(parser.receiptId());
  }

  private async connect(): Promise<void> {
    const { parser, transport, context } = this;
    const request = readConnect(parser, transport.httpCredentials);
    const { version, heartBeat } = request;
    this.writer = new FrameWriter(transport, version, context.destinationLines[version]!);
    const session = await logIn(request, this, context);
    this.session = session;
    if (this.state !== 'login') return;
    this.state = 'running';
    this.gate.loggedIn();
    this.account.loggedIn(session.identity.user);
    parser.version = version;
    parser.beforeLogin = false;
    const destinations = context.destinations[version]!;
    const transactions = new Transactions(context.limits);
    this.transactions = transactions;
    this.subscriptions = new Subscriptions(this, session, destinations, transactions);
    this.publisher = new Publisher(this, session, this.subscriptions, destinations, transactions);
    this.writer.frame(connectedFrame(version, this.sessionId, context));
    this.heartBeat.start(heartBeat, context.limits.minHeartBeatMs);
    context.log.info(
      { connection: this.id, peer: transport.peer, user: session.identity.user, vhost: session.vhost.name },
      'STOMP connection opened',
    );
  }

  private disconnect(): void {
    this.subscriptions?.release();
    this.state = 'closing';
    this.receipts.giveLast(this.parser.receiptId());
  }

  private transaction(): string {
    const { parser } = this;
    const name = parser.text(HEADER.transaction);
    if (name === null || name === '') {
      throw new StompError('Missing header', `${commandName(parser.command)} needs the 'transaction' header`);
    }
    return name;
  }

  // Waiting, and the end.

  suspend(work: Promise<void>): void {
    this.gate.beginWork();
    work.then(
      () => this.continue(null),
      (error: unknown) => this.continue(error),
    );
  }

  private continue(error: unknown): void {
    this.context.turn.begin();
    this.gate.endWork();
    if (error !== null) this.fail(error);
    if (this.gate.workPending) return;
    if (this.state === 'closing' || this.state === 'closed') this.release();
    else if (this.context.turn.isLong) void this.context.turn.slices.next(this).then(() => this.gate.goOn());
    else this.gate.goOn();
  }

  // What the gate calls.

  countWaitingInput(): void {
    const { parser } = this;
    // The SEND that waits was parsed already.
    this.context.turn.input(parser.waitingBytes + (this.sendWaits ? parser.bodyStart + parser.bodyLength : 0));
  }

  handleWaitingInput(): void {
    const { turn } = this.context;
    turn.begin();
    turn.inputContinues();
    this.pump();
    this.account.update(this.heldBytes());
    turn.inputHandled(this);
  }

  /** Ends the connection with an ERROR frame. */
  fail(error: unknown, receiptId: string | null = this.parser.receiptId()): void {
    if (this.state === 'closed' || this.failed) return;
    if (!(error instanceof StompError || error instanceof BrokerError)) {
      this.context.turn.faults.report('input', error, this);
      this.writer.broken();
      return;
    }
    this.failed = true;
    const { log, meters } = this.context;
    countLimit(meters.limitHits, error);
    const details = { connection: this.id, peer: this.transport.peer, user: this.session?.identity.user ?? null };
    const { summary, detail } = shownToPeer(error);
    log.info({ ...details, summary, detail }, 'STOMP connection refused');
    // Nothing comes behind an ERROR: not a message, not a receipt.
    this.release();
    this.writer.frame(errorFrame(summary, detail, receiptId, this.writer.version));
    this.finish();
  }

  finish(): void {
    this.state = 'closing';
    this.gate.end();
    this.publisher?.throttle.end();
    this.transport.end();
  }

  /** Gives everything back: what is out goes back to its queues, consumers and exclusive queues end. Idempotent. */
  private release(): void {
    this.receipts.close();
    this.subscriptions?.release();
    // What is suspended may still declare and consume; it is given back when it is done.
    if (!this.gate.workPending) this.session?.close();
  }
}
