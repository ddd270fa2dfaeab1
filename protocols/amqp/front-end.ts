// The AMQP front-end of a broker: `amqpFrontEnd` makes the handler of each accepted transport: TCP, TLS, or a WebSocket
// that carries a byte stream.

import { registerLimits } from '../../src/core/ports/limit-hits.ts';
import type { FrontEndContext } from '../../src/core/session/front-end-context.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { Accept } from '../../src/net/transport.ts';
import { AmqpConnection } from './connection.ts';
import type { AmqpContext } from './context.ts';
import { AMQP_COUNTED_LIMITS, AMQP_DEFAULTS, type AmqpLimits } from './limits.ts';
import { PropertyScanner } from './properties.ts';
import { ShortStringCache, ShortStringEncoder } from './short-string.ts';

export function amqpFrontEnd(core: FrontEndContext, ticker: Ticker, limits: AmqpLimits = AMQP_DEFAULTS): Accept {
  registerLimits(core.meters.limitHits, AMQP_COUNTED_LIMITS);
  const context: AmqpContext = {
    ...core,
    ticker,
    limits,
    names: new ShortStringCache(),
    encodedNames: new ShortStringEncoder(),
    scanner: new PropertyScanner(),
  };
  return (transport) => new AmqpConnection(transport, context);
}
