// What all AMQP connections of a broker share: the core's parts, the limits, and the caches, which repay their memory
// only when a process has one of each.

import type { FrontEndContext } from '../../src/core/session/front-end-context.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { AmqpLimits } from './limits.ts';
import type { PropertyScanner } from './properties.ts';
import type { ShortStringCache, ShortStringEncoder } from './short-string.ts';

export interface AmqpContext extends FrontEndContext {
  readonly ticker: Ticker;
  readonly limits: AmqpLimits;
  /** Names that clients send. */
  readonly names: ShortStringCache;
  /** Names that are sent to clients. */
  readonly encodedNames: ShortStringEncoder;
  readonly scanner: PropertyScanner;
}
