// Real client libraries against a broker in this process: stompit over TCP, @stomp/stompjs over WebSocket (and its text
// and binary messages), stomp.py where Debian's python3-stomp is installed.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type IFrame, type IMessage, type StompConfig, Client as StompJs } from '@stomp/stompjs';
import { WebSocket } from 'ws';
import { type Broker, createBroker } from '../../src/broker.ts';
import type { PartialConfig } from '../../src/config/schema.ts';

// stompit is CommonJS without type declarations: these are the parts used here.
interface StompitMessage extends NodeJS.ReadableStream {
  readonly headers: Readonly<Record<string, string>>;
  readString(encoding: string, done: (error: Error | null, body: string) => void): void;
}
interface StompitClient extends NodeJS.EventEmitter {
  send(headers: object, options?: { onReceipt?: () => void }): { end(body: string | Buffer): void };
  subscribe(
    headers: object,
    onMessage: (error: Error | null, message: StompitMessage) => void,
  ): { unsubscribe(): void };
  ack(message: StompitMessage): void;
  nack(message: StompitMessage, headers?: object): void;
  begin(): {
    send(headers: object): { end(body: string): void };
    commit(options?: { onReceipt?: () => void }): void;
    abort(): void;
  };
  disconnect(done?: (error: Error | null) => void): void;
  destroy(): void;
}
interface Stompit {
  connect(options: object, done: (error: Error | null, client: StompitClient) => void): StompitClient;
}
const stompit = createRequire(import.meta.url)('stompit') as Stompit;

/** A queue of arrivals that can be awaited one by one. */
class Inbox<T> {
  private readonly items: T[] = [];
  private readonly waiting: ((item: T) => void)[] = [];

  readonly put = (item: T): void => {
    const next = this.waiting.shift();
    if (next === undefined) this.items.push(item);
    else next(item);
  };

  /** Arrivals not taken yet. */
  get size(): number {
    return this.items.length;
  }

  take(): Promise<T> {
    const item = this.items.shift();
    return item === undefined ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve(item);
  }

  async takeAll(count: number): Promise<T[]> {
    const all: T[] = [];
    while (all.length < count) all.push(await this.take());
    return all;
  }
}

let broker: Broker;

before(async () => {
  broker = await createBroker({ http: { port: false } });
});

after(() => broker.stop());

describe('stompit', () => {
  const LOGIN = { host: '/', login: 'guest', passcode: 'guest', 'heart-beat': '5000,5000' };

  function connect(connectHeaders: object = LOGIN): Promise<StompitClient> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: broker.ports.stomp, connectHeaders };
      const connecting = stompit.connect(options, (error, client) => (error ? reject(error) : resolve(client)));
      // stompit also emits «connection ended unexpectedly» after each ERROR frame.
      connecting.on('error', () => {});
    });
  }

  function subscribe(client: StompitClient, headers: object): Inbox<[StompitMessage, string]> {
    const inbox = new Inbox<[StompitMessage, string]>();
    client.subscribe(headers, (error, message) => {
      if (error !== null) return;
      message.readString('utf8', (_, body) => inbox.put([message, body]));
    });
    return inbox;
  }

  const sent = (client: StompitClient, headers: object, body: string): Promise<void> =>
    new Promise((resolve) => client.send(headers, { onReceipt: resolve }).end(body));

  const gone = (client: StompitClient): Promise<void> =>
    new Promise((resolve, reject) => client.disconnect((error) => (error ? reject(error) : resolve())));

  it('sends, subscribes, acknowledges, refuses and disconnects', async () => {
    const client = await connect();
    await sent(client, { destination: '/queue/stompit', 'content-type': 'text/plain', 'x-own': 'a:b\nc' }, 'ä 1');
    await sent(client, { destination: '/queue/stompit', persistent: 'true' }, '2');
    const inbox = subscribe(client, { destination: '/queue/stompit', ack: 'client-individual' });
    const [[first, body], [second]] = (await inbox.takeAll(2)) as [[StompitMessage, string], [StompitMessage, string]];
    assert.equal(body, 'ä 1');
    assert.equal(first.headers['x-own'], 'a:b\nc');
    assert.equal(first.headers.redelivered, 'false');
    client.ack(first);
    client.nack(second);
    const [again, text] = await inbox.take();
    assert.deepEqual([text, again.headers.redelivered], ['2', 'true']);
    client.ack(again);
    await gone(client);
    const other = await connect();
    const rest = subscribe(other, { destination: '/queue/stompit', ack: 'auto' });
    await sent(other, { destination: '/queue/stompit' }, 'last');
    assert.equal((await rest.take())[1], 'last');
    await gone(other);
  });

  it('commits and aborts transactions', async () => {
    const client = await connect();
    const inbox = subscribe(client, { destination: '/topic/tx', ack: 'auto' });
    const aborted = client.begin();
    aborted.send({ destination: '/topic/tx' }).end('never');
    aborted.abort();
    const committed = client.begin();
    committed.send({ destination: '/topic/tx' }).end('1');
    committed.send({ destination: '/topic/tx' }).end('2');
    committed.commit();
    assert.deepEqual(
      (await inbox.takeAll(2)).map(([, body]) => body),
      ['1', '2'],
    );
    await gone(client);
  });

  it('gets back what it did not acknowledge, in order, and keeps its prefetch', async () => {
    const destination = '/queue/stompit-back';
    const client = await connect();
    for (const body of ['1', '2', '3', '4']) await sent(client, { destination }, body);
    const first = subscribe(client, { destination, ack: 'client', 'prefetch-count': 2 });
    const [, second] = (await first.takeAll(2)) as [[StompitMessage, string], [StompitMessage, string]];
    assert.equal(first.size, 0);
    // Cumulative: it includes the first message.
    client.ack(second[0]);
    assert.deepEqual(
      (await first.takeAll(2)).map(([, body]) => body),
      ['3', '4'],
    );
    await gone(client);
    const other = await connect();
    const again = await subscribe(other, { destination, ack: 'client-individual' }).takeAll(2);
    assert.deepEqual(
      again.map(([message, body]) => [body, message.headers.redelivered]),
      [
        ['3', 'true'],
        ['4', 'true'],
      ],
    );
    for (const [message] of again) other.nack(message, { requeue: 'false' });
    await gone(other);
    const left = await connect();
    const rest = subscribe(left, { destination, ack: 'auto' });
    await sent(left, { destination }, 'last');
    assert.equal((await rest.take())[1], 'last');
    await gone(left);
  });

  it('keeps a durable subscription while it is away, and ends it', async () => {
    const durable = { destination: '/topic/stompit', id: 'kept', durable: 'true', 'auto-delete': 'false', ack: 'auto' };
    const client = await connect();
    subscribe(client, durable);
    await gone(client);
    const publisher = await connect();
    await sent(publisher, { destination: '/topic/stompit', persistent: 'true' }, 'while away');
    await gone(publisher);
    const back = await connect();
    assert.equal((await subscribe(back, durable).take())[1], 'while away');
    await gone(back);
  });

  it('streams bodies of any size', async () => {
    const client = await connect();
    const inbox = subscribe(client, { destination: '/topic/large', ack: 'auto' });
    const body = '0123456789abcdef'.repeat(65_536);
    // Without content-length the body ends at NUL.
    await sent(client, { destination: '/topic/large' }, body);
    await sent(client, { destination: '/topic/large', 'content-length': body.length }, body);
    for (const [, received] of await inbox.takeAll(2)) assert.equal(received, body);
    await gone(client);
  });

  it('is told why it may not come in', async () => {
    await assert.rejects(connect({ ...LOGIN, passcode: 'wrong' }), /Bad CONNECT/);
    await assert.rejects(connect({ ...LOGIN, host: 'nowhere' }), /Bad CONNECT/);
  });

  it('is told why it was thrown out, and nobody else is', async () => {
    const other = await connect();
    const client = await connect();
    const failed = once(client, 'error');
    client.send({ destination: '/nowhere/q' }).end('x');
    assert.match(String((await failed)[0]), /Unknown destination/);
    await sent(other, { destination: '/topic/nobody' }, 'x');
    await gone(other);
  });
});

describe('stompjs over WebSocket', () => {
  async function connect(config: Partial<StompConfig> = {}): Promise<StompJs> {
    const client = new StompJs({
      brokerURL: `ws://127.0.0.1:${broker.ports.ws}/stomp`,
      connectHeaders: { login: 'guest', passcode: 'guest' },
      reconnectDelay: 0,
      ...config,
    });
    await new Promise<void>((resolve, reject) => {
      client.onConnect = () => resolve();
      client.onStompError = (frame) => reject(new Error(`${frame.headers.message}: ${frame.body}`));
      client.onWebSocketError = () => reject(new Error('no WebSocket'));
      client.activate();
    });
    return client;
  }

  const receipt = (client: StompJs, id: string): Promise<IFrame> =>
    new Promise((resolve) => client.watchForReceipt(id, resolve));

  it('agrees on version 1.2 and the subprotocol', async () => {
    const client = await connect();
    assert.equal(client.connectedVersion, '1.2');
    assert.equal((client.webSocket as unknown as globalThis.WebSocket).protocol, 'v12.stomp');
    await client.deactivate();
  });

  it('speaks 1.1 and 1.0 to clients that know no more', async () => {
    for (const version of ['1.0', '1.1']) {
      const { Versions } = await import('@stomp/stompjs');
      const client = await connect({ stompVersions: new Versions([version]) });
      const inbox = new Inbox<IMessage>();
      client.subscribe('/topic/old', inbox.put, { ack: 'client' });
      client.publish({ destination: '/topic/old', body: 'x', headers: { 'x-own': 'a' } });
      const message = await inbox.take();
      assert.deepEqual([message.body, message.headers['x-own']], ['x', 'a']);
      message.ack();
      await client.deactivate();
    }
  });

  for (const forceBinaryWSFrames of [false, true]) {
    it(`sends and receives text and binary bodies in ${forceBinaryWSFrames ? 'binary' : 'text'} messages`, async () => {
      const client = await connect({ forceBinaryWSFrames });
      const inbox = new Inbox<IMessage>();
      client.subscribe('/topic/bodies', inbox.put);
      const octets = new Uint8Array([0, 255, 254, 10, 0, 195]);
      client.publish({ destination: '/topic/bodies', body: 'héllo €\0end', headers: { 'x-own': 'ü:\n\r\\' } });
      client.publish({ destination: '/topic/bodies', binaryBody: octets });
      client.publish({ destination: '/topic/bodies', body: 'x'.repeat(300_000) });
      const [text, binary, large] = (await inbox.takeAll(3)) as [IMessage, IMessage, IMessage];
      assert.equal(text.body, 'héllo €\0end');
      assert.equal(text.headers['x-own'], 'ü:\n\r\\');
      assert.deepEqual([...binary.binaryBody], [...octets]);
      assert.equal(large.body.length, 300_000);
      await client.deactivate();
    });
  }

  it('acknowledges, refuses, commits and gets its receipts', async () => {
    const client = await connect();
    const inbox = new Inbox<IMessage>();
    client.subscribe('/queue/stompjs', inbox.put, { ack: 'client-individual', id: 'mine', 'prefetch-count': '1' });
    const received = receipt(client, 'r:1');
    client.publish({ destination: '/queue/stompjs', body: '1', headers: { receipt: 'r:1', persistent: 'true' } });
    await received;
    const first = await inbox.take();
    first.nack();
    const again = await inbox.take();
    assert.equal(again.headers.redelivered, 'true');
    const transaction = client.begin();
    client.publish({ destination: '/queue/stompjs', body: '2', headers: { transaction: transaction.id } });
    again.ack({ transaction: transaction.id });
    transaction.commit();
    const second = await inbox.take();
    assert.equal(second.body, '2');
    second.ack();
    await client.deactivate();
  });

  it('beats and hears heart-beats', async () => {
    const client = await connect({ heartbeatIncoming: 1000, heartbeatOutgoing: 1000 });
    const beat = new Promise<void>((resolve) => {
      (client.webSocket as unknown as globalThis.WebSocket).addEventListener('message', (event) => {
        if (event.data === '\n') resolve();
      });
    });
    await beat;
    assert.ok(client.connected);
    await client.deactivate();
  });

  it('is told why it was thrown out', async () => {
    const client = await connect();
    const failed = new Promise<IFrame>((resolve) => {
      client.onStompError = resolve;
    });
    client.subscribe('/amq/queue/none', () => {});
    const error = await failed;
    assert.equal(error.headers.message, 'not_found');
    assert.match(error.body, /none/);
    await client.deactivate();
  });
});

describe('a WebSocket upgrade with credentials', () => {
  async function outcome(config: PartialConfig, headers: Record<string, string>): Promise<string> {
    const own = await createBroker({ stomp: { anonymous: 'off' }, ...config, http: { port: false } });
    try {
      const url = `ws://127.0.0.1:${own.ports.ws}/stomp`;
      const client = new StompJs({
        webSocketFactory: () => new WebSocket(url, ['v12.stomp'], { headers }),
        reconnectDelay: 0,
      });
      const said = await new Promise<IFrame>((resolve) => {
        client.onConnect = resolve;
        client.onStompError = resolve;
        client.activate();
      });
      await client.deactivate();
      return said.command === 'CONNECTED' ? said.command : `${said.headers.message}: ${said.body.trim()}`;
    } finally {
      await own.stop();
    }
  }

  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const missing = "Bad CONNECT: 'login' and 'passcode' are required";

  it('logs in by HTTP Basic where that is configured', async () => {
    const headers = { authorization: `Basic ${base64('guest:guest')}` };
    assert.equal(await outcome({}, headers), missing);
    assert.equal(await outcome({ ws: { basicAuth: true } }, headers), 'CONNECTED');
    assert.equal(await outcome({ ws: { basicAuth: true } }, {}), missing);
    const wrong = { authorization: `Basic ${base64('guest:wrong')}` };
    assert.equal(
      await outcome({ ws: { basicAuth: true } }, wrong),
      "Bad CONNECT: access to vhost '/' refused for user 'guest'",
    );
  });

  it('logs in by a cookie where that is configured', async () => {
    const headers = { cookie: `other=1; session=${base64('guest:guest')}` };
    assert.equal(await outcome({}, headers), missing);
    assert.equal(await outcome({ ws: { authCookie: 'session' } }, headers), 'CONNECTED');
  });

  it('is not needed where strangers are let in', async () => {
    assert.equal(await outcome({}, {}), missing);
    assert.equal(await outcome({ stomp: {} }, {}), 'CONNECTED');
  });
});

describe('stomp.py', () => {
  const python = '/usr/bin/python3';
  const missing = spawnSync(python, ['-c', 'import stomp']).status !== 0;
  const script = fileURLToPath(new URL('./stomp-round.py', import.meta.url));

  for (const version of ['1.0', '1.1', '1.2']) {
    it(`does its usual work in ${version}`, async (test) => {
      if (missing) {
        test.diagnostic('not run: python3-stomp is not installed');
        return;
      }
      const child = spawn(python, [script, String(broker.ports.stomp), version], { stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk));
      child.stderr.on('data', (chunk: Buffer) => (output += chunk));
      const [code] = (await once(child, 'close')) as [number];
      assert.equal(code, 0, output);
      assert.match(output, /passed/);
    });
  }
});
