// GET /api/queues, /api/queues/{vhost} and /api/queues/{vhost}/{name}: those fields of RabbitMQ's management API that
// have a meaning here, with the same names.

import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { plainTable } from '../core/message/plain-fields.ts';
import type { Queue } from '../core/queue/queue.ts';
import { identityOf, seesVhost } from './access.ts';
import type { HttpContext } from './context.ts';
import { HttpError } from './http-error.ts';
import { listOf, PageQuery, pageOf } from './paging.ts';

export const QueueBody = Type.Object({
  name: Type.String(),
  vhost: Type.String(),
  type: Type.Literal('classic'),
  state: Type.Literal('running'),
  durable: Type.Boolean(),
  auto_delete: Type.Boolean(),
  exclusive: Type.Boolean(),
  arguments: Type.Record(Type.String(), Type.Any()),
  consumers: Type.Integer(),
  messages: Type.Integer(),
  messages_ready: Type.Integer(),
  messages_unacknowledged: Type.Integer(),
  messages_paged_out: Type.Integer({ description: 'Of the ready ones, those that are on disk only.' }),
});

const VhostParameters = Type.Object({ vhost: Type.String() });
const QueueParameters = Type.Object({ vhost: Type.String(), name: Type.String() });

/** A queue and its virtual host. */
interface Placed {
  readonly vhost: string;
  readonly queue: Queue;
}

export function queueRoutes(api: FastifyInstance, context: HttpContext): void {
  const { hosts, limits } = context;
  const response = { 200: listOf(QueueBody) };

  api.get<{ Querystring: PageQuery }>('/queues', { schema: { querystring: PageQuery, response } }, (request) => {
    const identity = identityOf(request);
    const visible = [...hosts].filter((host) => seesVhost(context, identity, host.name)).map((host) => host.name);
    return pageOf(queuesOf(context, visible), request.query, limits.pageSizeMax, nameOf, show);
  });

  api.get<{ Querystring: PageQuery; Params: Static<typeof VhostParameters> }>(
    '/queues/:vhost',
    { schema: { params: VhostParameters, querystring: PageQuery, response } },
    (request) => {
      const { vhost } = request.params;
      requireVhost(context, identityOf(request), vhost);
      return pageOf(queuesOf(context, [vhost]), request.query, limits.pageSizeMax, nameOf, show);
    },
  );

  api.get<{ Params: Static<typeof QueueParameters> }>(
    '/queues/:vhost/:name',
    { schema: { params: QueueParameters, response: { 200: QueueBody } } },
    (request) => {
      const { vhost, name } = request.params;
      requireVhost(context, identityOf(request), vhost);
      const queue = hosts.get(vhost)!.queues.get(name);
      if (queue === undefined) throw new HttpError(404, 'not_found', `no queue '${name}' in vhost '${vhost}'`);
      return show({ vhost, queue });
    },
  );
}

/** A virtual host that the user may not see is reported as not found. */
function requireVhost(context: HttpContext, identity: ReturnType<typeof identityOf>, vhost: string): void {
  if (context.hosts.get(vhost) === null || !seesVhost(context, identity, vhost)) {
    throw new HttpError(404, 'not_found', `no vhost '${vhost}'`);
  }
}

function* queuesOf(context: HttpContext, vhosts: readonly string[]): IterableIterator<Placed> {
  for (const vhost of vhosts) {
    for (const queue of context.hosts.get(vhost)?.queues.values() ?? []) yield { vhost, queue };
  }
}

function nameOf(placed: Placed): string {
  return placed.queue.name;
}

function show({ vhost, queue }: Placed): Static<typeof QueueBody> {
  return {
    name: queue.name,
    vhost,
    type: 'classic',
    state: 'running',
    durable: queue.durable,
    auto_delete: queue.autoDelete,
    exclusive: queue.owner !== null,
    arguments: plainTable(queue.args),
    consumers: queue.consumers.size,
    messages: queue.readyCount + queue.unackedCount,
    messages_ready: queue.readyCount,
    messages_unacknowledged: queue.unackedCount,
    messages_paged_out: queue.pagedCount,
  };
}
