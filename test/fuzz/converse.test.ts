// The fuzzer's client waits for a slow broker, which reads or answers long after the client has sent everything. It
// leaves only a broker that waits for more input.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Answer, converse, type Leaving } from './converse.ts';

const REQUEST = Buffer.from('request');
const ANSWER = Buffer.from('answer');
/** More rounds of a timer than the client is idle for before it leaves. */
const SLOW_TICKS = 50;

function later(action: () => void): void {
  let ticks = 0;
  const timer = setInterval(() => {
    if (++ticks < SLOW_TICKS) return;
    clearInterval(timer);
    action();
  }, 2);
}

async function conversation(t: TestContext, serve: (socket: Socket) => void, leaving: Leaving): Promise<Answer> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const pieces = [REQUEST.subarray(0, 3), REQUEST.subarray(3)];
  return await converse((server.address() as AddressInfo).port, pieces, leaving);
}

test('it hears a broker that reads late', async (t) => {
  const reads: string[] = [];
  const { bytes, closedFirst } = await conversation(
    t,
    (socket) => {
      socket.on('data', (chunk) => {
        if (reads.push(chunk.toString()) === 2) socket.end(ANSWER);
      });
      later(() => socket.resume());
    },
    'reset',
  );
  assert.deepEqual(reads, ['req', 'uest']);
  assert.deepEqual(bytes, ANSWER);
  assert.equal(closedFirst, true);
});

test('it hears a broker that answers late, and reads nothing meanwhile', async (t) => {
  const { bytes, closedFirst } = await conversation(
    t,
    (socket) => {
      let read = 0;
      socket.on('data', (chunk) => {
        read += chunk.length;
        if (read < REQUEST.length) return;
        socket.pause();
        later(() => {
          socket.write(ANSWER);
          socket.resume();
        });
      });
      socket.resume();
    },
    'reset',
  );
  assert.deepEqual(bytes, ANSWER);
  assert.equal(closedFirst, false);
});

test('it leaves a broker that waits for more', async (t) => {
  const { bytes, closedFirst } = await conversation(
    t,
    (socket) => {
      socket.on('end', () => socket.end(ANSWER));
      socket.resume();
    },
    'fin',
  );
  assert.deepEqual(bytes, ANSWER);
  assert.equal(closedFirst, false);
});
