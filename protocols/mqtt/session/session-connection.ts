// The network connection of a client as its session sees it. Implemented by connection/connection.ts.

import type { Session } from '../../../src/core/session/session.ts';
import type { Destination } from '../packet/packet-writer.ts';

export interface SessionConnection extends Destination {
  readonly core: Session;
  /** QoS 1 and 2 deliveries that may be unacknowledged at a time. */
  readonly receiveMaximum: number;
  /** The session's queue, or that of a group, was deleted: the connection closes. */
  queueGone(): void;
  /** A PUBCOMP was written: the client may publish one more message at QoS 1 or 2. */
  pubcompSent(): void;
  /** A publish could not be stored and MQTT up to 3.1.1 has no reason code for it: the connection closes. */
  notStored(): void;
  /** A fault of ours, perhaps in the middle of a packet: the connection ends at once, and what was written is dropped. */
  broken(): void;
}
