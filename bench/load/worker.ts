// A thread of a load run: the publisher, or all the consumers. It says `ready` when it is connected and subscribed; the
// publisher starts when it hears anything.

import { parentPort, workerData } from 'node:worker_threads';
import * as amqp from './amqp.ts';
import * as amqpRpc from './amqp-rpc.ts';
import * as mqtt from './mqtt.ts';
import * as stomp from './stomp.ts';
import type { Job, Speaker } from './workload.ts';

const SPEAKERS = { amqp, mqtt, stomp, webstomp: stomp } as const;

const job = workerData as Job;
const port = parentPort!;

function speakerOf(name: Speaker): typeof amqp | typeof amqpRpc | typeof mqtt | typeof stomp {
  return job.workload.address === 'reply' ? amqpRpc : SPEAKERS[name];
}

/** The runner ends the thread with the first thing that goes wrong. */
function fail(error: Error): void {
  port.postMessage({ failed: `${job.role}: ${error.message}` });
}

try {
  if (job.role === 'consume') {
    const speaker = speakerOf(job.workload.consumer);
    for (let i = 0; i < job.workload.consumers; i++) await speaker.consume(job, i, fail);
  } else {
    const start = await speakerOf(job.workload.publisher).publish(job, fail);
    port.once('message', start);
  }
  port.postMessage('ready');
} catch (error) {
  fail(error as Error);
}
