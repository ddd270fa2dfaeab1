// The length limits of a queue, and what happens to a message above them (RabbitMQ's x-max-length, x-max-length-bytes,
// x-overflow). Pure functions: they decide, the queue acts. Only ready messages count, not unacknowledged ones.

export const OVERFLOWS = ['drop-head', 'reject-publish', 'reject-publish-dlx'] as const;
/** Drop the oldest messages, or refuse the newest (its publisher gets a nack), which may become a dead letter. */
export type Overflow = (typeof OVERFLOWS)[number];

export interface QueueLimits {
  /** Infinity: no limit. */
  readonly maxLength: number;
  /** Bytes of bodies. */
  readonly maxBytes: number;
  readonly overflow: Overflow;
}

/** Whether a message of `more` bytes fits a queue with `count` ready messages of `bytes` bytes. */
export function hasRoom(limits: QueueLimits, count: number, bytes: number, more: number): boolean {
  return count < limits.maxLength && bytes + more <= limits.maxBytes;
}

/** Whether a queue with `count` ready messages of `bytes` bytes refuses one more. */
export function refusesMore(limits: QueueLimits, count: number, bytes: number): boolean {
  return limits.overflow !== 'drop-head' && (count >= limits.maxLength || bytes >= limits.maxBytes);
}

/** Whether a queue with `count` ready messages of `bytes` bytes must drop its oldest message. */
export function dropsHead(limits: QueueLimits, count: number, bytes: number): boolean {
  return limits.overflow === 'drop-head' && (count > limits.maxLength || bytes > limits.maxBytes);
}
