// The constant parts of one subscription's MESSAGE frames, and the last head that repeated: everything before the
// digits of message-id. A head is cached when the same headers come twice in a row, so that messages that all differ do
// not pay for it.

import type { Message } from '../../src/core/message/message.ts';
import type { DestinationLines } from './destination-lines.ts';
import { escapeHeader } from './escaping.ts';
import type { StompVersion } from './version.ts';

/** Longer heads are not cached. */
const MAX_KEPT_BYTES = 2048;

const NO_BYTES = Buffer.alloc(0);

export class MessageHead {
  /** `MESSAGE` and the subscription. */
  readonly start: Buffer;
  /** `redelivered` and the beginning of `message-id`, for a first delivery and for a later one. */
  readonly fresh: Buffer;
  readonly redelivered: Buffer;
  /** What is before the digits in an `ack` header; null if the frame has none. */
  readonly ack: Buffer | null;
  /** Room that the parts after the head need for the id. */
  readonly idBytes: number;
  private exchange: string;
  private routingKey: string;
  private headers: Buffer;
  private headersLength: number;
  private kept: Buffer | null;

  /** `idPrefix` makes the subscription's message ids unique; the message's number follows it. */
  constructor(subscription: string | null, idPrefix: string, acks: boolean, version: StompVersion) {
    const line = subscription === null ? '' : `subscription:${escapeHeader(subscription, version)}\n`;
    this.start = Buffer.from(`MESSAGE\n${line}`);
    this.fresh = Buffer.from(`redelivered:false\nmessage-id:${idPrefix}`);
    this.redelivered = Buffer.from(`redelivered:true\nmessage-id:${idPrefix}`);
    this.ack = acks ? Buffer.from(idPrefix) : null;
    this.idBytes = idPrefix.length;
    this.exchange = '';
    this.routingKey = '';
    this.headers = NO_BYTES;
    this.headersLength = -1;
    this.kept = null;
  }

  /** Whether this message's head equals that of the message before it. Remembers it for the next one. */
  repeats(message: Message, headers: Buffer, headersLength: number): boolean {
    if (
      headersLength === this.headersLength &&
      (headersLength === 0 || headers === this.headers) &&
      message.routingKey === this.routingKey &&
      message.exchange === this.exchange
    ) {
      return this.kept !== null || this.start.length + headersLength + this.addressLength < MAX_KEPT_BYTES;
    }
    // Headers within a larger buffer belong to a stored message: they come once, and caching them would pin the buffer.
    if (headers.length !== headersLength && headersLength > 0) {
      this.forget();
      return false;
    }
    this.exchange = message.exchange;
    this.routingKey = message.routingKey;
    this.headers = headers;
    this.headersLength = headersLength;
    this.kept = null;
    return false;
  }

  /** The head that repeats. */
  bytes(lines: DestinationLines): Buffer {
    if (this.kept === null) {
      const headers = this.headersLength === 0 ? NO_BYTES : this.headers;
      this.kept = Buffer.concat([this.start, lines.line(this.exchange, this.routingKey), headers, this.fresh]);
    }
    return this.kept;
  }

  /** The longest that the destination line may be, roughly: escaping makes three bytes of a slash or a percent sign. */
  private get addressLength(): number {
    return 3 * (this.exchange.length + this.routingKey.length);
  }

  private forget(): void {
    this.headers = NO_BYTES;
    this.headersLength = -1;
    this.kept = null;
  }
}
