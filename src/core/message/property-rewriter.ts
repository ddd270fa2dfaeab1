// The port through which the core encodes properties that it changed; a protocol's codec implements it.

import type { Message } from './message.ts';
import type { Properties, PropertyCodec } from './properties.ts';

/**
 * Encodes properties that the broker changed (a dead letter's headers) as native bytes, in the form of the protocol
 * with the widest types, so that nothing is lost.
 */
export interface PropertyRewriter {
  readonly codec: PropertyCodec;
  /** Native bytes for `message` with these properties instead of its own. */
  rewrite(message: Message, properties: Properties): Buffer;
}
