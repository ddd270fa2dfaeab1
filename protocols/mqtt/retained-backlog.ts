// Retained messages that a session still has to be sent after its subscriptions: one search for each, read one after the
// other as the outbox and the packet ids allow. A bounded number of messages is in memory at a time. What was replaced
// between reading and sending is left out: its successor has come live, and the older one must not come behind it.

import type { Message } from '../../src/core/message.ts';
import type { RetainedCursor } from '../../src/core/ports.ts';

/** Reading stops when so many messages or bytes of bodies are there. */
const ENOUGH_MESSAGES = 64;
const ENOUGH_BYTES = 256 * 1024;

interface Selected {
  readonly cursor: RetainedCursor;
  readonly qos: number;
  readonly identifiers: readonly number[];
}

interface Found extends Selected {
  readonly message: Message;
}

export class RetainedBacklog {
  private readonly ready: () => void;
  private readonly failed: (error: unknown) => void;
  private readonly waiting: Selected[];
  private found: Found[];
  private at: number;
  private filling: Promise<void> | null;

  /** `ready` is called when `peek`, which gave null, is worth another try; `failed` when messages cannot be read. */
  constructor(ready: () => void, failed: (error: unknown) => void) {
    this.ready = ready;
    this.failed = failed;
    this.waiting = [];
    this.found = [];
    this.at = 0;
    this.filling = null;
  }

  /** Subscriptions whose messages are not read to their end. */
  get selections(): number {
    return this.waiting.length;
  }

  /** What one subscription of that QoS and with those identifiers selects. */
  add(cursor: RetainedCursor, qos: number, identifiers: readonly number[]): void {
    this.waiting.push({ cursor, qos, identifiers });
  }

  /** Resolves when the first messages are there, or none are left. */
  fill(): Promise<void> {
    // Reset behind it and not within: where there is nothing to wait for it ends before it is kept here.
    this.filling ??= this.read().then(() => {
      this.filling = null;
    });
    return this.filling;
  }

  /** The next message, or null where none is there yet or none is left. */
  peek(): Message | null {
    for (; this.at < this.found.length; this.at++) {
      const { message, cursor } = this.found[this.at]!;
      if (cursor.isCurrent(message)) return message;
    }
    if (this.waiting.length > 0 && this.filling === null) this.fill().then(this.ready);
    return null;
  }

  /** The QoS of the subscription that selected it. */
  peekQos(): number {
    return this.found[this.at]!.qos;
  }

  peekIdentifiers(): readonly number[] {
    return this.found[this.at]!.identifiers;
  }

  /** The message that `peek` gave was sent. */
  next(): void {
    this.at++;
  }

  /** Whether nothing is left and nothing is on its way. */
  get empty(): boolean {
    return this.at === this.found.length && this.waiting.length === 0;
  }

  private async read(): Promise<void> {
    this.found = this.found.slice(this.at);
    this.at = 0;
    let bytes = 0;
    while (this.waiting.length > 0 && this.found.length < ENOUGH_MESSAGES && bytes < ENOUGH_BYTES) {
      const { cursor, qos, identifiers } = this.waiting[0]!;
      const messages = await cursor.read().catch((error: unknown) => {
        this.failed(error);
        return [];
      });
      if (messages.length === 0) this.waiting.shift();
      for (const message of messages) {
        this.found.push({ message, cursor, qos, identifiers });
        bytes += message.bodyLength;
      }
    }
  }
}
