// The HTTP API over a real socket: health, authentication, which data each user sees, pages, and a uniform error
// format.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request as plainRequest } from 'node:http';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import type { Identity } from '../../src/core/ports/authorization.ts';
import type { HttpContext } from '../../src/http/context.ts';
import { HttpServer } from '../../src/http/http-server.ts';
import { ConnectionBody } from '../../src/http/routes-connections.ts';
import { OverviewBody } from '../../src/http/routes-overview.ts';
import { QueueBody } from '../../src/http/routes-queues.ts';
import { identityOf } from '../../src/identity.ts';
import { hasOpenssl, TestAuthority } from '../../support/certificates.ts';
import { connection, declare, registry } from '../support/registry.ts';

/** name → password and tags; `narrow` has access to the virtual host `b` only. */
const USERS: Readonly<Record<string, readonly [password: string, ...tags: string[]]>> = {
  admin: ['secret', 'administrator'],
  eyes: ['secret', 'monitoring'],
  narrow: ['secret', 'management'],
  device: ['secret'],
};

const LARGE = 'x'.repeat(4 * 1024 * 1024);

async function identify(user: string, password: string): Promise<Identity | { refused: string }> {
  const known = USERS[user];
  if (known === undefined || known[0] !== password) return { refused: 'unknown user or wrong password' };
  return { user, tags: known.slice(1) };
}

async function serve(t: TestContext, changes: Partial<HttpContext> = {}) {
  const core = registry();
  const logged: unknown[] = [];
  const record = (details: object): void => void logged.push(details);
  const context: HttpContext = {
    version: '1.2.3',
    identity: identityOf('rabbitmq', '1.2.3'),
    startedAt: 0,
    hosts: core.hosts,
    connections: core.connections,
    meters: core.meters,
    log: { debug: record, info: record, warn: record, error: record },
    limits: { pageSizeMax: 3, connections: 4 },
    rules: { hosts: [], origins: ['same'] },
    metricsAuthenticated: false,
    identify,
    mayEnter: (_user, vhost) => vhost === 'b',
    ready: () => true,
    listeners: () => [{ name: 'amqp', host: '127.0.0.1', port: 5672, tls: false }],
    scrape: async () => ({ contentType: 'text/plain', body: 'up 1\n' }),
    ...changes,
  };
  const server = new HttpServer(context);
  const port = await server.listen('127.0.0.1', 0);
  t.after(() => server.close());
  const get = async (path: string, user: string | null = 'admin', password = 'secret') => {
    const credentials = Buffer.from(`${user}:${password}`).toString('base64');
    const headers = user === null ? {} : { authorization: `Basic ${credentials}` };
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
    const text = await response.text();
    const json = response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : null;
    if (response.status === 200) for (const item of [json].flat()) holdsTo(path, item);
    return { status: response.status, headers: response.headers, text, json };
  };
  return { ...core, port, get, logged };
}

/** Answers are validated against their routes' schemas here; the server itself does not validate them. */
function holdsTo(path: string, item: unknown): void {
  const schemas: readonly [RegExp, TSchema][] = [
    [/^\/api\/overview/, OverviewBody],
    [/^\/api\/queues(?!.*page=)/, QueueBody],
    [/^\/api\/connections(?!.*page=)/, ConnectionBody],
  ];
  for (const [pattern, schema] of schemas) {
    if (pattern.test(path)) assert.deepEqual(Value.Errors(schema, item), [], path);
  }
}

test('liveness is always reported; readiness only while clients are served', async (t) => {
  let ready = false;
  const { get } = await serve(t, { ready: () => ready });
  assert.deepEqual((await get('/health/live', null)).json, { status: 'ok' });
  const starting = await get('/health/ready', null);
  assert.equal(starting.status, 503);
  assert.equal(starting.json.error, 'unavailable');
  ready = true;
  assert.deepEqual((await get('/health/ready', null)).json, { status: 'ok' });
});

test('the API requires authentication', async (t) => {
  const { get, logged } = await serve(t);
  for (const path of ['/api/overview', '/api/queues', '/api/queues/b/q', '/api/connections', '/api/nothing']) {
    const stranger = await get(path, null);
    assert.equal(stranger.status, 401, path);
    assert.match(stranger.headers.get('www-authenticate') ?? '', /^Basic /);
    assert.equal(stranger.json.error, 'not_authorized');
    assert.equal((await get(path, 'admin', 'guess')).status, 401);
    assert.equal((await get(path, 'device')).status, 401, 'a user without a tag');
  }
  assert.ok(!JSON.stringify(logged).includes('guess'), 'passwords are not logged');
});

for (const header of ['Bearer abc', 'Basic', 'Basic !!!', 'Basic YWRtaW4=', `Basic ${'A'.repeat(100_000)}`]) {
  test(`a broken Authorization header is refused: ${header.slice(0, 20)}`, async (t) => {
    const server = new HttpServer({ ...(await contextOnly()), log: silent });
    const port = await server.listen('127.0.0.1', 0);
    t.after(() => server.close());
    const response = await fetch(`http://127.0.0.1:${port}/api/overview`, { headers: { authorization: header } });
    assert.ok([401, 431].includes(response.status));
  });
}

test('the overview names the product, its listeners and its totals', async (t) => {
  const { get, hosts, connections, meters } = await serve(t);
  declare(hosts, '/', 'readings');
  connections.add(connection(1, { channels: 2 }));
  Object.assign(meters, { published: 5, delivered: 4, acknowledged: 3, unroutable: 2, returned: 1 });
  const { json } = await get('/api/overview');
  assert.equal(json.product_name, 'RabbitMQ');
  assert.match(json.rabbitmq_version, /^3\.13\./);
  assert.equal(json.broker, 'Trivium 1.2.3');
  assert.deepEqual(json.listeners, [{ protocol: 'amqp', ip_address: '127.0.0.1', port: 5672, tls: false }]);
  assert.deepEqual(json.object_totals, { connections: 1, channels: 2, exchanges: 6, queues: 1, consumers: 0 });
  assert.deepEqual(json.message_stats, {
    publish: 5,
    deliver_get: 4,
    ack: 3,
    redeliver: 0,
    return_unroutable: 1,
    drop_unroutable: 1,
  });
});

test('a queue is shown with the fields of RabbitMQ and its arguments as plain JSON', async (t) => {
  const { get, hosts } = await serve(t);
  declare(hosts, '/', 'a/b', [
    { name: 'x-size', value: { type: 'l', value: 10n } },
    {
      name: 'x-note',
      value: {
        type: 'A',
        value: [
          { type: 'S', value: 'ü' },
          { type: 't', value: true },
        ],
      },
    },
  ]);
  const expected = {
    name: 'a/b',
    vhost: '/',
    type: 'classic',
    state: 'running',
    durable: true,
    auto_delete: false,
    exclusive: false,
    arguments: { 'x-size': 10, 'x-note': ['ü', true] },
    consumers: 0,
    messages: 0,
    messages_ready: 0,
    messages_unacknowledged: 0,
    messages_paged_out: 0,
  };
  assert.deepEqual((await get('/api/queues')).json, [expected]);
  assert.deepEqual((await get('/api/queues/%2F')).json, [expected]);
  assert.deepEqual((await get('/api/queues/%2F/a%2Fb')).json, expected);
});

test('a user without a monitoring tag sees the virtual hosts that it may enter, and its own connections', async (t) => {
  const { get, hosts, connections } = await serve(t);
  hosts.create('b');
  declare(hosts, '/', 'hidden');
  declare(hosts, 'b', 'visible');
  connections.add(connection(1, { user: 'guest' }));
  connections.add(connection(2, { user: 'narrow' }));
  const names = (items: { name: string }[]) => items.map((item) => item.name);
  assert.deepEqual(names((await get('/api/queues', 'narrow')).json), ['visible']);
  assert.deepEqual(names((await get('/api/queues', 'eyes')).json), ['hidden', 'visible']);
  assert.equal((await get('/api/queues/%2F/hidden', 'narrow')).status, 404);
  assert.equal((await get('/api/overview', 'narrow')).json.object_totals.queues, 1);
  const ids = (items: { id: number }[]) => items.map((item) => item.id);
  assert.deepEqual(ids((await get('/api/connections', 'narrow')).json), [2]);
  assert.deepEqual(ids((await get('/api/connections', 'eyes')).json), [1, 2]);
});

test('a connection is shown with its peer, user and protocol', async (t) => {
  const { get, connections } = await serve(t);
  connections.add(connection(7, { peer: '[::1]:4711', protocol: 'MQTT 3.1.1', name: 'device-7', secure: true }));
  const [shown] = (await get('/api/connections')).json;
  assert.equal(shown.peer_host, '::1');
  assert.equal(shown.peer_port, 4711);
  assert.equal(shown.name, 'device-7');
  assert.equal(shown.protocol, 'MQTT 3.1.1');
  assert.equal(shown.ssl, true);
});

test('a list that is longer than a page must be asked for in pages', async (t) => {
  const { get, hosts } = await serve(t);
  for (const name of ['a1', 'a2', 'b1', 'b2']) declare(hosts, '/', name);
  const whole = await get('/api/queues');
  assert.equal(whole.status, 400);
  assert.match(whole.json.reason, /page_size=3/);
  const second = (await get('/api/queues?page=2&page_size=3')).json;
  assert.deepEqual(
    { ...second, items: second.items.map((item: { name: string }) => item.name) },
    {
      items: ['b2'],
      item_count: 1,
      total_count: 4,
      filtered_count: 4,
      page: 2,
      page_size: 3,
      page_count: 2,
    },
  );
  assert.equal((await get('/api/queues?name=a')).json.length, 2);
  assert.equal((await get('/api/queues?page=1&page_size=1000')).json.page_size, 3, 'the bound holds');
  assert.equal((await get('/api/queues?page=9')).json.error, 'page_out_of_range');
});

test('every error has one shape', async (t) => {
  const { get } = await serve(t, {
    scrape: () => Promise.reject(new Error('a secret of the house')),
  });
  for (const [path, status] of [
    ['/nothing', 404],
    ['/api/nothing', 404],
    ['/api/queues/%2F/none', 404],
    ['/api/queues/none', 404],
    ['/api/queues?page=0', 400],
    ['/api/queues?page=x', 400],
    ['/api/queues/%ZZ', 400],
    ['/metrics', 500],
  ] as const) {
    const { status: got, json } = await get(path);
    assert.equal(got, status, path);
    assert.deepEqual(Object.keys(json), ['error', 'reason'], path);
  }
  const { text } = await get('/metrics');
  assert.ok(!text.includes('secret'), 'a surprise tells the client nothing');
});

test('metrics need no authentication by default', async (t) => {
  const open = await serve(t);
  assert.equal((await open.get('/metrics', null)).text, 'up 1\n');
  const closed = await serve(t, { metricsAuthenticated: true });
  assert.equal((await closed.get('/metrics', null)).status, 401);
  assert.equal((await closed.get('/metrics', 'eyes')).text, 'up 1\n');
});

test('the same is served over TLS', async (t) => {
  if (!hasOpenssl()) return t.skip('openssl is not installed');
  const authority = new TestAuthority('Test');
  t.after(() => authority.remove());
  const server = new HttpServer(await contextOnly());
  t.after(() => server.close());
  const files = { ...authority.issue('/CN=localhost', 'server'), caFile: null, requireClientCertificate: false };
  const port = await server.listenTls('127.0.0.1', 0, files);
  const options = { host: '127.0.0.1', port, path: '/health/ready', ca: readFileSync(authority.caFile) };
  const [response] = (await once(request({ ...options, agent: false }).end(), 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  response.resume();
  await once(response, 'end');
});

test('a port that is taken is named in the error', async (t) => {
  const first = new HttpServer(await contextOnly());
  const port = await first.listen('127.0.0.1', 0);
  t.after(() => first.close());
  const second = new HttpServer(await contextOnly());
  await assert.rejects(second.listen('127.0.0.1', port), {
    code: 'EADDRINUSE',
    message: new RegExp(`127.0.0.1:${port}`),
  });
  await second.close();
});

const nothing = (): void => {};
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };

async function contextOnly(): Promise<HttpContext> {
  const core = registry();
  return {
    ...core,
    version: '1',
    identity: identityOf('rabbitmq', '1'),
    startedAt: 0,
    log: silent,
    limits: { pageSizeMax: 3, connections: 4 },
    rules: { hosts: [], origins: ['same'] },
    metricsAuthenticated: false,
    identify,
    mayEnter: () => false,
    ready: () => true,
    listeners: () => [],
    scrape: async () => ({ contentType: 'text/plain', body: '' }),
  };
}

test('silent connections make room for new ones, the one first that was quiet the longest', async (t) => {
  const { port, get, meters } = await serve(t);
  const silent: Socket[] = [];
  for (let i = 0; i < 8; i++) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    if (i % 2 === 0) socket.write('GET /health/ready HTTP/1.1\r\nx-a: ');
    silent.push(socket);
  }
  await Promise.all(silent.slice(0, 4).map((socket) => socket.closed || once(socket, 'close')));
  assert.equal((await get('/health/ready', null)).status, 200);
  assert.ok(meters.limitHits['http.connections'] >= 5);
  for (const socket of silent) socket.destroy();
});

test('a request whose body does not end makes room, too', async (t) => {
  const { port, get } = await serve(t);
  const begun = 'POST /health/ready HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n{';
  const sockets = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  for (const socket of sockets) {
    await (socket.pending ? once(socket, 'connect') : null);
    socket.write(begun);
  }
  for (let i = 0; i < 5; i++) assert.equal((await get('/health/ready', null)).status, 200);
  for (const socket of sockets) socket.destroy();
});

test('a connection that reads no answers makes room', async (t) => {
  const { port, get } = await serve(t, { scrape: async () => ({ contentType: 'text/plain', body: LARGE }) });
  const sockets: Socket[] = [];
  for (let i = 0; i < 4; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    socket.pause();
    socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n');
    sockets.push(socket);
  }
  assert.equal((await get('/health/ready', null)).status, 200);
  for (const socket of sockets) socket.destroy();
});

test('requests far ahead of their answers end their connection', async (t) => {
  let scrapes = 0;
  const scrape = async () => {
    scrapes++;
    return { contentType: 'text/plain', body: LARGE };
  };
  const { port, get, meters } = await serve(t, { scrape });
  const one = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  socket.pause();
  socket.write(one.repeat(400));
  await once(socket.resume(), 'close');
  assert.ok(scrapes <= 4, `${scrapes} of 400 were answered`);
  assert.equal(meters.limitHits['http.connections'], 1);
  const few = connect(port, '127.0.0.1');
  few.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(4));
  let text = '';
  for await (const chunk of few) {
    text += chunk;
    if (text.split('HTTP/1.1 200').length === 5) break;
  }
  assert.equal((await get('/health/ready', null)).status, 200);
});

test('room is made by the address with the most connections', async (t) => {
  const { port, get } = await serve(t);
  const first = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
  await once(first, 'connect');
  const many = Array.from({ length: 20 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await Promise.all(many.slice(0, 16).map((socket) => socket.closed || once(socket, 'close')));
  first.write('GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [answer] = await once(first, 'data');
  assert.match(String(answer), /^HTTP\/1.1 200/, 'it was quiet the longest');
  assert.equal((await get('/health/ready', null)).status, 200);
  for (const socket of [first, ...many]) socket.destroy();
});

test('answers are given to known hosts only, and not to pages of strangers', async (t) => {
  const { port } = await serve(t, { rules: { hosts: ['broker.example'], origins: ['same', 'https://app.example'] } });
  const ask = async (headers: Record<string, string>, path = '/health/ready') => {
    const asked = plainRequest({ host: '127.0.0.1', port, path, headers, agent: false }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return { status: response.statusCode, headers: response.headers, text: (await response.toArray()).join('') };
  };
  for (const host of ['localhost:1', '127.0.0.1', '[::1]:15672', 'broker', 'trivium.ns.svc', 'Broker.Example:80']) {
    const { status, headers } = await ask({ host });
    assert.equal(status, 200, host);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['cache-control'], 'no-store');
  }
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'broker.example.evil.com']) {
    for (const path of ['/health/ready', '/metrics', '/api/overview', '/nothing']) {
      const { status, text, headers } = await ask({ host }, path);
      assert.equal(status, 421, `${host} ${path}`);
      assert.match(text, /http\.hosts/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
    }
  }
  assert.equal((await ask({ host: 'localhost', origin: 'https://app.example' })).status, 200);
  assert.equal((await ask({ host: 'localhost', origin: `http://localhost:${port}` })).status, 200);
  const foreign = await ask({ host: 'localhost', origin: 'http://evil.example' });
  assert.equal(foreign.status, 403);
  assert.match(foreign.text, /ws\.origins/);
});

test('a parameter that is not known is refused by name', async (t) => {
  const { get } = await serve(t);
  for (const path of [
    '/api/queues?page=1&use_regex=true',
    '/api/connections?use_regex=true',
    '/api/overview?use_regex=1',
  ]) {
    const { status, json } = await get(path);
    assert.equal(status, 400, path);
    assert.match(json.reason, /unknown parameter 'use_regex'/);
  }
});

test('a connection with a request in progress is not closed for a new one', async (t) => {
  let answer = (): void => {};
  const scrape = async () => {
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    return { contentType: 'text/plain', body: 'up 1\n' };
  };
  const { port, get } = await serve(t, { scrape });
  const metrics = get('/metrics', null);
  const silent = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await Promise.all(silent.slice(0, 5).map((socket) => socket.closed || once(socket, 'close')));
  answer();
  assert.equal((await metrics).text, 'up 1\n');
  for (const socket of silent) socket.destroy();
});
