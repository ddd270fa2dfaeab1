// A STOMP transaction is done as a whole or not at all: a COMMIT that fails leaves no message in any queue and no message
// acknowledged, and so do ABORT, an ERROR and a lost connection. Its receipt says that all of it is durable.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EMPTY_TABLE, type FieldTable } from '../../src/core/message/field-table.ts';
import { frame, type ReadFrame } from './frames.ts';
import { type Client, Harness } from './harness.ts';

const IN_T = 'transaction:t';
const begin = (): Buffer => frame('BEGIN', [IN_T]);
const commit = (): Buffer => frame('COMMIT', [IN_T, 'receipt:c']);
const send = (destination: string, body: string, ...headers: string[]): Buffer =>
  frame('SEND', [`destination:${destination}`, 'persistent:true', ...headers], body);
const subscribe = (queue: string, mode = 'client-individual'): Buffer =>
  frame('SUBSCRIBE', [`id:${queue}`, `destination:/queue/${queue}`, `ack:${mode}`]);
const ackOf = (message: ReadFrame): string => `id:${message.headers.ack}`;

/** A queue that refuses its second message. */
const ONE_ONLY: FieldTable = [
  { name: 'x-max-length', value: { type: 'l', value: 1n } },
  { name: 'x-overflow', value: { type: 'S', value: 'reject-publish' } },
];

async function ready(harness: Harness, queue: string): Promise<number> {
  return (await (await harness.session()).checkQueue(queue)).messageCount;
}

async function declare(harness: Harness, name: string, args: FieldTable = EMPTY_TABLE): Promise<void> {
  const session = await harness.session();
  await session.declareQueue({ name, durable: true, exclusive: false, autoDelete: false, args });
}

/** A client in a transaction that has acknowledged `work`, its one message of queue `in`. */
async function acknowledged(harness: Harness, mode?: string): Promise<Client> {
  await declare(harness, 'in');
  const client = await harness.connect();
  const [work] = await client.exchange(send('/queue/in', 'work'), subscribe('in', mode));
  assert.equal(work!.body.toString(), 'work');
  assert.deepEqual(await client.exchange(begin(), frame('ACK', [ackOf(work!), IN_T])), []);
  return client;
}

async function redelivered(harness: Harness): Promise<ReadFrame> {
  const other = await harness.connect();
  const [again] = await other.exchange(subscribe('in'));
  assert.deepEqual([again?.body.toString(), again?.headers.redelivered], ['work', 'true']);
  return again!;
}

function refusal(frames: readonly ReadFrame[], receipt: string): ReadFrame {
  assert.deepEqual(
    frames.map(({ command, headers }) => [command, headers['receipt-id']]),
    [['ERROR', receipt]],
  );
  return frames[0]!;
}

describe('a STOMP transaction', () => {
  it('to an exchange that does not exist is refused at the SEND, and nothing of it is done', async () => {
    const harness = new Harness();
    const client = await acknowledged(harness);
    const frames = await client.exchange(
      send('/queue/a', '1', IN_T),
      send('/exchange/nope/x', '2', IN_T, 'receipt:s'),
      commit(),
    );
    assert.match(refusal(frames, 's').headers.message!, /not_found/);
    assert.equal(await ready(harness, 'a'), 0);
    await redelivered(harness);
  });

  it('that a full queue refuses a part of leaves nothing in any queue', async () => {
    const harness = new Harness();
    await declare(harness, 'full', ONE_ONLY);
    const client = await acknowledged(harness);
    // Together they are more than the queue takes, although it is empty.
    const frames = await client.exchange(
      send('/queue/a', '1', IN_T),
      send('/queue/full', '2', IN_T),
      send('/queue/full', '3', IN_T),
      commit(),
    );
    assert.match(refusal(frames, 'c').body.toString(), /'full' is full/);
    assert.deepEqual([await ready(harness, 'a'), await ready(harness, 'full')], [0, 0]);
    await redelivered(harness);
  });

  it('without permission is refused at the SEND', async () => {
    const harness = new Harness({ allows: (permission, name) => permission !== 'write' || name !== 'amq.fanout' });
    const client = await harness.connect();
    const frames = await client.exchange(begin(), send('/exchange/amq.fanout', 'x', IN_T, 'receipt:s'), commit());
    assert.match(refusal(frames, 's').headers.message!, /access_refused/);
  });

  it('that the disk has no room for leaves nothing', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(begin(), send('/queue/a', '1', IN_T), send('/queue/b', '2', IN_T));
    harness.store.hold();
    await client.exchange(commit());
    harness.store.fail();
    await harness.settle();
    assert.match(refusal(client.take(), 'c').body.toString(), /no space/);
    harness.store.release();
    assert.deepEqual([await ready(harness, 'a'), await ready(harness, 'b')], [0, 0]);
  });

  it('is seen by nobody, and has no receipt, before it is durable', async () => {
    const harness = new Harness();
    const client = await acknowledged(harness);
    const other = await harness.connect();
    await other.exchange(subscribe('a'));
    await client.exchange(send('/queue/a', '1', IN_T));
    harness.store.hold();
    assert.deepEqual(await client.exchange(commit()), []);
    assert.deepEqual(other.take(), []);
    harness.store.release();
    await harness.settle();
    assert.deepEqual(
      client.take().map(({ headers }) => headers['receipt-id']),
      ['c'],
    );
    assert.deepEqual(
      other.take().map(({ body }) => body.toString()),
      ['1'],
    );
    client.drop();
    await harness.settle();
    assert.equal(await ready(harness, 'in'), 0);
  });

  it('is carried out though its client is lost behind the COMMIT', async () => {
    const harness = new Harness();
    const client = await acknowledged(harness);
    await client.exchange(send('/queue/a', '1', IN_T));
    harness.store.hold();
    await client.exchange(commit());
    client.drop();
    await harness.settle();
    harness.store.release();
    await harness.settle();
    assert.deepEqual([await ready(harness, 'in'), await ready(harness, 'a')], [0, 1]);
  });

  for (const [what, end] of [
    ['aborted', [frame('ABORT', [IN_T]), frame('DISCONNECT')]],
    ['left open', [frame('DISCONNECT')]],
    ['ended by an ERROR', [frame('NONSENSE')]],
  ] as const) {
    it(`that is ${what} acknowledges nothing`, async () => {
      const harness = new Harness();
      const client = await acknowledged(harness);
      await client.exchange(send('/queue/a', '1', IN_T), ...end);
      assert.ok(client.closed);
      assert.equal(await ready(harness, 'a'), 0);
      await redelivered(harness);
    });
  }

  it('gives back at ABORT what it counted against its limits', async () => {
    const harness = new Harness({ settings: { maxTransactionOperations: 2, maxTransactionBytes: 200 } });
    const client = await harness.connect();
    for (let i = 0; i < 3; i++) {
      const sends = [
        send('/topic/t', '12345678901234567890123456789012345678901234567890', IN_T),
        send('/topic/t', '12345678901234567890123456789012345678901234567890', IN_T),
      ];
      assert.deepEqual(await client.exchange(begin(), ...sends, frame('ABORT', [IN_T])), []);
    }
  });

  for (const mode of ['client', 'client-individual']) {
    it(`acknowledges what it was asked to though the subscription (${mode}) ended before COMMIT`, async () => {
      for (const [end, left] of [
        ['COMMIT', 0],
        ['ABORT', 1],
      ] as const) {
        const harness = new Harness();
        const client = await acknowledged(harness, mode);
        await client.exchange(frame('UNSUBSCRIBE', ['id:in']));
        assert.equal(await ready(harness, 'in'), 0);
        await client.exchange(frame(end, [IN_T]));
        assert.equal(await ready(harness, 'in'), left);
      }
    });
  }

  it('declares a queue again that was deleted since its SEND', async () => {
    const harness = new Harness();
    const client = await harness.connect();
    await client.exchange(begin(), send('/queue/a', '1', IN_T), send('/queue/b', '2', IN_T));
    await (await harness.session()).deleteQueue('a', { ifUnused: false, ifEmpty: false });
    client.send(commit());
    await harness.settle();
    const [receipt] = client.take();
    assert.equal(receipt!.command, 'RECEIPT');
    assert.deepEqual([await ready(harness, 'a'), await ready(harness, 'b')], [1, 1]);
  });

  it('refuses an ACK of a message that was never delivered at the ACK', async () => {
    const harness = new Harness();
    const client = await acknowledged(harness);
    const unknown = frame('ACK', ['id:nothing', IN_T, 'receipt:a']);
    refusal(await client.exchange(send('/queue/a', '1', IN_T), unknown, commit()), 'a');
    assert.equal(await ready(harness, 'a'), 0);
  });
});
