// The names that the configuration key `identity` stands for.

import type { BrokerIdentity } from './core/ports/broker-identity.ts';

/** The version of RabbitMQ whose behaviour the broker follows. */
const RABBITMQ_VERSION = '3.13.7';

/** `version`: the broker's own. */
export function identityOf(name: 'rabbitmq' | 'trivium', version: string): BrokerIdentity {
  const broker = `Trivium ${version}`;
  return name === 'rabbitmq'
    ? { product: 'RabbitMQ', version: RABBITMQ_VERSION, broker, realm: 'RabbitMQ Management' }
    : { product: 'Trivium', version, broker, realm: 'Trivium' };
}
