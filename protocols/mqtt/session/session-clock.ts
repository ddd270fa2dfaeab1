// The time of a session while its client is away: when it ends (MQTT 5 §3.1.2.11.2) and when its will is due, at the end
// of the session at the latest (§3.1.3.2.2). The will is published once, in the name of whoever left it. It is one of the
// broker's timers (timers.ts), set to the earlier of the two. Both are times that pass: a wall clock that jumps moves
// neither.

import { BrokerError } from '../../../src/core/errors.ts';
import type { Session } from '../../../src/core/session/session.ts';
import type { Timer } from '../../../src/core/turn/timers.ts';
import type { WorkDescription } from '../../../src/core/turn/turn-watch.ts';
import type { MqttContext } from '../context.ts';
import { NEVER_ENDS } from '../packet/connect-packet.ts';
import type { Will } from '../packet/will-record.ts';
import type { SessionRecord } from './session-record.ts';
import type { WaitingWills } from './waiting-wills.ts';
import { publishWill } from './will.ts';

/** The session whose time it is. */
export interface TimedSession {
  readonly vhost: string;
  /** As whom its client logged in last. */
  readonly user: string;
  /** Its time is over. */
  end(): unknown;
  /** What is kept of it changed. */
  changed(): void;
}

export class SessionClock implements Timer {
  dueAt: number;
  heapIndex: number;
  readonly followsWallClock: boolean;
  /** Seconds that the session outlives its connection. */
  expirySeconds: number;
  /** When it ends and when its will is due, milliseconds since the epoch; null: not. */
  endsAt: number | null;
  willAt: number | null;
  will: Will | null;
  /** How long the session goes on after its will, where both are due. */
  private endsAfterWillMs: number;
  private readonly session: TimedSession;
  private readonly context: MqttContext;
  /** In whose name the will is published; null: of an earlier start. */
  private core: Session | null;
  private readonly waitingWills: WaitingWills;
  /** The will that counts among those. */
  private waiting: Will | null;

  constructor(session: TimedSession, expirySeconds: number, context: MqttContext, waitingWills: WaitingWills) {
    this.dueAt = Number.POSITIVE_INFINITY;
    this.heapIndex = -1;
    this.followsWallClock = false;
    this.expirySeconds = expirySeconds;
    this.endsAt = null;
    this.willAt = null;
    this.will = null;
    this.endsAfterWillMs = 0;
    this.session = session;
    this.context = context;
    this.core = null;
    this.waitingWills = waitingWills;
    this.waiting = null;
  }

  /** A restart found it. A client that was connected when the broker ended has been away since. */
  recover(record: SessionRecord): void {
    const { now } = this.context.turn;
    this.expirySeconds = record.expirySeconds;
    this.will = record.will;
    const wasAway = record.endsAt !== null || record.willAt !== null;
    this.set(record.endsAt ?? this.endFrom(now), record.willAt ?? (wasAway ? null : this.willFrom(now)));
    this.countWill();
  }

  /** A client is connected, with its will: nothing is due. */
  connected(expirySeconds: number, will: Will | null, core: Session): void {
    this.stop();
    this.expirySeconds = expirySeconds;
    this.endsAt = null;
    this.willAt = null;
    this.countNoWill();
    this.will = will;
    this.core = core;
  }

  /** The client is gone, and the session goes on: a will without delay is published (see `publish`), others become due. */
  away(): Promise<void> | null {
    const { now } = this.context.turn;
    const due = this.willFrom(now);
    const { will } = this;
    const isDue = due !== null && (due <= now || (will !== null && !this.waitingWills.admits(will)));
    const publishing = isDue ? this.publish() : null;
    this.countWill();
    this.set(this.endFrom(now), this.will === null ? null : due);
    // It holds what its connection knew of routes and permissions.
    if (this.will === null) this.core = null;
    return publishing;
  }

  /** Nothing is due any more. */
  stop(): void {
    this.context.turn.timers.clear(this);
  }

  /** The timer: the will is due, or the session ends, which publishes the will too. A fault ends with this session. */
  due(): void {
    const { endsAt, willAt } = this;
    try {
      if (willAt !== null && (endsAt === null || willAt < endsAt)) this.willDue();
      else this.ranOut();
    } catch (error) {
      this.context.log.error({ user: this.session.user, error }, 'a session failed to expire by a fault of ours');
    }
  }

  describeWork(): WorkDescription {
    const { vhost, user } = this.session;
    return { work: 'end of an MQTT session, or its will', vhost, user };
  }

  /** Publishes the will, if there is one. Null where that was done at once; else it resolves when it was. */
  publish(): Promise<void> | null {
    const { will, core, context, session } = this;
    this.countNoWill();
    this.will = null;
    if (will === null) return null;
    context.turn.begin();
    if (core !== null) return publishWill(will, core, context);
    // Of an earlier start: in the name of whoever was connected then, if there is such a user.
    const { access } = context;
    return access
      .identifyCertified(session.user, true)
      .then((identity) => {
        context.turn.begin();
        return publishWill(will, access.enter(identity, session.vhost), context) ?? undefined;
      })
      .catch((error: unknown) => {
        if (!(error instanceof BrokerError)) throw error;
        context.log.info({ user: session.user, topic: will.topic, error: error.message }, 'will refused');
      });
  }

  /** The will waits for its time. */
  private countWill(): void {
    this.waiting = this.will;
    if (this.waiting !== null) this.waitingWills.add(this.waiting);
  }

  private countNoWill(): void {
    if (this.waiting !== null) this.waitingWills.remove(this.waiting);
    this.waiting = null;
  }

  /** When it ends if its client went at `now`; null: never. */
  private endFrom(now: number): number | null {
    return this.expirySeconds === NEVER_ENDS ? null : now + this.expirySeconds * 1000;
  }

  private willFrom(now: number): number | null {
    if (this.will === null) return null;
    return now + Math.min(this.will.delaySeconds, this.expirySeconds) * 1000;
  }

  private set(endsAt: number | null, willAt: number | null): void {
    const { timers, now } = this.context.turn;
    this.endsAt = endsAt;
    this.willAt = willAt;
    if (endsAt !== null && willAt !== null) this.endsAfterWillMs = Math.max(endsAt, now) - Math.max(willAt, now);
    timers.clear(this);
    const next = willAt ?? endsAt;
    if (next !== null) timers.set(this, next);
  }

  private willDue(): void {
    const { turn } = this.context;
    this.publish();
    this.willAt = null;
    // Counted from now: by `endsAt` it would follow a wall clock that jumped meanwhile.
    if (this.endsAt !== null) turn.timers.set(this, turn.now + this.endsAfterWillMs);
    this.session.changed();
  }

  private ranOut(): void {
    this.context.traffic.sessionsExpired++;
    this.session.end();
  }
}
