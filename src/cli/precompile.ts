// `trivium precompile`: has Node's compile cache filled with all that a start runs, so that the first start of a version
// is as quick as those after it. `npm ci` and the build of a container call it. It starts a broker on free ports of this
// machine, with its data in a temporary directory, and stops it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createBroker } from '../broker.ts';
// Not used here: part of what a start runs.
import './start.ts';

/** Rejects where no broker can be started. Node writes the cache when the process ends. */
export async function precompile(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'trivium-precompile-'));
  try {
    const broker = await createBroker({ dataDir });
    await broker.stop();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}
