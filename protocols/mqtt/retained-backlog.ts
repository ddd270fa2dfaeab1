// Retained messages that a session still has to be sent after its subscriptions: a list that is walked as the outbox and
// the packet ids allow. It holds references to messages that are in memory anyway.

import type { Message } from '../../src/core/message.ts';

interface Batch {
  readonly messages: readonly Message[];
  readonly qos: number;
  readonly identifiers: readonly number[];
}

export class RetainedBacklog {
  private readonly batches: Batch[];
  private batch: number;
  private at: number;

  constructor() {
    this.batches = [];
    this.batch = 0;
    this.at = 0;
  }

  /** What one subscription of that QoS and with those identifiers selected; `messages` is not empty. */
  add(messages: readonly Message[], qos: number, identifiers: readonly number[]): void {
    this.batches.push({ messages, qos, identifiers });
  }

  /** The next message, or null where none is left. */
  peek(): Message | null {
    return this.batches[this.batch]?.messages[this.at] ?? null;
  }

  /** The QoS of the subscription that selected it. */
  peekQos(): number {
    return this.batches[this.batch]!.qos;
  }

  peekIdentifiers(): readonly number[] {
    return this.batches[this.batch]!.identifiers;
  }

  /** The message that `peek` gave was sent. */
  next(): void {
    if (++this.at < this.batches[this.batch]!.messages.length) return;
    this.batch++;
    this.at = 0;
  }
}
