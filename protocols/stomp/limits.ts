// The limits of a STOMP connection, each with its name. Reaching one ends the connection with an ERROR frame that names
// it.

export interface StompLimits {
  /** Header lines of one frame. */
  readonly maxHeaders: number;
  /** Command and header lines of one frame, bytes. */
  readonly maxHeaderBytes: number;
  /** Body of one frame, bytes. */
  readonly maxBodyBytes: number;
  /** Subscriptions of one connection, temporary reply queues included. */
  readonly maxSubscriptions: number;
  /** Open transactions of one connection. */
  readonly maxTransactions: number;
  /** Operations that all open transactions of one connection hold. */
  readonly maxTransactionOperations: number;
  /** Body and header bytes that all open transactions of one connection hold. */
  readonly maxTransactionBytes: number;
  /** Time from accepting a connection to its valid CONNECT frame. */
  readonly loginTimeoutMs: number;
  /** The shortest heart-beat interval that the broker promises, and the shortest that it asks for. */
  readonly minHeartBeatMs: number;
}

export const STOMP_LIMITS: StompLimits = Object.freeze({
  maxHeaders: 256,
  maxHeaderBytes: 64 * 1024,
  maxBodyBytes: 64 * 1024 * 1024,
  maxSubscriptions: 4096,
  maxTransactions: 64,
  maxTransactionOperations: 100_000,
  maxTransactionBytes: 64 * 1024 * 1024,
  loginTimeoutMs: 10_000,
  minHeartBeatMs: 1000,
});

/** Those whose hits are counted, by their keys in the configuration (limit-hits.ts). */
export const STOMP_COUNTED_LIMITS = [
  'stomp.maxHeaders',
  'stomp.maxHeaderBytes',
  'stomp.maxSubscriptions',
  'stomp.maxTransactions',
  'stomp.maxTransactionOperations',
  'stomp.maxTransactionBytes',
] as const satisfies readonly `stomp.${keyof StompLimits}`[];
export type StompCountedLimit = (typeof STOMP_COUNTED_LIMITS)[number];
