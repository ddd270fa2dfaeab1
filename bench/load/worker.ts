// A thread of a load run: the publisher, or all consumers. It posts `ready` when it is connected and subscribed; the
// publisher starts at the first message that the runner posts.

import { parentPort, workerData } from 'node:worker_threads';
import * as amqp from './amqp.ts';
import * as amqpRpc from './amqp-rpc.ts';
import * as mqtt from './mqtt.ts';
import * as mqttSessions from './mqtt-sessions.ts';
import * as stomp from './stomp.ts';
import type { Job, Speaker } from './workload.ts';

const SPEAKERS = { amqp, mqtt, stomp, webstomp: stomp } as const;

const job = workerData as Job;
const port = parentPort!;

interface Sides {
  /** Resolves when connection `index` is open, with a function that starts publishing. */
  publish(job: Job, index: number, fail: (error: Error) => void): Promise<() => void>;
  /** Resolves when connection `index` is open and subscribed. */
  consume(job: Job, index: number, fail: (error: Error) => void): Promise<void>;
}

function sidesOf(name: Speaker): Sides {
  switch (job.workload.address) {
    case 'reply':
      return amqpRpc;
    case 'sessions':
      return mqttSessions;
    default:
      return SPEAKERS[name];
  }
}

/** Reports the first error; the runner then ends the thread. */
function fail(error: Error): void {
  port.postMessage({ failed: `${job.role}: ${error.message}` });
}

try {
  if (job.role === 'consume') {
    const sides = sidesOf(job.workload.consumer);
    for (let i = 0; i < job.workload.consumers; i++) await sides.consume(job, i, fail);
  } else {
    const sides = sidesOf(job.workload.publisher);
    const starts: (() => void)[] = [];
    for (let i = 0; i < job.workload.publishers; i++) starts.push(await sides.publish(job, i, fail));
    port.once('message', () => {
      for (const start of starts) start();
    });
  }
  port.postMessage('ready');
} catch (error) {
  fail(error as Error);
}
