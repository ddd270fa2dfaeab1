// A STOMP front-end on a core without sockets or disk; clients are byte streams in memory.

import assert from 'node:assert/strict';
import type { StompSettings } from '../../protocols/stomp/context.ts';
import { stompFrontEnd } from '../../protocols/stomp/front-end.ts';
import { STOMP_LIMITS } from '../../protocols/stomp/limits.ts';
import type { HttpCredentials } from '../../src/net/http-credentials.ts';
import { MESSAGE_KIND, type MessageKind } from '../../src/net/message-kind.ts';
import type { Accept } from '../../src/net/transport.ts';
import { MemoryTransport, type Written } from '../support/memory-transport.ts';
import { type CoreOptions, ProtocolHarness } from '../support/protocol-harness.ts';
import { frame, type ReadFrame, readFrames } from './frames.ts';

export interface HarnessOptions extends CoreOptions {
  readonly settings?: Partial<StompSettings>;
}

export class Harness extends ProtocolHarness {
  readonly accept: Accept;

  constructor(given: HarnessOptions = {}) {
    super(given);
    this.accept = stompFrontEnd(this.context, this.ticker, { ...STOMP_LIMITS, anonymous: null, ...given.settings });
  }

  /** A client that has sent nothing yet; `kind` is the type of its WebSocket messages. */
  open(kind: MessageKind = MESSAGE_KIND.binary, httpCredentials: HttpCredentials | null = null): Client {
    return new Client(this, kind, httpCredentials);
  }

  /** A client that is logged in; its CONNECTED was read. */
  async connect(headers: readonly string[] = [], kind: MessageKind = MESSAGE_KIND.binary): Promise<Client> {
    const client = this.open(kind);
    client.send(frame('CONNECT', ['login:guest', 'passcode:guest', ...headers, 'accept-version:1.2']));
    await this.settle();
    const [connected] = client.take();
    assert.equal(connected?.command, 'CONNECTED', connected?.body.toString());
    return client;
  }
}

/** One end of a connection. */
export class Client {
  readonly transport: MemoryTransport;
  private readonly harness: Harness;

  constructor(harness: Harness, kind: MessageKind, httpCredentials: HttpCredentials | null) {
    this.harness = harness;
    this.transport = new MemoryTransport(harness, kind, httpCredentials);
    this.transport.handler = harness.accept(this.transport);
  }

  get closed(): boolean {
    return this.transport.ended;
  }

  send(...frames: Buffer[]): void {
    this.transport.receive(Buffer.concat(frames));
  }

  /** Breaks the connection. */
  drop(): void {
    this.transport.destroy();
  }

  /** Sends, waits, and returns the frames received since the last call. */
  async exchange(...frames: Buffer[]): Promise<ReadFrame[]> {
    this.send(...frames);
    await this.harness.settle();
    return this.take();
  }

  /** The frames received since the last call. */
  take(): ReadFrame[] {
    const { frames, rest } = readFrames(Buffer.concat(this.transport.written.splice(0).map(({ bytes }) => bytes)));
    assert.equal(rest.length, 0, 'a frame was cut off');
    return frames;
  }

  /** The raw bytes received, with the type of WebSocket message that carried them. */
  takeRaw(): Written[] {
    return this.transport.written.splice(0);
  }
}
