// GET /api/connections: the clients of all protocols. Users without a monitoring tag see their own.

import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { plainTable } from '../core/message/plain-fields.ts';
import type { ClientConnection, ConnectionInfo } from '../core/session/client-connection.ts';
import { identityOf, seesEverything } from './access.ts';
import type { HttpContext } from './context.ts';
import { listOf, PageQuery, pageOf } from './paging.ts';

const Nullable = Type.Union([Type.String(), Type.Null()]);

export const ConnectionBody = Type.Object({
  id: Type.Integer(),
  name: Type.String({ description: 'Peer and local end, or what the client calls itself.' }),
  user_provided_name: Nullable,
  protocol: Type.String(),
  user: Nullable,
  vhost: Nullable,
  peer_host: Type.String(),
  peer_port: Type.Integer(),
  ssl: Type.Boolean(),
  state: Type.String(),
  channels: Type.Integer(),
  connected_at: Type.Integer({ description: 'Milliseconds since the epoch.' }),
  recv_oct: Type.Integer(),
  send_oct: Type.Integer(),
  client_properties: Type.Record(Type.String(), Type.Any()),
});

/** `info` is made once for each connection and request. */
interface Known {
  readonly id: number;
  readonly info: ConnectionInfo;
}

export function connectionRoutes(api: FastifyInstance, context: HttpContext): void {
  api.get<{ Querystring: PageQuery }>(
    '/connections',
    { schema: { querystring: PageQuery, response: { 200: listOf(ConnectionBody) } } },
    (request) => {
      const identity = identityOf(request);
      const onlyOf = seesEverything(identity) ? null : identity.user;
      const known = visible(context.connections, onlyOf);
      return pageOf(known, request.query, context.limits.pageSizeMax, nameOf, show);
    },
  );
}

function* visible(connections: Iterable<ClientConnection>, onlyOf: string | null): IterableIterator<Known> {
  for (const connection of connections) {
    const info = connection.info();
    if (onlyOf === null || info.user === onlyOf) yield { id: connection.id, info };
  }
}

function nameOf({ info }: Known): string {
  return info.name ?? info.peer;
}

function show({ id, info }: Known): Static<typeof ConnectionBody> {
  const colon = info.peer.lastIndexOf(':');
  return {
    id,
    name: info.name ?? info.peer,
    user_provided_name: info.name,
    protocol: info.protocol,
    user: info.user,
    vhost: info.vhost,
    peer_host: info.peer.slice(0, colon).replace(/^\[|\]$/g, ''),
    peer_port: Number(info.peer.slice(colon + 1)) || 0,
    ssl: info.secure,
    state: info.state,
    channels: info.channels,
    connected_at: info.connectedAt,
    recv_oct: info.bytesRead,
    send_oct: info.bytesWritten,
    client_properties: plainTable(info.clientProperties),
  };
}
