// The HTTP server: one Fastify application on a plain port and, with a certificate, a TLS port. The broker creates,
// starts and stops it. It starts after the protocol listeners and stops after them, so that health checks are answered
// meanwhile.

import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { readTls, type TlsFiles, type TlsSettings } from '../net/tls.ts';
import { isOriginAllowed } from '../net/websocket-handshake.ts';
import { authenticate } from './access.ts';
import type { HttpContext } from './context.ts';
import { HttpConnections } from './http-connections.ts';
import { answerError, answerNotFound, HttpError } from './http-error.ts';
import { isKnownHost } from './known-hosts.ts';
import { connectionRoutes } from './routes-connections.ts';
import { healthRoutes } from './routes-health.ts';
import { overviewRoute } from './routes-overview.ts';
import { queueRoutes } from './routes-queues.ts';
import { LazyValidation } from './validation.ts';

/** The API takes no bodies yet; a client that sends more than this is disconnected. */
const BODY_BYTES = 64 * 1024;
/** Time for a TLS handshake, for the headers of a request, and for the request in full; checked at that interval. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const CHECKING_INTERVAL_MS = 2_000;
const KEEP_ALIVE_TIMEOUT_MS = 10_000;
const PARAMETER_CHARACTERS = 1024;

/** After so much time without a byte either way a connection is closed: its client does not read its answer. */
const QUIET_TIMEOUT_MS = 30_000;

const HTTP_OPTIONS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  connectionsCheckingInterval: CHECKING_INTERVAL_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
};

export class HttpServer {
  private readonly app: FastifyInstance;
  private readonly connections: HttpConnections;
  private secure: TlsServer | null;

  constructor(context: HttpContext) {
    const connections = new HttpConnections(context.limits.connections, () => {
      context.meters.limitHits['http.connections']++;
    });
    this.connections = connections;
    this.app = application(context, (handler) => {
      const server = createServer(HTTP_OPTIONS, (request, response) => {
        if (connections.admit(request, response)) handler(request, response);
      });
      server.timeout = QUIET_TIMEOUT_MS;
      connections.watch(server);
      return server;
    });
    this.secure = null;
  }

  /** Resolves with the port. Rejects with an error that names the address. */
  async listen(host: string, port: number): Promise<number> {
    try {
      await this.app.listen({ host, port });
    } catch (cause) {
      throw cannotListen('http', host, port, cause);
    }
    return portOf(this.app.server.address());
  }

  /** Resolves with the handler for HTTP requests that arrive on another listener's port. */
  async answering(): Promise<RequestListener> {
    await this.app.ready();
    return this.answer;
  }

  private readonly answer: RequestListener = (request, response) => {
    if (this.connections.admit(request, response)) this.app.routing(request, response);
  };

  /** As `listen`, with TLS. */
  async listenTls(host: string, port: number, files: TlsFiles): Promise<number> {
    const options = await readTls(files);
    await this.app.ready();
    const server = createTlsServer(
      { ...options, ...HTTP_OPTIONS, handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
      this.answer,
    );
    server.timeout = QUIET_TIMEOUT_MS;
    this.connections.watch(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => reject(cannotListen('https', host, port, cause)));
      server.listen(port, host, resolve);
    });
    this.secure = server;
    return portOf(server.address());
  }

  /** New handshakes use these certificates. */
  renewTls(settings: TlsSettings): void {
    this.secure?.setSecureContext(settings);
  }

  /** Closes both ports and every connection on them. */
  async close(): Promise<void> {
    const { secure } = this;
    if (secure !== null) {
      const closed = new Promise<void>((resolve) => secure.close(() => resolve()));
      secure.closeAllConnections();
      await closed;
    }
    await this.app.close();
  }
}

function application(context: HttpContext, serverFactory: (handler: RequestListener) => Server): FastifyInstance {
  const validation = new LazyValidation();
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES,
    serverFactory,
    forceCloseConnections: true,
    // A path that cannot be decoded never reaches the routes' error handler.
    frameworkErrors: answerError(context.log),
    routerOptions: { maxParamLength: PARAMETER_CHARACTERS },
    schemaController: validation.schemaController,
  });
  app.decorateRequest('identity', null);
  app.setErrorHandler(answerError(context.log));
  app.setNotFoundHandler(answerNotFound);
  app.addHook('onRequest', requireKnownHost(context));
  app.addHook('onSend', async (_request, reply) => {
    reply.headers({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
  });
  healthRoutes(app, context);
  app.register(
    async (api) => {
      api.addHook('onRoute', (route) => {
        // Nothing is accepted and ignored: a route that names no parameters takes none.
        route.schema = { querystring: NO_PARAMETERS, ...route.schema };
      });
      api.addHook('onRequest', authenticate(context));
      validation.loadBefore(api);
      overviewRoute(api, context);
      queueRoutes(api, context);
      connectionRoutes(api, context);
      // Behind authentication too, so that the response does not reveal which resources exist.
      api.setNotFoundHandler(answerNotFound);
    },
    { prefix: '/api' },
  );
  return app;
}

const NO_PARAMETERS = Type.Object({}, { additionalProperties: false });

/** Refuses requests by a name or from a page that is not known: a browser may have been made to send them. */
function requireKnownHost({ rules }: HttpContext) {
  return async (request: FastifyRequest): Promise<void> => {
    const { host, origin } = request.headers;
    if (!isKnownHost(host, rules.hosts)) {
      const reason = `the broker is not known as '${host}'; add the name to http.hosts`;
      throw new HttpError(421, 'misdirected_request', reason);
    }
    if (!isOriginAllowed(request.raw, rules.origins)) {
      throw new HttpError(403, 'forbidden', `pages of '${origin}' may not send requests; add the origin to ws.origins`);
    }
  };
}

function cannotListen(name: string, host: string, port: number, cause: unknown): Error {
  return Object.assign(new Error(`${name} cannot listen on ${host}:${port}: ${(cause as Error).message}`, { cause }), {
    code: (cause as NodeJS.ErrnoException).code,
  });
}

function portOf(address: AddressInfo | string | null): number {
  return (address as AddressInfo).port;
}
