// The defaults of an embedded broker: one that a test or a program starts for itself. It takes any free ports, is
// reachable from this machine only, says nothing, and keeps nothing on disk unless it is told where.

import { configOf } from './load.ts';
import type { Config, PartialConfig } from './schema.ts';

/** Hashes that never reach a disk need not withstand a thief, and a test should not wait for them. */
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
