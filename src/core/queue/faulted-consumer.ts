// After a delivery failed in the middle, its connection may not know the entry as unacknowledged, and does not return it
// when it ends. This task does, in a turn in which the connection has returned what it knows.

import type { Task } from '../turn/turn.ts';
import type { WorkDescription } from '../turn/turn-watch.ts';

/** The queue, as this task sees it. */
interface ReturningQueue<Consumer> {
  readonly name: string;
  requeueFaulted(consumer: Consumer): void;
}

export class FaultedConsumer<Consumer> implements Task {
  private readonly queue: ReturningQueue<Consumer>;
  private readonly consumer: Consumer;

  constructor(queue: ReturningQueue<Consumer>, consumer: Consumer) {
    this.queue = queue;
    this.consumer = consumer;
  }

  run(): boolean {
    this.queue.requeueFaulted(this.consumer);
    return false;
  }

  describeWork(): WorkDescription {
    return { work: 'return of entries after a fault', queue: this.queue.name };
  }
}
