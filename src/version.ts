// The broker's version from package.json, for banners, handshakes and the management API.

import { readFileSync } from 'node:fs';

/** package.json is one folder up from the sources, and two from the compiled package. */
function readVersion(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as {
        name?: unknown;
        version?: unknown;
      };
      if (name === 'trivium' && typeof version === 'string') return version;
    } catch {
      // Not found: try the next place.
    }
  }
  return 'unknown';
}

export const VERSION: string = readVersion();
