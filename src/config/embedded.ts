// The defaults of an embedded broker, which a test or a program starts for itself: free ports, reachable from this
// machine only, no log, nothing on disk unless a data directory is given.

import { configOf } from './load.ts';
import type { Config, PartialConfig } from './schema.ts';

/** Hashes that are never stored need little protection, and tests should not wait for them. */
const IN_MEMORY_PASSWORD_COST = 10;

const FREE = Object.freeze({ port: 0, tlsPort: 0 });

/**
 * `options` over the defaults of an embedded broker. Giving a `dataDir` asks for the durable store.
 * @throws ConfigError
 */
export function embeddedConfig(options: PartialConfig = {}): Config {
  const store = options.store ?? (options.dataDir === undefined ? 'memory' : 'lmdb');
  return configOf({
    host: '127.0.0.1',
    ...options,
    store,
    limits: { ...(store === 'memory' ? { passwordCost: IN_MEMORY_PASSWORD_COST } : {}), ...options.limits },
    log: { level: 'silent', ...options.log },
    amqp: { ...FREE, ...options.amqp },
    mqtt: { ...FREE, ...options.mqtt },
    stomp: { ...FREE, ...options.stomp },
    ws: { ...FREE, ...options.ws },
    http: { ...FREE, ...options.http },
  });
}
