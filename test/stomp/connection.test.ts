// A STOMP connection: login, receipts, errors, heart-beats, and what happens to its messages when it closes.

import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { describe, it } from 'node:test';
import { TURN_INPUT_BYTES } from '../../src/core/turn/turn.ts';
import { frame } from './frames.ts';
import { type Client, Harness } from './harness.ts';

const LOGIN = ['login:guest', 'passcode:guest'];

async function refused(client: Client, summary: RegExp, ...frames: Buffer[]): Promise<Record<string, string>> {
  const answers = await client.exchange(...frames);
  const error = answers.at(-1)!;
  assert.equal(error.command, 'ERROR');
  assert.match(`${error.headers.message}: ${error.body}`, summary);
  assert.ok(client.closed, 'an ERROR is followed by the end of the connection');
  return error.headers;
}

describe('STOMP login', () => {
  it('answers CONNECT and STOMP with CONNECTED', async () => {
    const harness = new Harness();
    for (const command of ['CONNECT', 'STOMP']) {
      const client = harness.open();
      const [connected] = await client.exchange(frame(command, [...LOGIN, 'accept-version:1.0,1.1,1.2', 'host:/']));
      assert.equal(connected!.command, 'CONNECTED');
      assert.equal(connected!.headers.version, '1.2');
      assert.equal(connected!.headers['heart-beat'], '1000,1000');
      assert.match(connected!.headers.server!, /^RabbitMQ\/3\.13\./);
      assert.equal(connected!.headers.broker, 'Trivium test');
      assert.match(connected!.headers.session!, /^[a-z0-9]+\.[a-z0-9]+$/);
    }
  });

  for (const [accept, version] of [
    [null, '1.0'],
    ['1.1', '1.1'],
    ['1.0,1.1', '1.1'],
    ['1.2,9.9', '1.2'],
  ]) {
    it(`negotiates ${version} with accept-version ${accept}`, async () => {
      const client = new Harness().open();
      const lines = accept === null ? LOGIN : [...LOGIN, `accept-version:${accept}`];
      assert.equal((await client.exchange(frame('CONNECT', lines)))[0]!.headers.version, version);
    });
  }

  it('names its versions where none fits', async () => {
    const client = new Harness().open();
    const headers = await refused(client, /Version mismatch/, frame('CONNECT', [...LOGIN, 'accept-version:2.0']));
    assert.equal(headers.version, '1.0,1.1,1.2');
  });

  it('trims all headers of 1.0 before anything compares them', async () => {
    const harness = new Harness();
    const client = harness.open();
    const [connected] = await client.exchange(frame('CONNECT', ['login: guest', ' passcode : guest ']));
    assert.equal(connected!.headers.version, '1.0');
    const [receipt] = await client.exchange(frame('SEND', ['destination: /queue/a', ' receipt:\tr ', 'k: v'], 'x'));
    assert.equal(receipt!.headers['receipt-id'], 'r');
    const [message] = await client.exchange(frame('SUBSCRIBE', ['destination:/queue/a ']));
    assert.equal(message!.headers.k, 'v');
    await refused(client, /user-id/, frame('SEND', ['destination:/queue/a', ' user-id:somebody'], 'x'));
  });

  it('takes the destination for the id that a SUBSCRIBE does not have, in every version', async () => {
    for (const version of ['1.0', '1.1', '1.2']) {
      const client = new Harness().open();
      await client.exchange(frame('CONNECT', [...LOGIN, `accept-version:${version}`]));
      await client.exchange(frame('SUBSCRIBE', ['destination:/queue/a']));
      const [message] = await client.exchange(frame('SEND', ['destination:/queue/a'], 'x'));
      assert.equal(message!.command, 'MESSAGE');
      assert.equal('subscription' in message!.headers, false);
      await client.exchange(frame('UNSUBSCRIBE', ['destination:/queue/a']));
      assert.deepEqual(await client.exchange(frame('SEND', ['destination:/queue/a'], 'y')), []);
    }
  });

  it('answers an UNSUBSCRIBE of no subscription with its receipt, and goes on', async () => {
    const client = new Harness().open();
    await client.exchange(frame('CONNECT', [...LOGIN, 'accept-version:1.2']));
    const [receipt] = await client.exchange(frame('UNSUBSCRIBE', ['id:twice', 'receipt:r']));
    assert.equal(receipt!.headers['receipt-id'], 'r');
    assert.equal(client.closed, false);
  });

  it('takes NULs and EOLs between frames for nothing', async () => {
    const client = new Harness().open();
    const [connected] = await client.exchange(
      frame('CONNECT', [...LOGIN, 'accept-version:1.2']),
      Buffer.from('\0\n\0'),
    );
    assert.equal(connected!.command, 'CONNECTED');
    const [receipt] = await client.exchange(
      frame('SEND', ['destination:/queue/a', 'receipt:r'], 'x'),
      Buffer.from('\0'),
    );
    assert.equal(receipt!.headers['receipt-id'], 'r');
    assert.equal(client.closed, false);
  });

  it('trims nothing in 1.1 and 1.2', async () => {
    for (const version of ['1.1', '1.2']) {
      const client = new Harness().open();
      await client.exchange(frame('CONNECT', [...LOGIN, `accept-version:${version}`]));
      const [receipt] = await client.exchange(frame('SEND', ['destination:/topic/a', 'receipt: r '], 'x'));
      assert.equal(receipt!.headers['receipt-id'], ' r ');
    }
  });

  it('refuses a SEND before CONNECT without waiting for its body', async () => {
    const client = new Harness().open();
    await refused(client, /Not connected/, Buffer.from('SEND\ndestination:/queue/x\ncontent-length:1000000\n\nabc'));
  });

  it('bounds the headers before CONNECT, and those of CONNECT', async () => {
    const long = Buffer.from(`CONNECT\nlogin:guest\npasscode:${'x'.repeat(16 * 1024)}`);
    await refused(new Harness().open(), /Limit exceeded: stomp\.maxHeaderBytes is 16384/, long);
    const client = new Harness().open();
    const token = `passcode:${'x'.repeat(15_000)}`;
    await refused(client, /refused for user 'guest'/, frame('CONNECT', ['login:guest', token]));
  });

  it('refuses a wrong password, no password, an unknown vhost', async () => {
    const harness = new Harness();
    await refused(
      harness.open(),
      /access to vhost '\/' refused for user 'guest'/,
      frame('CONNECT', ['login:guest', 'passcode:no']),
    );
    await refused(harness.open(), /'login' and 'passcode'/, frame('CONNECT', ['accept-version:1.2']));
    await refused(harness.open(), /not_found: no vhost 'nowhere'/, frame('CONNECT', [...LOGIN, 'host:nowhere']));
  });

  it('lets a client without login in as the anonymous user where there is one, and nobody else', async () => {
    const harness = new Harness({ settings: { anonymous: { user: 'visitor', loopbackOnly: true } } });
    for (const lines of [[], ['login:', 'passcode:']]) {
      const [connected] = await harness.open().exchange(frame('CONNECT', ['accept-version:1.2', ...lines]));
      assert.equal(connected!.command, 'CONNECTED');
    }
    assert.ok([...harness.connections].every((connection) => connection.info().user === 'visitor'));
    await refused(harness.open(), /'login' and 'passcode'/, frame('CONNECT', ['login:guest']));
    await refused(harness.open(), /'login' and 'passcode'/, frame('CONNECT', ['passcode:guest']));
    await refused(
      harness.open(),
      /access to vhost '\/' refused for user 'guest'/,
      frame('CONNECT', ['login:guest', 'passcode:no']),
    );
  });

  it('takes the credentials of the upgrade in place of those of CONNECT', async () => {
    const harness = new Harness();
    for (const lines of [[], ['login:other', 'passcode:wrong']]) {
      const client = harness.open(undefined, { user: 'page', password: 'guest' });
      assert.equal((await client.exchange(frame('CONNECT', lines)))[0]!.command, 'CONNECTED');
    }
    assert.ok([...harness.connections].every((connection) => connection.info().user === 'page'));
    const stranger = harness.open(undefined, { user: 'page', password: 'wrong' });
    await refused(stranger, /access to vhost '\/' refused for user 'page'/, frame('CONNECT', LOGIN));
  });

  it('takes its own name in host, as the specification recommends it, for the default vhost', async () => {
    const harness = new Harness();
    for (const host of ['localhost', '127.0.0.1', hostname(), '/', '']) {
      const [connected] = await harness.open().exchange(frame('CONNECT', [...LOGIN, `host:${host}`]));
      assert.equal(connected!.command, 'CONNECTED', host);
    }
    assert.ok([...harness.connections].every((connection) => connection.info().vhost === '/'));
  });

  it('wants CONNECT first and once', async () => {
    const harness = new Harness();
    await refused(harness.open(), /Not connected/, frame('SUBSCRIBE', ['id:0', 'destination:/queue/q']));
    await refused(harness.open(), /Not connected/, frame('SEND', ['destination:/queue/q'], 'x'));
    await refused(await harness.connect(), /Already connected/, frame('CONNECT', LOGIN));
  });

  it('does not unescape CONNECT', async () => {
    const harness = new Harness();
    const client = harness.open();
    const [connected] = await client.exchange(
      frame('CONNECT', ['login:a\\cb', 'passcode:guest', 'accept-version:1.2']),
    );
    assert.equal(connected!.command, 'CONNECTED');
    assert.equal([...harness.connections][0]!.info().user, 'a\\cb');
  });

  it('closes whoever does not log in in time', async () => {
    const harness = new Harness();
    const client = harness.open();
    harness.tick(20);
    assert.equal(client.closed, false);
    harness.tick(2);
    await harness.settle();
    assert.match(client.take()[0]!.headers.message!, /Login timeout/);
    assert.ok(client.closed);
    assert.equal(harness.ticker.size, 0);
  });
});

describe('STOMP receipts', () => {
  it('come for every frame that asks, in order', async () => {
    const client = await new Harness().connect();
    const answers = await client.exchange(
      frame('SUBSCRIBE', ['id:0', 'destination:/topic/t', 'receipt:1']),
      frame('SEND', ['destination:/topic/other', 'receipt:2'], 'x'),
      frame('BEGIN', ['transaction:t', 'receipt:3']),
      frame('ABORT', ['transaction:t', 'receipt:4']),
      frame('UNSUBSCRIBE', ['id:0', 'receipt:5']),
      frame('SEND', ['destination:/topic/other', 'receipt:6\\c7'], 'x'),
      frame('DISCONNECT', ['receipt:bye']),
    );
    assert.deepEqual(
      answers.map(({ command, headers }) => [command, headers['receipt-id']]),
      ['1', '2', '3', '4', '5', '6:7', 'bye'].map((id) => ['RECEIPT', id]),
    );
    assert.ok(client.closed);
  });

  it('for a SEND into a durable queue leave after the commit, and nothing overtakes them', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(frame('SEND', ['destination:/queue/q'], 'declares it'));
    harness.store.hold();
    const held = await client.exchange(
      frame('SEND', ['destination:/queue/q', 'persistent:true', 'receipt:1'], 'x'),
      frame('SEND', ['destination:/queue/q', 'receipt:2'], 'transient'),
      frame('SEND', ['destination:/topic/nobody', 'receipt:3'], 'x'),
      frame('BEGIN', ['transaction:t', 'receipt:4']),
      frame('DISCONNECT', ['receipt:5']),
    );
    assert.deepEqual(held, []);
    assert.equal(client.closed, false);
    harness.store.release();
    await harness.settle();
    assert.deepEqual(
      client.take().map(({ headers }) => headers['receipt-id']),
      ['1', '2', '3', '4', '5'],
    );
    assert.ok(client.closed);
  });

  it('do not come for a declaration that is not durable yet', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    harness.store.hold();
    assert.deepEqual(await client.exchange(frame('SEND', ['destination:/queue/q', 'receipt:1'], 'x')), []);
    harness.store.release();
    await harness.settle();
    assert.equal(client.take()[0]!.headers['receipt-id'], '1');
  });

  it('turn into an ERROR that names the receipt where the commit fails', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(frame('SEND', ['destination:/queue/q'], 'declares it'));
    harness.store.hold();
    await client.exchange(frame('SEND', ['destination:/queue/q', 'persistent:true', 'receipt:1'], 'x'));
    harness.store.fail();
    await harness.settle();
    const [error] = client.take();
    assert.deepEqual([error!.command, error!.headers['receipt-id']], ['ERROR', '1']);
    assert.ok(client.closed);
  });
});

describe('STOMP errors', () => {
  it('name the receipt of the frame that failed, carry a body and end only that connection', async () => {
    const harness = new Harness();
    const other = await harness.connect();
    const client = await harness.connect();
    const headers = await refused(
      client,
      /Unknown destination: '\/nowhere\/x' is not a valid destination/,
      frame('SEND', ['destination:/nowhere/x', 'receipt:r\\c1'], 'x'),
      frame('SEND', ['destination:/queue/ignored', 'receipt:2'], 'x'),
    );
    assert.equal(headers['receipt-id'], 'r:1');
    assert.equal(headers['content-type'], 'text/plain;charset=utf-8');
    assert.equal((await other.exchange(frame('BEGIN', ['transaction:1', 'receipt:1'])))[0]!.command, 'RECEIPT');
    assert.equal(harness.connections.size, 1);
  });

  const table: readonly (readonly [string, RegExp, Buffer[]])[] = [
    ['unknown command', /Unknown command/, [frame('PUBLISH')]],
    ['no destination in SEND', /Missing header.*destination/, [frame('SEND', [], 'x')]],
    ['no destination in SUBSCRIBE', /Missing header.*destination/, [frame('SUBSCRIBE', ['id:1'])]],
    ['bad ack mode', /'ack' must be/, [frame('SUBSCRIBE', ['id:1', 'destination:/queue/q', 'ack:maybe'])]],
    ['bad prefetch', /prefetch-count/, [frame('SUBSCRIBE', ['id:1', 'destination:/queue/q', 'prefetch-count:x'])]],
    ['temp-queue in SUBSCRIBE', /reply-to/, [frame('SUBSCRIBE', ['id:1', 'destination:/temp-queue/q'])]],
    ['temp-queue in SEND', /reply-to/, [frame('SEND', ['destination:/temp-queue/q'], 'x')]],
    ['missing queue', /not_found/, [frame('SUBSCRIBE', ['id:1', 'destination:/amq/queue/none'])]],
    ['missing exchange', /not_found/, [frame('SEND', ['destination:/exchange/none/k'], 'x')]],
    ['missing exchange in SUBSCRIBE', /not_found/, [frame('SUBSCRIBE', ['id:1', 'destination:/exchange/none'])]],
    ['ACK without id', /ACK needs the 'id'/, [frame('ACK', ['message-id:1'])]],
    ['ACK of nothing', /no message of this session/, [frame('ACK', ['id:1'])]],
    ['unknown transaction', /not open|no transaction/, [frame('COMMIT', ['transaction:t'])]],
    ['no transaction header', /'transaction'/, [frame('BEGIN')]],
    ['transaction twice', /open already/, [frame('BEGIN', ['transaction:t']), frame('BEGIN', ['transaction:t'])]],
    ["another's user-id", /user-id 'root'/, [frame('SEND', ['destination:/queue/q', 'user-id:root'], 'x')]],
    [
      'undefined escape in a header that nobody reads',
      /undefined escape/,
      [frame('BEGIN', ['transaction:t', 'x:\\t'])],
    ],
    ['undefined escape', /undefined escape/, [frame('SEND', ['destination:/queue/q', 'x:\\t'], 'x')]],
    [
      'duplicate subscription',
      /Duplicate subscription/,
      [frame('SUBSCRIBE', ['id:1', 'destination:/topic/a']), frame('SUBSCRIBE', ['id:1', 'destination:/topic/b'])],
    ],
  ];
  for (const [name, expected, frames] of table) {
    it(`for: ${name}`, async () => {
      await refused(await new Harness().connect(), expected, ...frames);
    });
  }

  it('do not answer to a receipt that is no header value', async () => {
    const learned = frame('SEND', ['destination:/topic/t', 'receipt:1'], 'x');
    for (const before of [[], [learned]]) {
      const client = await new Harness().connect();
      await client.exchange(...before);
      const [error] = await client.exchange(frame('SEND', ['destination:/topic/t', 'receipt:\\t'], 'x'));
      assert.deepEqual([error!.command, error!.headers['receipt-id']], ['ERROR', undefined]);
    }
  });

  it('name the permission that is missing', async () => {
    const harness = new Harness({ allows: (permission) => permission !== 'write' });
    await refused(
      await harness.connect(),
      /access_refused: write access/,
      frame('SEND', ['destination:/topic/t'], 'x'),
    );
  });

  it('name the limit that was reached', async () => {
    const harness = new Harness({
      settings: { maxSubscriptions: 1, maxTransactions: 1, maxTransactionOperations: 1, maxHeaders: 8 },
      messageBytes: 10,
    });
    const subscribe = (id: number): Buffer => frame('SUBSCRIBE', [`id:${id}`, 'destination:/topic/t']);
    const begin = (name: string): Buffer => frame('BEGIN', [`transaction:${name}`]);
    const send = (body: string): Buffer => frame('SEND', ['destination:/topic/t', 'transaction:a'], body);
    await refused(await harness.connect(), /maxSubscriptions is 1/, subscribe(1), subscribe(2));
    await refused(await harness.connect(), /maxTransactions is 1/, begin('a'), begin('b'));
    await refused(await harness.connect(), /maxTransactionOperations is 1/, begin('a'), send('x'), send('y'));
    await refused(await harness.connect(), /limits\.messageBytes is 10/, send('x'.repeat(11)));
    const bytes = new Harness({ settings: { maxTransactionBytes: 5, maxHeaderBytes: 1024 } });
    await refused(await bytes.connect(), /maxTransactionBytes is 5/, begin('a'), send('abc'), send('def'));
    await refused(await bytes.connect(), /maxHeaderBytes is 1024/, begin('a'.repeat(1024)));
    await refused(await harness.connect(), /maxHeaders is 8/, frame('BEGIN', new Array(9).fill('a:b')));
  });

  it('say that the broker is stopping', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    for (const connection of harness.connections) connection.shutdown('broker is stopping');
    await harness.settle();
    const [error] = client.take();
    assert.deepEqual([error!.command, error!.body.toString()], ['ERROR', 'broker is stopping\n']);
    assert.ok(client.closed);
  });
});

describe('STOMP heart-beats', () => {
  it('leave in time when the client wants them, and not when anything else left', async () => {
    const harness = new Harness();
    const client = await harness.connect(['heart-beat:0,2000']);
    client.takeRaw();
    const beats: number[] = [];
    for (let tick = 1; tick <= 12; tick++) {
      harness.tick(1);
      await harness.settle();
      for (const { bytes } of client.takeRaw()) {
        assert.equal(bytes.toString(), '\n');
        beats.push(tick);
      }
    }
    assert.ok(beats.length >= 3, `beats at ticks ${beats}`);
    for (let i = 1; i < beats.length; i++) assert.ok(beats[i]! - beats[i - 1]! <= 4, `beats at ticks ${beats}`);
  });

  it('are not sent to a client that does not want them', async () => {
    const harness = new Harness();
    const client = await harness.connect(['heart-beat:0,0']);
    harness.tick(1000);
    await harness.settle();
    assert.deepEqual(client.takeRaw(), []);
    assert.equal(harness.ticker.size, 0);
  });

  it('are expected of a client that offers them, with tolerance', async () => {
    const harness = new Harness();
    const client = await harness.connect(['heart-beat:1000,0']);
    for (let i = 0; i < 20; i++) {
      harness.tick(3);
      client.send(Buffer.from('\n'));
    }
    assert.equal(client.closed, false);
    harness.tick(4);
    assert.equal(client.closed, false, 'within twice the interval');
    harness.tick(4);
    await harness.settle();
    assert.match(client.take()[0]!.headers.message!, /Heart-beat timeout/);
    assert.ok(client.closed);
  });

  it('are not missed while the broker itself does not read', async () => {
    const harness = new Harness();
    const client = await harness.connect(['heart-beat:1000,0']);
    await client.exchange(frame('SEND', ['destination:/topic/t'], 'x'));
    harness.connections.hold({ reason: 'memory', alarm: true, disk: false });
    harness.tick(100);
    assert.equal(client.closed, false);
    harness.connections.hold(null);
    harness.tick(4);
    assert.equal(client.closed, false);
  });
});

describe('STOMP publishers that are held', () => {
  it('wait, and go on where they were', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const consumer = await harness.connect();
    await consumer.exchange(frame('SUBSCRIBE', ['id:0', 'destination:/topic/t']));
    await client.exchange(frame('SEND', ['destination:/topic/t'], '1'));
    harness.connections.hold({ reason: 'memory', alarm: true, disk: false });
    await client.exchange(frame('SEND', ['destination:/topic/t'], '2'), frame('SEND', ['destination:/topic/t'], '3'));
    assert.deepEqual(
      consumer.take().map(({ body }) => body.toString()),
      ['1'],
    );
    harness.connections.hold(null);
    await harness.settle();
    assert.deepEqual(
      consumer.take().map(({ body }) => body.toString()),
      ['2', '3'],
    );
  });

  it("go on for a turn's share of what waits, when all were released and are held again", async () => {
    const harness = new Harness();
    const again = { reason: 'flow', alarm: false, disk: false };
    const share = 'x'.repeat(TURN_INPUT_BYTES / 2);
    harness.connections.hold(again);
    for (let i = 0; i < 5; i++) (await harness.connect()).send(frame('SEND', ['destination:/topic/t'], share));
    await harness.settle();
    assert.equal(harness.meters.published, 0);
    harness.turn.atEnd(() => harness.connections.hold(again));
    for (const published of [2, 4, 5]) {
      harness.connections.hold(null);
      await harness.settle();
      assert.equal(harness.meters.published, published);
    }
  });
});

describe('a STOMP connection that ends', () => {
  it('leaves nothing behind, also in the middle of a declaration', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    harness.store.hold();
    client.send(frame('SUBSCRIBE', ['id:0', 'destination:/queue/q']));
    await harness.settle();
    client.drop();
    await harness.settle();
    harness.store.release();
    await harness.settle();
    assert.equal(harness.connections.size, 0);
    assert.equal(harness.ticker.size, 0);
    const session = await harness.session();
    assert.equal((await session.checkQueue('q')).consumerCount, 0);
  });
});
