// Whether a request names a host by which the broker may be called. A page of a stranger can have its own name resolve to
// the broker's address and then talk to it as to its own server (DNS rebinding); the Host header still has that name.
// Names that no stranger can own are known without configuration: addresses, names of one label (`broker`), and names
// below `localhost`, `local`, `internal`, `svc`, `cluster.local`, `home.arpa`.

import { isIP } from 'node:net';
import { hostname } from 'node:os';

const PRIVATE_SUFFIXES = ['.localhost', '.local', '.internal', '.svc', '.home.arpa'];

/** The host of a Host header, without its port. Null where it is none. */
export function hostOf(header: string): string | null {
  const url = `http://${header}/`;
  if (!URL.canParse(url)) return null;
  const { host, pathname, username } = new URL(url);
  if (pathname !== '/' || username !== '' || host === '') return null;
  return new URL(url).hostname.replace(/\.$/, '').toLowerCase();
}

/** `configured`: `http.hosts`; `*` knows all. */
export function isKnownHost(header: string | undefined, configured: readonly string[]): boolean {
  // HTTP/1.0 has no Host header; no browser speaks it.
  if (header === undefined || configured.includes('*')) return true;
  const host = hostOf(header);
  if (host === null) return false;
  if (isIP(host.startsWith('[') ? host.slice(1, -1) : host) !== 0 || !host.includes('.')) return true;
  if (PRIVATE_SUFFIXES.some((suffix) => host.endsWith(suffix))) return true;
  return host === hostname().toLowerCase() || configured.some((name) => name.toLowerCase() === host);
}
