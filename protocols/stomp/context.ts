// What all STOMP connections of a broker share.

import type { AnonymousLogin } from '../../src/core/ports/authorization.ts';
import type { FrontEndContext } from '../../src/core/session/front-end-context.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { DestinationCache } from './destination-cache.ts';
import type { DestinationLines } from './destination-lines.ts';
import type { StompLimits } from './limits.ts';

/** The broker's context with what all STOMP connections share beside it. */
export interface StompContext extends FrontEndContext {
  readonly ticker: Ticker;
  readonly limits: StompLimits;
  /** As whom a client without login comes in; null: it does not. */
  readonly anonymous: StompSettings['anonymous'];
  /** Destinations that were parsed, and destination lines of MESSAGE frames, one cache for each version. */
  readonly destinations: readonly DestinationCache[];
  readonly destinationLines: readonly DestinationLines[];
  /** Makes session ids that no other connection of this broker had, before a restart or after. */
  readonly startedAt: number;
}

/** What the front-end takes from the outside; bodies and login time are bounded by the broker's own settings. */
export interface StompSettings extends Omit<StompLimits, 'maxBodyBytes' | 'loginTimeoutMs'> {
  readonly anonymous: AnonymousLogin | null;
}
