// Checks of SASL EXTERNAL over mutual TLS: the certificate determines the user.

import assert from 'node:assert/strict';
import { connect } from 'node:tls';
import type { Check } from '../../check.ts';
import { type AmqpTest, amqp, EXTENSION } from '../amqp-check.ts';
import { AmqpConnection } from '../wire/connection.ts';

const SECTION = 'RabbitMQ: Access control, EXTERNAL';
const LOGIN = { mechanism: 'EXTERNAL', response: '' } as const;

async function dial(t: AmqpTest, shown: boolean): Promise<AmqpConnection> {
  const { host, port, ca, client } = t.context.endpoint.tls!;
  const socket = connect({ host, port, ca, ...(shown ? { cert: client.certificate, key: client.key } : {}) });
  t.context.after(() => {
    socket.destroy();
  });
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return new AmqpConnection(socket, t.context);
}

function overTls(id: string, title: string, run: (t: AmqpTest) => Promise<void>): Check {
  return { ...amqp(`external.${id}`, SECTION, EXTENSION, title, run), tls: true };
}

export const EXTERNAL_CHECKS: readonly Check[] = [
  overTls('offered', 'EXTERNAL is offered to a client with a certificate', async (t) => {
    const { mechanisms } = await (await dial(t, true)).start();
    assert.ok(mechanisms.split(' ').includes('EXTERNAL'), mechanisms);
  }),
  overTls('login', 'EXTERNAL logs in the user that the certificate names, and no other', async (t) => {
    const { user } = t.context.endpoint.tls!.client;
    const connection = await dial(t, true);
    await connection.open(LOGIN);
    const channel = await t.channel(connection);
    const queue = await t.queue(channel);
    channel.publish({ routingKey: queue, body: 'm', properties: { userId: user } });
    await channel.get(queue, { body: 'm' });
    channel.publish({ routingKey: queue, properties: { userId: t.context.endpoint.user } });
    await channel.expectClose(406, new RegExp(`authenticated user was '${user}'`));
  }),
  overTls('no-certificate', 'EXTERNAL is neither offered nor taken without a certificate', async (t) => {
    const connection = await dial(t, false);
    const { mechanisms } = await connection.start();
    assert.ok(!mechanisms.split(' ').includes('EXTERNAL'), mechanisms);
    connection.sendStartOk(LOGIN);
    await connection.expectRefusal([403, 503]);
  }),
  overTls('plain', 'a client with a certificate may log in by PLAIN as well', async (t) => {
    const connection = await dial(t, true);
    await connection.open();
    await t.channel(connection);
  }),
];
