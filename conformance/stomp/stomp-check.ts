// The kit for STOMP checks: connections over TCP or WebSocket in one version, and destinations whose queues are deleted
// when the check ends. One rule becomes a check for each version that has it, and one over WebSocket for the newest of
// them.

import { dial, TcpCarrier } from '../carrier.ts';
import type { Check, CheckContext, Controls, Level } from '../check.ts';
import { type UpgradeOptions, WebSocketClient } from '../websocket.ts';
import { StompConnection, type Subscription } from './wire/connection.ts';
import { VERSIONS, type Version } from './wire/frames.ts';

export const MUST: Level = 'MUST';
export const SHOULD: Level = 'SHOULD';
export const EXTENSION: Level = 'extension';

export const SINCE_1_1: readonly Version[] = ['1.1', '1.2'];
export const ONLY_1_2: readonly Version[] = ['1.2'];
export const ONLY_1_1: readonly Version[] = ['1.1'];
export const ONLY_1_0: readonly Version[] = ['1.0'];
export const UNTIL_1_1: readonly Version[] = ['1.0', '1.1'];

export const TRANSPORTS = ['tcp', 'ws'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** Shorter than the runner's time limit for cleaning up, so that no socket stays open. */
const DELETE_TIMEOUT_MS = 4_000;

export class StompTest {
  readonly context: CheckContext;
  /** The version of the rule. */
  readonly version: Version;
  readonly transport: Transport;
  private readonly queues: string[];

  constructor(context: CheckContext, version: Version, transport: Transport) {
    this.context = context;
    this.version = version;
    this.transport = transport;
    this.queues = [];
  }

  /** Whether the rule's version is this one or newer. */
  since(version: Version): boolean {
    return VERSIONS.indexOf(this.version) >= VERSIONS.indexOf(version);
  }

  /** A SEND or SUBSCRIBE that fails must cause an ERROR from 1.1 on; in 1.0 an ERROR is optional. */
  async expectRefused(connection: StompConnection): Promise<void> {
    if (this.since('1.1')) await connection.expectError();
    else await connection.expectRefusal();
  }

  /** A connection that has sent nothing yet. */
  async dial(version = this.version): Promise<StompConnection> {
    return this.transport === 'ws' ? this.dialWebSocket({}, version) : this.dialTcp(version);
  }

  /** The same over TCP, whatever the check's transport. */
  async dialTcp(version = this.version): Promise<StompConnection> {
    const { host, port } = this.context.endpoint;
    return new StompConnection(new TcpCarrier(await dial(this.context, host, port)), this.context, version);
  }

  /** The same over WebSocket, by default with the version's subprotocol. */
  async dialWebSocket(options: UpgradeOptions = {}, version = this.version): Promise<StompConnection> {
    const subprotocols = [subprotocolOf(version)];
    const carrier = await WebSocketClient.open(this.context, { subprotocols, ...options });
    return new StompConnection(carrier, this.context, version);
  }

  /** A connection that is logged in. */
  async connect(lines: Readonly<Record<string, string>> = {}, version = this.version): Promise<StompConnection> {
    const connection = await this.dial(version);
    await connection.connect(lines);
    return connection;
  }

  /** A destination with a durable queue, which is deleted when the check ends. */
  queue(): string {
    if (this.queues.length === 0) this.context.after(() => this.deleteQueues());
    const name = this.context.name();
    this.queues.push(name);
    return `/queue/${name}`;
  }

  /** A connection subscribed to a new queue. */
  async loop(lines: Readonly<Record<string, string>> = {}): Promise<Loop> {
    const connection = await this.connect();
    const { id, destination } = await connection.subscribe(this.queue(), lines);
    return { connection, id, destination };
  }

  /**
   * Sends bytes in pieces that the broker reads separately. Before each next piece another connection gets an answer,
   * which shows that the broker has read the previous piece.
   */
  async sendInPieces(connection: StompConnection, pieces: readonly Buffer[]): Promise<void> {
    const other = await this.connect();
    for (const piece of pieces) {
      connection.carrier.send(piece);
      await other.roundTrip();
    }
  }

  /** Sends messages to a queue over a separate connection; resolves when the queue has them. */
  async fill(destination: string, ...bodies: string[]): Promise<void> {
    const publisher = await this.connect();
    for (const body of bodies) await publisher.request('SEND', { destination, persistent: 'true' }, body);
    publisher.carrier.socket.destroy();
  }

  /** Takes the messages of the queue, in order, over a separate connection. */
  async left(destination: string): Promise<string[]> {
    const taker = await this.connect();
    // A message sent now is the last one.
    await taker.request('SEND', { destination, persistent: 'true' }, LAST);
    await taker.subscribe(destination);
    const bodies: string[] = [];
    for (;;) {
      const body = (await taker.message()).body.toString();
      if (body === LAST) break;
      bodies.push(body);
    }
    taker.carrier.socket.destroy();
    return bodies;
  }

  /**
   * STOMP has no command to delete a queue. RabbitMQ deletes the queue of a durable subscription when it is cancelled,
   * and `x-queue-name` selects that queue. A broker without these extensions keeps an empty queue.
   */
  private async deleteQueues(): Promise<void> {
    const context = { ...this.context, signal: AbortSignal.timeout(DELETE_TIMEOUT_MS), note: () => {} };
    const { host, port } = context.endpoint;
    for (const name of this.queues) {
      const socket = await dial(context, host, port);
      try {
        const connection = new StompConnection(new TcpCarrier(socket), context, '1.2');
        await connection.connect();
        const asked = { durable: 'true', 'auto-delete': 'false', 'x-queue-name': name };
        await connection.subscribe(`/topic/${name}`, { id: name, ...asked });
        await connection.request('UNSUBSCRIBE', { id: name, durable: 'true', 'x-queue-name': name });
      } finally {
        socket.destroy();
      }
    }
  }
}

export interface Loop extends Subscription {
  readonly connection: StompConnection;
}

const LAST = 'nothing is behind this';

export function subprotocolOf(version: Version): string {
  return `v${version.replace('.', '')}.stomp`;
}

export interface StompOptions {
  /** The versions that have the rule; all by default. */
  readonly versions?: readonly Version[];
  /** The transports of the rule; both by default. */
  readonly over?: readonly Transport[];
  /** The check waits for real time to pass. */
  readonly slow?: boolean;
  readonly needs?: keyof Controls;
}

/** The checks of one rule, by version and transport. `level` may differ by version. */
export function stomp(
  id: string,
  section: string,
  level: Level | Readonly<Partial<Record<Version, Level>>>,
  title: string,
  run: (t: StompTest) => Promise<void>,
  { versions = VERSIONS, over = TRANSPORTS, slow = false, needs }: StompOptions = {},
): readonly Check[] {
  const newest = versions.at(-1)!;
  return over.flatMap((transport) =>
    versions
      .filter((version) => over.length === 1 || transport === 'tcp' || version === newest)
      .map((version) => ({
        id: `stomp.${transport === 'ws' ? 'ws.' : ''}v${version.replace('.', '')}.${id}`,
        protocol: 'stomp' as const,
        version,
        section,
        level: typeof level === 'string' ? level : level[version]!,
        title,
        fast: !slow,
        needs: needs ?? null,
        webSocket: transport === 'ws',
        run: (context: CheckContext) => run(new StompTest(context, version, transport)),
      })),
  );
}
