// GET /api/overview: version, listeners and totals of the broker.

import { hostname } from 'node:os';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { identityOf, seesVhost } from './access.ts';
import type { HttpContext } from './context.ts';

export const OverviewBody = Type.Object({
  product_name: Type.String(),
  product_version: Type.String(),
  rabbitmq_version: Type.String({ description: 'The version of RabbitMQ whose behaviour the broker has.' }),
  management_version: Type.String(),
  broker: Type.String({ description: "The broker's own name and version." }),
  node: Type.String(),
  node_version: Type.String({ description: 'Version of Node.js.' }),
  uptime: Type.Integer({ description: 'Milliseconds.' }),
  object_totals: Type.Object({
    connections: Type.Integer(),
    channels: Type.Integer(),
    exchanges: Type.Integer(),
    queues: Type.Integer(),
    consumers: Type.Integer(),
  }),
  queue_totals: Type.Object({
    messages: Type.Integer(),
    messages_ready: Type.Integer(),
    messages_unacknowledged: Type.Integer(),
  }),
  message_stats: Type.Object({
    publish: Type.Integer(),
    deliver_get: Type.Integer(),
    ack: Type.Integer(),
    redeliver: Type.Integer(),
    return_unroutable: Type.Integer(),
    drop_unroutable: Type.Integer(),
  }),
  listeners: Type.Array(
    Type.Object({ protocol: Type.String(), ip_address: Type.String(), port: Type.Integer(), tls: Type.Boolean() }),
  ),
});

export function overviewRoute(api: FastifyInstance, context: HttpContext): void {
  const node = `trivium@${hostname()}`;
  api.get('/overview', { schema: { response: { 200: OverviewBody } } }, (request): Static<typeof OverviewBody> => {
    const identity = identityOf(request);
    const { meters } = context;
    let channels = 0;
    for (const connection of context.connections) channels += connection.info().channels;
    const { exchanges, queues, consumers, ready, unacked } = totals(context, (vhost) => {
      return seesVhost(context, identity, vhost);
    });
    return {
      product_name: context.identity.product,
      product_version: context.identity.version,
      rabbitmq_version: context.identity.version,
      management_version: context.identity.version,
      broker: context.identity.broker,
      node,
      node_version: process.versions.node,
      uptime: Date.now() - context.startedAt,
      object_totals: { connections: context.connections.size, channels, exchanges, queues, consumers },
      queue_totals: { messages: ready + unacked, messages_ready: ready, messages_unacknowledged: unacked },
      message_stats: {
        publish: meters.published,
        deliver_get: meters.delivered,
        ack: meters.acknowledged,
        redeliver: meters.redelivered,
        return_unroutable: meters.returned,
        drop_unroutable: meters.unroutable - meters.returned,
      },
      listeners: context
        .listeners()
        .map(({ name, host, port, tls }) => ({ protocol: name, ip_address: host, port, tls })),
    };
  });
}

/** Sums over the virtual hosts that are visible. */
function totals(context: HttpContext, visible: (vhost: string) => boolean) {
  const sums = { exchanges: 0, queues: 0, consumers: 0, ready: 0, unacked: 0 };
  for (const host of context.hosts) {
    if (!visible(host.name)) continue;
    sums.exchanges += host.exchanges.size;
    sums.queues += host.queues.size;
    for (const queue of host.queues.values()) {
      sums.consumers += queue.consumers.size;
      sums.ready += queue.readyCount;
      sums.unacked += queue.unackedCount;
    }
  }
  return sums;
}
