// What a session needs of the connection that its client has open.

import type { Session } from '../../../src/core/session/session.ts';
import type { Destination } from '../packet/link-writer.ts';

/** The session's end of a connection. */
export interface SessionLink extends Destination {
  readonly core: Session;
  /** QoS 1 and 2 deliveries that may be out. */
  readonly receiveMaximum: number;
  /** The queue was deleted beneath the session. */
  queueGone(): void;
  /** A PUBCOMP was written: the client may publish one more. */
  released(): void;
  /** A publish could not be stored, and the version has no other way to say so: the connection ends. */
  notStored(): void;
}
