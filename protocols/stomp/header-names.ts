// Header names as the bytes that the parser compares, and two sets that decide which headers belong to a message.

export const HEADER = {
  acceptVersion: Buffer.from('accept-version'),
  ack: Buffer.from('ack'),
  destination: Buffer.from('destination'),
  durable: Buffer.from('durable'),
  expiration: Buffer.from('expiration'),
  heartBeat: Buffer.from('heart-beat'),
  host: Buffer.from('host'),
  id: Buffer.from('id'),
  login: Buffer.from('login'),
  messageId: Buffer.from('message-id'),
  passcode: Buffer.from('passcode'),
  persistent: Buffer.from('persistent'),
  prefetchCount: Buffer.from('prefetch-count'),
  priority: Buffer.from('priority'),
  replyTo: Buffer.from('reply-to'),
  requeue: Buffer.from('requeue'),
  subscription: Buffer.from('subscription'),
  transaction: Buffer.from('transaction'),
  userId: Buffer.from('user-id'),
} as const;

/**
 * Headers that belong to one frame, not to the message: never forwarded from a SEND. A message header of another
 * protocol with such a name is not written into a MESSAGE either, because it would replace the broker's own.
 */
export const FRAME_HEADERS: ReadonlySet<string> = new Set([
  'ack',
  'content-length',
  'destination',
  'message-id',
  'receipt',
  'receipt-id',
  'redelivered',
  'subscription',
  'transaction',
]);

/** Headers that are AMQP properties. All others are message headers. */
export const PROPERTY_HEADERS: ReadonlySet<string> = new Set([
  'amqp-message-id',
  'app-id',
  'cluster-id',
  'content-encoding',
  'content-type',
  'correlation-id',
  'expiration',
  'persistent',
  'priority',
  'reply-to',
  'timestamp',
  'type',
  'user-id',
]);
