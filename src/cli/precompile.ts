// `trivium precompile`: fills Node's compile cache with the code of a start, so that the first start of a version is as
// fast as later ones. `npm ci` and the container build call it. It starts a broker on free ports of this machine with a
// temporary data directory, and stops it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createBroker } from '../broker.ts';
// Imported for the cache only: a start runs it.
import './start.ts';

/** Rejects if no broker can be started. Node writes the cache when the process ends. */
export async function precompile(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'trivium-precompile-'));
  try {
    const broker = await createBroker({ dataDir });
    await broker.stop();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}
