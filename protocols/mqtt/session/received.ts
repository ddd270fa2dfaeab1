// The QoS 2 publishes that a client has sent and not released yet, by packet id: what makes sure that each is routed
// once (MQTT 3.1.1 §4.3.3). It belongs to the session, so that a publish that is sent again over a new connection is
// known there; of persistent sessions the store keeps it too (publisher.ts, session.ts).

import { PacketIdMap } from './packet-id-map.ts';

/** Where such a publish stands between its PUBLISH and its PUBREL. */
const STAGE = {
  /** Offered to the core, not settled: no PUBREC yet. */
  offered: 0,
  /** The same, and the client asked again, over a newer connection perhaps: that one gets the PUBREC. */
  awaited: 1,
  settled: 2,
} as const;
type Stage = (typeof STAGE)[keyof typeof STAGE];

/** What a PUBLISH at QoS 2 asks for. */
export const ARRIVAL = {
  /** It is new: publish it. */
  first: 0,
  /** It is known, and its PUBREC comes when the core has settled it. */
  wait: 1,
  /** It is known and settled: answer it again. */
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

  /** Whether that id was sent and is not released. */
  knows(id: number): boolean {
    return this.stages.has(id);
  }

  /** An earlier start took it in. */
  recover(id: number): void {
    this.stages.set(id, STAGE.settled);
  }

  /** A PUBLISH with that id came. */
  arrived(id: number): Arrival {
    const stage = this.stages.get(id);
    if (stage === STAGE.settled) return ARRIVAL.answer;
    this.stages.set(id, stage === undefined ? STAGE.offered : STAGE.awaited);
    return stage === undefined ? ARRIVAL.first : ARRIVAL.wait;
  }

  /**
   * The core settled it. True where its answer is due: the connection over which it came is still there, or the client
   * asked again. A refused one is forgotten, so that it may be sent again.
   */
  settled(id: number, ok: boolean, connected: boolean): boolean {
    const stage = this.stages.get(id);
    if (stage === undefined) return false;
    if (ok) this.stages.set(id, STAGE.settled);
    else this.stages.delete(id);
    return connected || stage === STAGE.awaited;
  }

  /** PUBREL: the id may be used again. False where it was not known. */
  released(id: number): boolean {
    return this.stages.delete(id);
  }
}
