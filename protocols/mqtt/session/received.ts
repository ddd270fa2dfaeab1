// The packet ids of a client's QoS 2 publishes between PUBLISH and PUBREL, so that a repeated PUBLISH is routed once (MQTT
// 3.1.1 §4.3.3). They belong to the session, because a client repeats a PUBLISH over its next connection; those of a
// persistent session are stored as well (session.ts). Called by session.ts.

import { PacketIdMap } from './packet-id-map.ts';

/** The stage of a publish between PUBLISH and PUBREL. */
const STAGE = {
  /** Passed to the core, which has not settled it: no PUBREC yet. */
  offered: 0,
  /** The same, and the client has repeated the PUBLISH, perhaps over a newer connection, which gets the PUBREC. */
  repeated: 1,
  settled: 2,
} as const;
/** A stage takes the two lowest bits of a value; the rest is the number of the connection that sent the PUBLISH. */
const STAGE_BITS = 3;
const CONNECTION = 4;

/** What a QoS 2 PUBLISH needs. */
export const ARRIVAL = {
  /** It is new and must be published. */
  first: 0,
  /** It is repeated; PUBREC follows when the core has settled it. */
  wait: 1,
  /** It is repeated and settled: PUBREC is due now. */
  answer: 2,
  /** It is no repetition (DUP 0), and its id belongs to a publish of the same connection. */
  inUse: 3,
} as const;
export type Arrival = (typeof ARRIVAL)[keyof typeof ARRIVAL];

export class Received {
  private readonly stages: PacketIdMap<number>;
  /** Counts the connections of the session, from 1; ids of an earlier start of the broker have 0. */
  private connection: number;

  constructor() {
    this.stages = new PacketIdMap();
    this.connection = 1;
  }

  /** The client connected again. */
  connected(): void {
    this.connection++;
  }

  get size(): number {
    return this.stages.size;
  }

  /** Whether the id is in use. */
  knows(id: number): boolean {
    return this.stages.has(id);
  }

  /** Whether the core has settled the publish with that id. */
  isSettled(id: number): boolean {
    return ((this.stages.get(id) ?? 0) & STAGE_BITS) === STAGE.settled;
  }

  /** Restores an id after a restart. */
  recover(id: number): void {
    this.stages.set(id, STAGE.settled);
  }

  /**
   * A PUBLISH with this id came. A client that forgot its session uses ids again that it once sent: without DUP, and with
   * an id of an earlier connection, it is a new message [MQTT-3.3.1-1].
   */
  arrived(id: number, dup: boolean): Arrival {
    const known = this.stages.get(id);
    const here = this.connection * CONNECTION;
    if (known === undefined) {
      this.stages.set(id, STAGE.offered + here);
      return ARRIVAL.first;
    }
    const isOfThisConnection = known >= here;
    const isSettled = (known & STAGE_BITS) === STAGE.settled;
    if (!dup && isSettled && !isOfThisConnection) {
      this.stages.set(id, STAGE.offered + here);
      return ARRIVAL.first;
    }
    this.stages.set(id, (isSettled ? STAGE.settled : STAGE.repeated) + here);
    if (!dup && isOfThisConnection) return ARRIVAL.inUse;
    return isSettled ? ARRIVAL.answer : ARRIVAL.wait;
  }

  /**
   * The core settled the publish. Returns whether an answer is due: the connection that sent it is open (`connected`), or
   * the client repeated it. A refused publish is forgotten, so that the client may send it again.
   */
  settled(id: number, ok: boolean, connected: boolean): boolean {
    const known = this.stages.get(id);
    if (known === undefined) return false;
    const stage = known & STAGE_BITS;
    if (ok) this.stages.set(id, STAGE.settled + known - stage);
    else this.stages.delete(id);
    return connected || stage === STAGE.repeated;
  }

  /** PUBREL: the client may reuse the id. False if it was not in use. */
  released(id: number): boolean {
    return this.stages.delete(id);
  }
}
