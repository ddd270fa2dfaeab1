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
type Stage = (typeof STAGE)[keyof typeof STAGE];

/** What a QoS 2 PUBLISH needs. */
export const ARRIVAL = {
  /** It is new and must be published. */
  first: 0,
  /** It is repeated; PUBREC follows when the core has settled it. */
  wait: 1,
  /** It is repeated and settled: PUBREC is due now. */
  answer: 2,
} as const;
export type Arrival = (typeof ARRIVAL)[keyof typeof ARRIVAL];

export class Received {
  private readonly stages: PacketIdMap<Stage>;

  constructor() {
    this.stages = new PacketIdMap();
  }

  get size(): number {
    return this.stages.size;
  }

  /** Whether the id is in use. */
  knows(id: number): boolean {
    return this.stages.has(id);
  }

  /** Restores an id after a restart. */
  recover(id: number): void {
    this.stages.set(id, STAGE.settled);
  }

  /** A PUBLISH with this id came. */
  arrived(id: number): Arrival {
    const stage = this.stages.get(id);
    if (stage === STAGE.settled) return ARRIVAL.answer;
    this.stages.set(id, stage === undefined ? STAGE.offered : STAGE.repeated);
    return stage === undefined ? ARRIVAL.first : ARRIVAL.wait;
  }

  /**
   * The core settled the publish. Returns whether an answer is due: the connection that sent it is open (`connected`), or
   * the client repeated it. A refused publish is forgotten, so that the client may send it again.
   */
  settled(id: number, ok: boolean, connected: boolean): boolean {
    const stage = this.stages.get(id);
    if (stage === undefined) return false;
    if (ok) this.stages.set(id, STAGE.settled);
    else this.stages.delete(id);
    return connected || stage === STAGE.repeated;
  }

  /** PUBREL: the client may reuse the id. False if it was not in use. */
  released(id: number): boolean {
    return this.stages.delete(id);
  }
}
