// Takes the messages that died in the queues of one virtual host to their dead letter exchanges. A task of the work list:
// a queue only says that an entry died, wherever that happens (within a publish, too), and is told here when it may go.
// Until then the entry counts as out.
//
// A message leaves its queue and enters others in one transaction of the store, and a publisher that still waits for its
// confirm waits for the copies in place of the original: no crash loses a dead letter that was promised.

import { type Death, furtherKeys, isAutomaticCycle, propertiesOfDead } from './death.ts';
import type { Exchange } from './exchange.ts';
import type { LoadedRange, Meters, PropertyRewriter, QueueStore } from './ports.ts';
import { type QueueEntry, storeIdOf } from './queue-entry.ts';
import { Ring } from './ring.ts';
import type { Task, Turn } from './turn.ts';

/** Dead letters in one slice of the work list, and copies of them after which it ends: one letter may reach thousands. */
const SLICE = 64;
const SLICE_COPIES = 256;

export interface DeadLetterSurroundings {
  readonly store: QueueStore;
  readonly turn: Turn;
  readonly rewriter: PropertyRewriter;
  readonly meters: Meters;
}

const COUNTED = {
  rejected: 'deadLetteredRejected',
  expired: 'deadLetteredExpired',
  maxlen: 'deadLetteredMaxlen',
  delivery_limit: 'deadLetteredDeliveryLimit',
} as const satisfies Readonly<Record<Death, keyof Meters>>;

interface DeadLetter {
  readonly entry: QueueEntry;
  readonly death: Death;
}

export class DeadLetters implements Task {
  private readonly exchanges: ReadonlyMap<string, Exchange>;
  private readonly around: DeadLetterSurroundings;
  private readonly letters: Ring<DeadLetter>;
  /** Whether it is on the work list, or will be when what is being read back is in. */
  private busy: boolean;
  /** What was published in this slice. */
  private copies: number;

  constructor(exchanges: ReadonlyMap<string, Exchange>, around: DeadLetterSurroundings) {
    this.exchanges = exchanges;
    this.around = around;
    this.letters = new Ring();
    this.busy = false;
    this.copies = 0;
  }

  /** An entry died. Its queue has a dead letter exchange, and counts the entry as out. */
  add(entry: QueueEntry, death: Death): void {
    this.letters.push({ entry, death });
    if (this.busy) return;
    this.busy = true;
    this.around.turn.work(this);
  }

  /** One slice, in the order of deaths: an entry whose bytes have to be read back first holds up those behind it. */
  run(): boolean {
    this.copies = 0;
    for (let done = 0; done < SLICE && this.copies < SLICE_COPIES; done++) {
      const letter = this.letters.peek();
      if (letter === undefined) {
        this.busy = false;
        return false;
      }
      if (letter.entry.unloaded && !letter.entry.queue.deleted && !this.readBack(letter.entry)) return false;
      this.letters.shift();
      this.around.store.group(() => this.bury(letter));
    }
    return true;
  }

  private bury({ entry, death }: DeadLetter): void {
    if (entry.unloaded) {
      giveUp(entry);
      return;
    }
    this.publish(entry, death);
    entry.queue.buried(entry);
    // Where the store had not committed it, it has settled this already.
    const { ring } = entry;
    entry.ring = null;
    ring?.settle(entry.slot);
  }

  private publish(entry: QueueEntry, death: Death): void {
    const { queue, message, ring, slot } = entry;
    const address = queue.deadLetters!;
    const exchange = this.exchanges.get(address.exchange);
    const { rewriter, turn, meters } = this.around;
    if (exchange === undefined) {
      meters.deadLettersLost++;
      return;
    }
    meters[COUNTED[death]]++;
    const copiesBefore = this.copies;
    const properties = propertiesOfDead(message, queue.name, death, turn.now, address.routingKey !== null);
    const native = rewriter.rewrite(message, properties);
    const dead = message.rewritten(exchange.name, address.routingKey ?? message.routingKey, native, rewriter.codec);
    for (const target of exchange.routeCopies(dead, furtherKeys(properties.headers))) {
      if (isAutomaticCycle(properties.headers, target.queue.name, death)) continue;
      this.copies++;
      // A full queue drops a dead letter; to the publisher of the original nothing was refused.
      target.queue.accept(dead, target, target.queue.refuses(0, 0) ? null : ring, slot);
    }
    if (this.copies === copiesBefore) meters.deadLettersLost++;
  }

  /** True where the bytes are there now, or never will be; false where they come later. */
  private readBack(entry: QueueEntry): boolean {
    let loaded: LoadedRange | Promise<LoadedRange>;
    try {
      loaded = this.around.store.load(storeIdOf(entry), entry.seq, entry.seq + 1, 1, Number.POSITIVE_INFINITY);
    } catch (error) {
      entry.queue.damaged(error as Error);
      return true;
    }
    if (!(loaded instanceof Promise)) {
      takeIn(entry, loaded);
      return true;
    }
    loaded.then(
      (range) => {
        takeIn(entry, range);
        this.goOn(entry);
      },
      (error: unknown) => {
        entry.queue.damaged(error as Error);
        this.goOn(entry);
      },
    );
    return false;
  }

  private goOn(entry: QueueEntry): void {
    if (entry.unloaded) {
      this.letters.shift();
      giveUp(entry);
    }
    this.around.turn.work(this);
  }
}

/** The bytes went with its queue, or they cannot be read: then it stays where it is until the next start. */
function giveUp(entry: QueueEntry): void {
  const { ring } = entry;
  entry.ring = null;
  ring?.refuse(entry.slot);
}

function takeIn(entry: QueueEntry, { entries }: LoadedRange): void {
  const stored = entries[0];
  if (entry.queue.deleted) return;
  if (stored?.seq === entry.seq) entry.queue.readBack(entry, stored.message);
  else entry.queue.damaged(new Error(`entry ${entry.seq} of queue '${entry.queue.name}' is not on disk`));
}
