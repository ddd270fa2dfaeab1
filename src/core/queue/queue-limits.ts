// What bounds a queue, and what it does with a message that is too much (RabbitMQ's x-max-length, x-max-length-bytes,
// x-overflow). Pure: the functions here say what to do, the queue does it. Only ready messages count, not those that are
// out unacknowledged.

export const OVERFLOWS = ['drop-head', 'reject-publish', 'reject-publish-dlx'] as const;
/** The oldest messages go, or the newest is refused (its publisher gets a nack), which may become a dead letter. */
export type Overflow = (typeof OVERFLOWS)[number];

export interface QueueLimits {
  /** Infinity where there is no bound. */
  readonly maxLength: number;
  /** Of bodies. */
  readonly maxBytes: number;
  readonly overflow: Overflow;
}

/** Whether one more message of `more` bytes fits a queue with so many ready messages of so many bytes. */
export function hasRoom(limits: QueueLimits, count: number, bytes: number, more: number): boolean {
  return count < limits.maxLength && bytes + more <= limits.maxBytes;
}

/** Whether a queue with so many ready messages of so many bytes refuses one more. */
export function refusesMore(limits: QueueLimits, count: number, bytes: number): boolean {
  return limits.overflow !== 'drop-head' && (count >= limits.maxLength || bytes >= limits.maxBytes);
}

/** Whether a queue with so many ready messages of so many bytes has to drop its oldest. */
export function dropsHead(limits: QueueLimits, count: number, bytes: number): boolean {
  return limits.overflow === 'drop-head' && (count > limits.maxLength || bytes > limits.maxBytes);
}
