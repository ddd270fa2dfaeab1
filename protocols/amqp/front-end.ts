// What all AMQP connections share: the way into the broker, the limits, and the caches, which repay their memory only
// when a process has one of each.

import type { FrontEnd } from '../../src/core/session/front-end.ts';
import type { CertificateLogin } from '../../src/net/certificate-login.ts';
import type { Ticker } from '../../src/net/ticker.ts';
import type { Transport, TransportHandler } from '../../src/net/transport.ts';
import { AmqpConnection } from './connection.ts';
import { PropertyScanner } from './properties.ts';
import { ShortStringCache, ShortStringEncoder } from './short-string.ts';

export interface AmqpLimits {
  /** Largest frame that is offered in connection.tune, bytes, at least 4096. */
  readonly frameMaxBytes: number;
  readonly channelMax: number;
  /** What is offered in connection.tune; 0 offers none. The client's answer counts. */
  readonly heartbeatSeconds: number;
  readonly consumersPerChannel: number;
  /** Publishes and acknowledgements that one uncommitted transaction may hold, and bytes of those of a connection. */
  readonly transactionOperations: number;
  readonly transactionBytes: number;
  /** Who a client with a verified certificate is, where it logs in with EXTERNAL. */
  readonly certificateLogin: CertificateLogin;
}

export const AMQP_DEFAULTS: AmqpLimits = {
  frameMaxBytes: 128 * 1024,
  channelMax: 2047,
  heartbeatSeconds: 60,
  consumersPerChannel: 65_536,
  transactionOperations: 100_000,
  transactionBytes: 64 * 1024 * 1024,
  certificateLogin: 'common_name',
};

export class AmqpFrontEnd {
  readonly context: FrontEnd;
  readonly ticker: Ticker;
  readonly limits: AmqpLimits;
  /** Names that arrive. */
  readonly names: ShortStringCache;
  /** Names that leave. */
  readonly encodedNames: ShortStringEncoder;
  readonly scanner: PropertyScanner;

  constructor(context: FrontEnd, ticker: Ticker, limits: AmqpLimits = AMQP_DEFAULTS) {
    this.context = context;
    this.ticker = ticker;
    this.limits = limits;
    this.names = new ShortStringCache();
    this.encodedNames = new ShortStringEncoder();
    this.scanner = new PropertyScanner();
  }

  /** The handler of a new connection: over TCP, TLS, or a WebSocket that carries a byte stream. */
  readonly accept = (transport: Transport): TransportHandler => new AmqpConnection(transport, this);
}
