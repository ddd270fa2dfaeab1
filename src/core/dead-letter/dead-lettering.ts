// Transfers the dead messages of one virtual host to their dead letter exchanges. It is a task of the work list: a
// queue only reports that an entry died, possibly in the middle of a publish, and is told here when the entry may be
// removed. Until then the entry counts as outstanding.
//
// A message leaves its queue and enters the others in one transaction of the store, and a publisher whose confirm is
// pending waits for the copies instead of the original: no crash loses a dead letter that was confirmed. A dead letter
// for thousands of queues is handed over in slices, and leaves its own queue with the last slice: a crash between two
// slices repeats it.

import { CopiesRoute } from '../exchange/copies-route.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { isBrokerTopic } from '../exchange/retainer.ts';
import type { CoreLimits } from '../limits.ts';
import { type Message, NEVER } from '../message/message.ts';
import type { PropertyRewriter } from '../message/property-rewriter.ts';
import { Ring } from '../message/ring.ts';
import type { Meters } from '../ports/meters.ts';
import type { Death } from '../queue/death-reason.ts';
import { type QueueEntry, storeIdOf } from '../queue/queue-entry.ts';
import type { LoadedRange, QueueStore } from '../queue/queue-store.ts';
import { NO_TARGETS, type Target } from '../queue/target.ts';
import type { Task, Turn } from '../turn/turn.ts';
import type { WorkDescription } from '../turn/turn-watch.ts';
import { DeadLetterTransfer } from './dead-letter-transfer.ts';
import { copiesOf, deathsOf, furtherKeys, isAutomatic, isAutomaticCycle, propertiesOfDead } from './x-death.ts';

/**
 * Dead letters in one slice of the work list, and offers to queues after which a slice ends. A dead letter with at most
 * that many targets is transferred in one transaction.
 */
const SLICE = 64;
/** Time that a slice spends on the routing keys of one dead letter. */
const ROUTING_MS = 2;
const SLICE_OFFERS = 256;

export interface DeadLetterDependencies {
  readonly store: QueueStore;
  readonly turn: Turn;
  readonly rewriter: PropertyRewriter;
  readonly meters: Meters;
  readonly limits: CoreLimits;
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

/** A dead letter, and where it goes. */
export interface DeadLetterAddress {
  readonly dead: Message;
  readonly targets: readonly Target[];
}

/** The search for a dead letter's targets, one routing key after another. */
interface DeadLetterRoute {
  readonly done: boolean;
  next(): void;
  /** Called when `done`. */
  address(): DeadLetterAddress;
}

function nowhere(message: Message): DeadLetterRoute {
  return { done: true, next() {}, address: () => ({ dead: message, targets: NO_TARGETS }) };
}

export class DeadLettering implements Task {
  private readonly exchanges: ReadonlyMap<string, Exchange>;
  private readonly dependencies: DeadLetterDependencies;
  private readonly letters: Ring<DeadLetter>;
  /** Whether it is on the work list, or will be when a pending read from disk has ended. */
  private busy: boolean;
  /** The route of the first dead letter, and then its transfer, while it is unfinished. */
  private routing: DeadLetterRoute | null;
  private transfer: DeadLetterTransfer | null;
  /** Offers to queues in this slice. */
  private offers: number;

  constructor(exchanges: ReadonlyMap<string, Exchange>, dependencies: DeadLetterDependencies) {
    this.exchanges = exchanges;
    this.dependencies = dependencies;
    this.letters = new Ring();
    this.busy = false;
    this.routing = null;
    this.transfer = null;
    this.offers = 0;
  }

  /** An entry died. Its queue has a dead letter exchange, and counts the entry as outstanding. */
  add(entry: QueueEntry, death: Death): void {
    this.letters.push({ entry, death });
    if (this.busy) return;
    this.busy = true;
    this.dependencies.turn.work(this);
  }

  describeWork(): WorkDescription {
    const letter = this.letters.peek();
    return { work: 'dead letters', queue: letter?.entry.queue.name ?? null, waiting: this.letters.length };
  }

  /**
   * A slice threw: the dead letter that it was at stays outstanding in its queue, so that a restart finds it again; the
   * others go on.
   */
  failed(): void {
    this.routing = null;
    this.transfer = null;
    this.letters.shift();
    this.busy = this.letters.length > 0;
    if (this.busy) this.dependencies.turn.work(this);
  }

  /** One slice, in the order of deaths: an entry that must be read back first delays those behind it. */
  run(): boolean {
    this.offers = 0;
    for (let done = 0; done < SLICE && this.offers < SLICE_OFFERS; done++) {
      const letter = this.letters.peek();
      if (letter === undefined) {
        this.busy = false;
        return false;
      }
      if (this.transfer === null) {
        const { entry } = letter;
        if (entry.unloaded && !entry.queue.deleted && !this.readBack(entry)) return false;
        if (entry.unloaded) {
          this.letters.shift();
          giveUp(entry);
          continue;
        }
        this.routing ??= this.route(letter);
        // A client may give a message hundreds of routing keys, each of which matches thousands of bindings.
        const { watch } = this.dependencies.turn;
        for (const began = watch.now(); !this.routing.done; ) {
          this.routing.next();
          if (watch.now() - began > ROUTING_MS) return true;
        }
        this.transfer = this.begin(letter, this.routing);
        this.routing = null;
      }
      this.continueTransfer(this.transfer);
    }
    return true;
  }

  /**
   * Reads back the bytes of an entry that is about to become a dead letter. False where they cannot be read: its queue
   * was deleted, or its record is damaged.
   */
  async load(entry: QueueEntry): Promise<boolean> {
    if (!entry.unloaded) return true;
    try {
      const { store } = this.dependencies;
      takeIn(entry, await store.load(storeIdOf(entry), entry.seq, entry.seq + 1, 1, Number.POSITIVE_INFINITY));
    } catch (error) {
      entry.queue.damaged(error as Error);
    }
    return !entry.unloaded;
  }

  /** Builds the message that a dead entry becomes, and finds its targets. The queue has a dead letter exchange. */
  address(entry: QueueEntry, death: Death): DeadLetterAddress {
    const route = this.route({ entry, death });
    while (!route.done) route.next();
    return route.address();
  }

  private route({ entry, death }: DeadLetter): DeadLetterRoute {
    const { queue, message } = entry;
    const address = queue.deadLetters!;
    const exchange = this.exchanges.get(address.exchange);
    const { rewriter, turn, meters } = this.dependencies;
    if (exchange === undefined) return nowhere(message);
    // Nobody's message becomes one of the broker's own topics.
    if (exchange.retainer !== null && isBrokerTopic(address.routingKey ?? message.routingKey)) return nowhere(message);
    meters[COUNTED[death]]++;
    const before = message.properties().headers;
    const event = { queue: queue.name, death, nowMs: turn.now, readdressed: address.routingKey !== null };
    // A client that rejects a message takes part: what follows is a chain of its own.
    const copies = isAutomatic(death) ? copiesOf(before) : 1;
    const properties = propertiesOfDead(message, event, copies);
    const dead = message.copy({
      exchange: exchange.name,
      routingKey: address.routingKey ?? message.routingKey,
      native: rewriter.rewrite(message, properties),
      codec: rewriter.codec,
      // It was that of its time in this queue.
      expirationMs: NEVER,
    });
    const route = new CopiesRoute(exchange, dead, furtherKeys(properties.headers));
    const isLater = isAutomatic(death) && deathsOf(before).length > 0;
    const found = (): DeadLetterAddress => {
      const targets = isLater ? this.bounded(route.targets, dead, death, copies) : route.targets;
      if (targets.length < 2) return { dead, targets };
      const counted = propertiesOfDead(message, event, copies * targets.length);
      return { dead: dead.copy({ native: rewriter.rewrite(message, counted) }), targets };
    };
    return {
      get done() {
        return route.done;
      },
      next: () => route.next(),
      address: found,
    };
  }

  /**
   * The targets that a message may have which has died before and was not rejected since. Queues that dead-letter to each
   * other give it a path through every order of them, and each path is a copy. So the copies that its deaths have made are
   * counted in `x-death`, and bounded: a death that would make too many makes as many as are left, at least one.
   */
  private bounded(targets: readonly Target[], dead: Message, death: Death, copies: number): readonly Target[] {
    const { limits, meters } = this.dependencies;
    const { headers } = dead.properties();
    if (deathsOf(headers).length > limits.deadLetterDepth) {
      meters.limitHits['limits.deadLetterDepth']++;
      return NO_TARGETS;
    }
    const most = Math.max(1, Math.floor(limits.deadLetterCopies / copies));
    if (targets.length <= most) return targets;
    const open = targets.filter(({ queue }) => !isAutomaticCycle(headers, queue.name, death));
    if (open.length <= most) return open;
    meters.limitHits['limits.deadLetterCopies']++;
    return open.slice(0, most);
  }

  private begin({ entry, death }: DeadLetter, route: DeadLetterRoute): DeadLetterTransfer {
    const { dead, targets } = route.address();
    // Several slices: the message outlives this turn.
    if (targets.length > SLICE_OFFERS) this.dependencies.turn.retain(dead);
    return new DeadLetterTransfer(entry, death, dead, targets);
  }

  private continueTransfer(transfer: DeadLetterTransfer): void {
    const isLast = transfer.left <= SLICE_OFFERS;
    this.offers += Math.min(transfer.left, SLICE_OFFERS);
    this.dependencies.store.group(() => {
      transfer.offer(SLICE_OFFERS);
      if (isLast) transfer.end();
    }, !isLast && transfer.promised);
    if (!isLast) return;
    if (transfer.copies === 0) this.dependencies.meters.deadLettersLost++;
    this.transfer = null;
    this.letters.shift();
  }

  /** True if the entry's bytes are in memory, or will never be; false if a read from disk is pending. */
  private readBack(entry: QueueEntry): boolean {
    let loaded: LoadedRange | Promise<LoadedRange>;
    try {
      loaded = this.dependencies.store.load(storeIdOf(entry), entry.seq, entry.seq + 1, 1, Number.POSITIVE_INFINITY);
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
    this.dependencies.turn.work(this);
  }
}

/**
 * The entry cannot be read: its queue was deleted, or its record is damaged. A damaged one stays on disk until the next
 * start.
 */
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
