// The broker's version, as package.json has it: what banners, handshakes and the management API show.

import { readFileSync } from 'node:fs';

/** From sources package.json lies one folder up; from the compiled package two. */
function readVersion(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as {
        name?: unknown;
        version?: unknown;
      };
      if (name === 'trivium' && typeof version === 'string') return version;
    } catch {
      // Not there: the next place.
    }
  }
  return 'unknown';
}

export const VERSION: string = readVersion();
