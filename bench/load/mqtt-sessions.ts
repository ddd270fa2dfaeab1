// Session churn: each session connects, subscribes to its own topic, waits for SUBACK and disconnects. Then the next
// one connects.

import { once } from 'node:events';
import { connect as dial } from 'node:net';
import * as mqtt from '../../support/wire/mqtt.ts';
import { COUNTER, type Job } from './workload.ts';

/** Size of a CONNACK in MQTT 3.1.1, and of a SUBACK for one filter. */
const CONNACK_BYTES = 4;
const SUBACK_BYTES = 5;

/** Opens one session after another; each counts as one message sent and received. */
export async function publish(job: Job, index: number, fail: (error: Error) => void): Promise<() => void> {
  const counters = new Float64Array(job.counters);
  const keepComing = async (): Promise<void> => {
    for (let opened = 0; ; opened++) {
      await comeAndGo(job.port, `${job.name}-${index}-${opened}`);
      counters[COUNTER.sent]!++;
      counters[COUNTER.received]!++;
    }
  };
  return () => void keepComing().catch(fail);
}

/** Does nothing: the workload has no consumers. */
export async function consume(_job: Job, _index: number, _fail: (error: Error) => void): Promise<void> {}

async function comeAndGo(port: number, clientId: string): Promise<void> {
  const socket = dial({ port, host: '127.0.0.1', noDelay: true });
  const closed = once(socket, 'close');
  const login = { user: 'guest', password: 'guest' };
  socket.write(Buffer.concat([mqtt.connect(clientId, login), mqtt.subscribe(1, `sessions/${clientId}`, 1)]));
  let answers: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    answers = answers.length === 0 ? chunk : Buffer.concat([answers, chunk]);
    if (answers.length < CONNACK_BYTES + SUBACK_BYTES) return;
    socket.end(mqtt.disconnect());
  });
  await closed;
  const connack = answers.subarray(0, CONNACK_BYTES);
  const suback = answers.subarray(CONNACK_BYTES);
  const granted = connack[0]! >> 4 === mqtt.PACKET.connack && connack[3] === 0 && suback.length === SUBACK_BYTES;
  if (!granted || suback[0]! >> 4 !== mqtt.PACKET.suback || suback[4] !== 1) {
    throw new Error(`the broker answered a session with ${answers.toString('hex')}`);
  }
}
