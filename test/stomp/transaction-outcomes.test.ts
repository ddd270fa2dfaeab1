// A STOMP transaction takes effect as a whole or not at all (STOMP 1.2, BEGIN, COMMIT, ABORT): what a SEND refuses ends
// the connection at the SEND, and a COMMIT that fails leaves no message and no acknowledgement behind.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { frame } from './frames.ts';
import { type Client, Harness } from './harness.ts';

const BEGIN = frame('BEGIN', ['transaction:t']);
const COMMIT = frame('COMMIT', ['transaction:t', 'receipt:c']);

function send(destination: string, body: string, ...lines: string[]): Buffer {
  return frame('SEND', [`destination:${destination}`, ...lines], body);
}

function transacted(destination: string, body: string, ...lines: string[]): Buffer {
  return send(destination, body, 'transaction:t', ...lines);
}

async function ready(harness: Harness, queue: string): Promise<number> {
  return (await (await harness.session()).checkQueue(queue)).messageCount;
}

/** A client that holds one unacknowledged message of `/queue/in`; returns the value for its ACK. */
async function consuming(harness: Harness, mode = 'client-individual'): Promise<[Client, string]> {
  const client = await harness.connect();
  const [message] = await client.exchange(
    frame('SUBSCRIBE', ['id:in', 'destination:/queue/in', `ack:${mode}`]),
    send('/queue/in', 'work', 'persistent:true'),
  );
  return [client, message!.headers.ack!];
}

describe('a STOMP transaction', () => {
  it('ends with an ERROR at the SEND to an exchange that does not exist, and leaves nothing', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const frames = await client.exchange(
      BEGIN,
      transacted('/queue/a', '1'),
      transacted('/exchange/nope/x', '2', 'receipt:s'),
      COMMIT,
    );
    assert.deepEqual(
      frames.map(({ command, headers }) => [command, headers['receipt-id']]),
      [['ERROR', 's']],
    );
    assert.ok(client.closed);
    assert.equal(await ready(harness, 'a'), 0);
  });

  it('ends with an ERROR at the ACK of a message that was never delivered', async () => {
    const harness = new Harness();
    const [client, ack] = await consuming(harness);
    const unknown = ack.replace(/\d+$/, (number) => `${Number(number) + 1}`);
    const frames = await client.exchange(
      BEGIN,
      transacted('/queue/a', '1'),
      frame('ACK', [`id:${unknown}`, 'transaction:t', 'receipt:k']),
      COMMIT,
    );
    assert.deepEqual(
      frames.map(({ command, headers }) => [command, headers['receipt-id']]),
      [['ERROR', 'k']],
    );
    assert.equal(await ready(harness, 'a'), 0);
    assert.equal(await ready(harness, 'in'), 1);
  });

  it('of which a queue refuses the second message leaves neither the first one nor the acknowledgement', async () => {
    const harness = new Harness();
    const [client, ack] = await consuming(harness);
    const limits = ['x-max-length:1', 'x-overflow:reject-publish'];
    const frames = await client.exchange(
      BEGIN,
      transacted('/queue/a', '1'),
      transacted('/queue/full', '2', ...limits),
      transacted('/queue/full', '3', ...limits),
      frame('ACK', [`id:${ack}`, 'transaction:t']),
      COMMIT,
    );
    assert.deepEqual(
      frames.map(({ command, headers }) => [command, headers['receipt-id']]),
      [['ERROR', 'c']],
    );
    assert.match(frames[0]!.body.toString(), /nothing of transaction 't' was done: queue 'full' is full/);
    assert.deepEqual([await ready(harness, 'a'), await ready(harness, 'full'), await ready(harness, 'in')], [0, 0, 1]);
  });

  for (const persistent of [true, false]) {
    it(`leaves nothing on a full disk: ${persistent ? 'a persistent' : 'a transient'} message is not acknowledged`, async () => {
      const harness = new Harness();
      const client = await harness.connect();
      const [message] = await client.exchange(
        frame('SUBSCRIBE', ['id:in', 'destination:/topic/in', 'ack:client-individual']),
        send('/topic/in', 'work', `persistent:${persistent}`),
      );
      await client.exchange(
        BEGIN,
        transacted('/queue/a', '1', 'persistent:true'),
        frame('ACK', [`id:${message!.headers.ack}`, 'transaction:t']),
      );
      harness.store.hold();
      await client.exchange(COMMIT);
      const queue = [...harness.hosts.get('/')!.queues.values()].find(({ name }) => name.startsWith('stomp-'))!;
      assert.equal(queue.unackedCount, 1);
      harness.store.fail();
      await harness.settle();
      const frames = client.take();
      assert.deepEqual(
        frames.map(({ command, headers }) => [command, headers['receipt-id']]),
        [['ERROR', 'c']],
      );
      harness.store.release();
      assert.equal(await ready(harness, 'a'), 0);
    });
  }

  it('declares a queue again that was deleted between SEND and COMMIT', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(BEGIN, transacted('/queue/a', '1'));
    await (await harness.session()).deleteQueue('a', { ifUnused: false, ifEmpty: false });
    const frames = await client.exchange(COMMIT);
    assert.deepEqual(
      frames.map(({ command }) => command),
      ['RECEIPT'],
    );
    assert.equal(await ready(harness, 'a'), 1);
  });

  it('whose queue cannot be declared again leaves nothing', async () => {
    let refused = false;
    const harness = new Harness({
      allows: (permission, resource) => !(refused && permission === 'configure' && resource === 'a'),
    });
    const client = await harness.connect();
    await client.exchange(BEGIN, transacted('/queue/b', '1'), transacted('/queue/a', '2'));
    await (await harness.session()).deleteQueue('a', { ifUnused: false, ifEmpty: false });
    refused = true;
    harness.generation++;
    const frames = await client.exchange(COMMIT);
    assert.deepEqual(
      frames.map(({ command, headers }) => [command, headers['receipt-id']]),
      [['ERROR', 'c']],
    );
    assert.equal(await ready(harness, 'b'), 0);
  });

  it('acknowledges cumulatively, or gives back, at COMMIT only', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    const frames = await client.exchange(
      frame('SUBSCRIBE', ['id:in', 'destination:/queue/in', 'ack:client']),
      ...['1', '2', '3'].map((body) => send('/queue/in', body)),
    );
    const queue = harness.hosts.get('/')!.queues.get('in')!;
    await client.exchange(BEGIN, frame('ACK', [`id:${frames[1]!.headers.ack}`, 'transaction:t']));
    assert.equal(queue.unackedCount, 3);
    await client.exchange(COMMIT);
    assert.equal(queue.unackedCount, 1);
    const again = await client.exchange(
      BEGIN,
      frame('NACK', [`id:${frames[2]!.headers.ack}`, 'transaction:t', 'requeue:true']),
      COMMIT,
    );
    assert.deepEqual(
      again.map(({ command, body }) => [command, body.toString()]).sort(),
      [
        ['MESSAGE', '3'],
        ['RECEIPT', ''],
      ].sort(([a], [b]) => (a! < b! ? -1 : 1)),
    );
  });

  it('reaches subscribers only after COMMIT', async () => {
    const harness = new Harness();
    const requester = await harness.connect();
    await requester.exchange(frame('SUBSCRIBE', ['id:r', 'destination:/topic/answers']));
    const client = await harness.connect();
    assert.deepEqual(await client.exchange(BEGIN, transacted('/topic/answers', 'yes')), []);
    assert.deepEqual(await requester.exchange(), []);
    await client.exchange(COMMIT);
    assert.deepEqual(
      (await requester.exchange()).map(({ body }) => body.toString()),
      ['yes'],
    );
  });

  it('frees what it held when it is aborted: limits count open transactions only', async () => {
    const harness = new Harness({ settings: { maxTransactionOperations: 2 } });
    const client = await harness.connect();
    for (let round = 0; round < 3; round++) {
      const frames = await client.exchange(
        BEGIN,
        transacted('/queue/a', '1'),
        transacted('/queue/a', '2'),
        frame('ABORT', ['transaction:t', 'receipt:a']),
      );
      assert.deepEqual(
        frames.map(({ command }) => command),
        ['RECEIPT'],
      );
    }
    const [error] = await client.exchange(BEGIN, ...['1', '2', '3'].map((body) => transacted('/queue/a', body)));
    assert.match(error!.body.toString(), /maxTransactionOperations/);
  });
});
