// A publish that reaches thousands of queues, done in slices on the work list, so that one message does not block the
// event loop. Its publisher waits until it ends before it publishes again, which keeps its order in every queue.

import type { Message } from '../message/message.ts';
import type { ConfirmRing } from '../turn/confirms.ts';
import type { Task, Turn } from '../turn/turn.ts';
import type { WorkDescription } from '../turn/turn-watch.ts';
import type { Target } from './target.ts';

/** Targets of one slice; a publish with at most that many is done at once. */
export const FAN_OUT_SLICE = 1024;

export class FanOut implements Task {
  /** Resolves when every target has the message. */
  readonly done: Promise<void>;
  private readonly message: Message;
  private readonly targets: readonly Target[];
  private readonly ring: ConfirmRing | null;
  private readonly slot: number;
  private readonly finished: () => void;
  private at: number;

  /** `ended` is called when the last target has it, before `done` resolves. */
  constructor(
    message: Message,
    targets: readonly Target[],
    ring: ConfirmRing | null,
    slot: number,
    turn: Turn,
    ended: () => void,
  ) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    this.finished = () => {
      ended();
      resolve();
    };
    this.message = message;
    this.targets = targets;
    this.ring = ring;
    this.slot = slot;
    this.at = 0;
    // The caller's hold ends when the publish returns; this one when the last target was offered the message.
    ring?.hold(slot);
    turn.retain(message);
    turn.work(this);
  }

  describeWork(): WorkDescription {
    const { exchange, routingKey } = this.message;
    return { work: 'fan-out of a message', exchange, routingKey, queues: this.targets.length };
  }

  /** A slice threw: the publisher is not told that all targets have it, and may publish again. */
  failed(): void {
    this.ring?.refuse(this.slot);
    this.finished();
  }

  run(): boolean {
    const { message, targets, ring, slot } = this;
    const end = Math.min(this.at + FAN_OUT_SLICE, targets.length);
    for (; this.at < end; this.at++) {
      const target = targets[this.at]!;
      // Between slices a queue may have been deleted; nothing may be stored for it any more.
      if (!target.queue.deleted) target.queue.accept(message, target, ring, slot);
    }
    if (end < targets.length) return true;
    ring?.settle(slot);
    this.finished();
    return false;
  }
}
