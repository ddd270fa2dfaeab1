// What a publisher's properties ask of the broker beyond being forwarded: a user id and an expiration that must be
// right, replies that come straight back to this channel, further routing keys (sender-selected distribution). Only
// messages with such properties come here; the scanner of properties.ts picks them out.

import { FIELD_TYPE_NAMES, type FieldTable, findField } from '../../src/core/message/field-table.ts';
import type { Message } from '../../src/core/message/message.ts';
import type { Identity } from '../../src/core/ports/authorization.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { encodeProperties, INVALID_EXPIRATION } from './properties.ts';

/** Those who may publish in others' names. */
const IMPERSONATOR = 'impersonator';

export interface Special {
  readonly message: Message;
  /** Further routing keys, of headers CC and BCC. */
  readonly copies: readonly string[];
}

/**
 * `replyToAt`: where the text of a direct reply-to begins in the native bytes, or -1; `replyAddress`: what stands there
 * when the message is delivered. Throws PRECONDITION_FAILED.
 */
export function prepareSpecial(
  message: Message,
  replyToAt: number,
  identity: Identity,
  replyAddress: string | null,
): Special {
  const properties = message.properties();
  const { userId, expiration, headers } = properties;
  if (userId !== null && userId !== identity.user && !identity.tags.includes(IMPERSONATOR)) {
    throw refused(`user_id property set to '${userId}' but authenticated user was '${identity.user}'`);
  }
  if (message.expirationMs === INVALID_EXPIRATION)
    throw refused(`invalid expiration '${expiration}': ${expirationFault(expiration!)}`);
  if (replyToAt >= 0 && replyAddress === null) throw refused('fast reply consumer does not exist');
  const blind = keysOf(headers, 'BCC');
  const copies = [...keysOf(headers, 'CC'), ...blind];
  let result = message;
  if (blind.length > 0 || findField(headers, 'BCC') !== null) {
    // Whoever gets it must not see who else does.
    const others = headers.filter(({ name }) => name !== 'BCC');
    const replyTo = replyToAt < 0 ? properties.replyTo : replyAddress;
    result = withNative(message, encodeProperties({ ...properties, headers: others, replyTo }));
  } else if (replyToAt >= 0) {
    result = withNative(message, spliced(message, replyToAt, properties.replyTo!, replyAddress!));
  }
  return { message: result, copies };
}

function keysOf(headers: FieldTable, name: string): string[] {
  const field = findField(headers, name);
  if (field === null) return [];
  if (field.type !== 'A') {
    throw refused(`invalid message: {unacceptable_type_in_header,"${name}",${FIELD_TYPE_NAMES[field.type]}}`);
  }
  const keys: string[] = [];
  for (const item of field.value) if (item.type === 'S') keys.push(item.value.toString());
  return keys;
}

/** RabbitMQ's words for what is wrong. */
function expirationFault(expiration: string): string {
  const number = /^-?\d+/.exec(expiration)?.[0];
  if (number === undefined) return 'no_integer';
  const rest = expiration.slice(number.length);
  if (rest !== '') return `{leftover_string,"${rest}"}`;
  return number.startsWith('-') ? `{value_negative,${number}}` : `{value_too_large,${number}}`;
}

/** The native bytes with another reply-to. Cheaper than to decode and encode them: it is done for each request of RPC. */
function spliced(message: Message, replyToAt: number, replyTo: string, replyAddress: string): Buffer {
  const { native, nativeOffset, nativeLength } = message;
  const address = Buffer.from(replyAddress, 'latin1');
  const result = Buffer.allocUnsafe(nativeLength - replyTo.length + address.length);
  native.copy(result, 0, nativeOffset, nativeOffset + replyToAt);
  result[replyToAt - 1] = address.length;
  address.copy(result, replyToAt);
  native.copy(
    result,
    replyToAt + address.length,
    nativeOffset + replyToAt + replyTo.length,
    nativeOffset + nativeLength,
  );
  return result;
}

function withNative(message: Message, native: Buffer): Message {
  const result = message.copy({ native });
  // A large body in memory of its own need not be copied again.
  result.owned = message.owned;
  return result;
}

function refused(why: string): AmqpError {
  return new AmqpError(REPLY.preconditionFailed, why);
}
