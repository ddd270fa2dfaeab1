// The STOMP front-end of a broker: `stompFrontEnd` makes the handler of each accepted transport, TCP or WebSocket.

import { registerLimits } from '../../src/core/ports/limit-hits.ts';
import type { FrontEndContext } from '../../src/core/session/front-end-context.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { Accept } from '../../src/net/transport.ts';
import { StompConnection } from './connection.ts';
import type { StompContext, StompSettings } from './context.ts';
import { DestinationCache } from './destination-cache.ts';
import { DestinationLines } from './destination-lines.ts';
import { STOMP_COUNTED_LIMITS } from './limits.ts';
import { STOMP_VERSION, type StompVersion } from './version.ts';

export function stompFrontEnd(frontEnd: FrontEndContext, ticker: Ticker, settings: StompSettings): Accept {
  registerLimits(frontEnd.meters.limitHits, STOMP_COUNTED_LIMITS);
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
