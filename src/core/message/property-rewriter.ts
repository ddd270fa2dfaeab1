// The port through which the core encodes properties that it changed itself: a protocol's codec implements it.

import type { Message } from './message.ts';
import type { Properties, PropertyCodec } from './properties.ts';

/**
 * Writes properties that the broker itself changed (a dead letter's headers) as native bytes. The form is that of the
 * protocol that can say most, so that nothing is lost.
 */
export interface PropertyRewriter {
  readonly codec: PropertyCodec;
  /** Native bytes for `message` with these properties in place of its own. */
  rewrite(message: Message, properties: Properties): Buffer;
}
