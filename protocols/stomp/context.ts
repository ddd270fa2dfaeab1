// What a STOMP connection is given, and the entry point of the front-end: `stompFrontEnd` makes the handler of each
// accepted transport, TCP or WebSocket.

import type { FrontEnd } from '../../src/core/session/front-end.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { Accept } from '../../src/net/transport.ts';
import { StompConnection } from './connection.ts';
import { DestinationCache } from './destination-cache.ts';
import { DestinationLines } from './destination-lines.ts';
import type { StompLimits } from './limits.ts';
import { STOMP_VERSION, type StompVersion } from './version.ts';

/** The broker's context with what all STOMP connections share beside it. */
export interface StompContext extends FrontEnd {
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
  readonly anonymous: { readonly user: string; readonly password: string } | null;
}

export function stompFrontEnd(frontEnd: FrontEnd, ticker: Ticker, settings: StompSettings): Accept {
  const versions = Object.values(STOMP_VERSION) as StompVersion[];
  const context: StompContext = {
    ...frontEnd,
    ticker,
    anonymous: settings.anonymous,
    limits: {
      maxHeaders: settings.maxHeaders,
      maxHeaderBytes: settings.maxHeaderBytes,
      maxBodyBytes: frontEnd.messageBytes,
      maxSubscriptions: settings.maxSubscriptions,
      maxTransactions: settings.maxTransactions,
      maxTransactionOperations: settings.maxTransactionOperations,
      maxTransactionBytes: settings.maxTransactionBytes,
      loginTimeoutMs: frontEnd.unauthenticatedMs,
      minHeartBeatMs: settings.minHeartBeatMs,
    },
    destinations: versions.map((version) => new DestinationCache(version)),
    destinationLines: versions.map((version) => new DestinationLines(version)),
    startedAt: frontEnd.turn.now,
  };
  return (transport) => new StompConnection(transport, context);
}
