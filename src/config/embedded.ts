// The defaults of an embedded broker: one that a test or a program starts for itself. It takes any free ports, is
// reachable from this machine only, says nothing, and keeps nothing on disk unless it is told where.

import { configOf } from './load.ts';
import type { Config, PartialConfig } from './schema.ts';

const FREE = Object.freeze({ port: 0, tlsPort: 0 });

/**
 * `options` over the defaults of an embedded broker. Giving a `dataDir` asks for the durable store.
 * @throws ConfigError
 */
export function embeddedConfig(options: PartialConfig = {}): Config {
  return configOf({
    host: '127.0.0.1',
    store: options.dataDir === undefined ? 'memory' : 'lmdb',
    ...options,
    log: { level: 'silent', ...options.log },
    amqp: { ...FREE, ...options.amqp },
    mqtt: { ...FREE, ...options.mqtt },
    stomp: { ...FREE, ...options.stomp },
    ws: { ...FREE, ...options.ws },
    http: { ...FREE, ...options.http },
  });
}
