// What the broker calls itself towards clients, in every protocol. Clients decide by it: kombu takes RabbitMQ's meaning of
// basic.qos only from a product of that name, and stomp-php writes a header only for that server. src/identity.ts makes
// one by the configuration.

export interface BrokerIdentity {
  /** AMQP's `product`, and the first part of STOMP's `server`. */
  readonly product: string;
  /** The version of that product whose behaviour the broker has. */
  readonly version: string;
  /** The broker's own name and version, which is always told beside them. */
  readonly broker: string;
  /** The realm of HTTP authentication. */
  readonly realm: string;
}
