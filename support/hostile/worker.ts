// Runs one attack in a worker: `workerData` has its name and the broker's ports. The clock is moved by the parent.

import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { ATTACKS } from './attacks.ts';
import type { HostilePorts } from './hostile-broker.ts';

export interface WorkerInput {
  readonly name: string;
  readonly ports: HostilePorts;
}

const { name, ports } = workerData as WorkerInput;
const attack = ATTACKS.find((each) => each.name === name);
if (attack === undefined) throw new Error(`no attack is called '${name}'`);
await attack.run({
  ports,
  moveClock: async (moveClockMs) => {
    const moved = once(parentPort!, 'message');
    parentPort!.postMessage({ moveClockMs });
    await moved;
  },
});
process.exit();
