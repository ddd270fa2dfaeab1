// The limits of the AMQP front-end, each with its name and default. The configuration may change each.

import type { CertificateLogin } from '../../src/net/certificate-login.ts';

export interface AmqpLimits {
  /** Largest frame that is offered in connection.tune, bytes, at least 4096. */
  readonly frameMaxBytes: number;
  readonly channelMax: number;
  /** What is offered in connection.tune; 0 offers none. The client's answer counts. */
  readonly heartbeatSeconds: number;
  readonly consumersPerChannel: number;
  /** Publishes and acknowledgements of one uncommitted transaction, and bytes of all those of a connection. */
  readonly transactionOperations: number;
  readonly transactionBytes: number;
  /** Bytes of bodies that have begun and not ended, over all channels of one connection. */
  readonly unfinishedBytes: number;
  /** Which part of a verified client certificate is the user name for EXTERNAL. */
  readonly certificateLogin: CertificateLogin;
}

export const AMQP_DEFAULTS: AmqpLimits = {
  frameMaxBytes: 128 * 1024,
  channelMax: 2047,
  heartbeatSeconds: 60,
  consumersPerChannel: 65_536,
  transactionOperations: 100_000,
  transactionBytes: 64 * 1024 * 1024,
  unfinishedBytes: 128 * 1024 * 1024,
  certificateLogin: 'common_name',
};

/** Those whose hits are counted, by their keys in the configuration (limit-hits.ts). */
export const AMQP_COUNTED_LIMITS = [
  'amqp.frameMaxBytes',
  'amqp.channelMax',
  'amqp.consumersPerChannel',
  'amqp.transactionOperations',
  'amqp.transactionBytes',
  'amqp.unfinishedBytes',
] as const satisfies readonly `amqp.${keyof AmqpLimits}`[];
export type AmqpCountedLimit = (typeof AMQP_COUNTED_LIMITS)[number];
