// The routes of orchestrators and scrapers, without a login: whether the process is alive, whether it serves clients,
// and the metrics.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { authenticate } from './access.ts';
import type { HttpContext } from './context.ts';
import { ErrorBody } from './http-error.ts';

const StatusBody = Type.Object({ status: Type.String() });

export function healthRoutes(app: FastifyInstance, context: HttpContext): void {
  app.get('/health/live', { schema: { response: { 200: StatusBody } } }, () => ({ status: 'ok' }));

  app.get('/health/ready', { schema: { response: { 200: StatusBody, 503: ErrorBody } } }, (_request, reply) => {
    if (context.ready()) return { status: 'ok' };
    return reply.code(503).send({ error: 'unavailable', reason: 'the broker is starting or stopping' });
  });

  const onRequest = context.metricsAuthenticated ? [authenticate(context)] : [];
  app.get('/metrics', { onRequest }, async (_request, reply) => {
    const { contentType, body } = await context.scrape();
    return reply.type(contentType).send(body);
  });
}
