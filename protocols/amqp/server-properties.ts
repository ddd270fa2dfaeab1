// The broker's properties in connection.start, and the client's properties in start-ok.

import { type Field, type FieldTable, findField, textField, textOf } from '../../src/core/message/field-table.ts';
import type { BrokerIdentity } from '../../src/core/ports/broker-identity.ts';

/** Extensions of RabbitMQ that clients check before they use them. */
const CAPABILITIES = [
  'publisher_confirms',
  'exchange_exchange_bindings',
  'basic.nack',
  'consumer_cancel_notify',
  'connection.blocked',
  'consumer_priorities',
  'authentication_failure_close',
  'per_consumer_qos',
  'direct_reply_to',
] as const;

export function serverProperties({ product, version, broker }: BrokerIdentity): FieldTable {
  const capabilities = CAPABILITIES.map((name): Field => ({ name, value: { type: 't', value: true } }));
  return [
    { name: 'capabilities', value: { type: 'F', value: capabilities } },
    textField('product', product),
    textField('version', version),
    textField('broker', broker),
    textField('platform', `Node.js ${process.versions.node}`),
    textField('information', 'AMQP 0-9-1, MQTT and STOMP on one core'),
  ];
}

/** Extensions that the broker uses only if the client supports them. */
export interface ClientCapabilities {
  readonly consumerCancelNotify: boolean;
  readonly connectionBlocked: boolean;
  readonly authenticationFailureClose: boolean;
}

export const NO_CAPABILITIES: ClientCapabilities = Object.freeze({
  consumerCancelNotify: false,
  connectionBlocked: false,
  authenticationFailureClose: false,
});

export function clientCapabilities(clientProperties: FieldTable): ClientCapabilities {
  const field = findField(clientProperties, 'capabilities');
  if (field?.type !== 'F') return NO_CAPABILITIES;
  const has = (name: string): boolean => {
    const value = findField(field.value, name);
    return value?.type === 't' && value.value;
  };
  return {
    consumerCancelNotify: has('consumer_cancel_notify'),
    connectionBlocked: has('connection.blocked'),
    authenticationFailureClose: has('authentication_failure_close'),
  };
}

/** The name that many clients give their connection, or null. */
export function connectionName(clientProperties: FieldTable): string | null {
  return textOf(findField(clientProperties, 'connection_name'));
}
