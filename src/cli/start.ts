// `trivium start`: reads the configuration, opens the log, starts the broker and handles signals. SIGHUP reloads the TLS
// certificates. The first SIGTERM or SIGINT stops gracefully within a time limit, a second one ends the process at once.
// An uncaught error is logged and ends the process, because its state is unknown.

import { constants } from 'node:os';
import { type Broker, startBroker } from '../broker.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { VERSION } from '../version.ts';
import { banner } from './banner.ts';
import { EXIT } from './exit-codes.ts';
import { type Logging, openLog } from './logging.ts';

/** From a signal to the end of the process, whatever clients do. */
const STOP_TIMEOUT_MS = 5_000;

/** @throws ConfigError */
export async function start(flags: Readonly<Record<string, string>>): Promise<void> {
  const config = await loadConfig({ flags, environment: process.env });
  const logging = await openLog(config.log, process.stdout.isTTY === true);
  endOnUncaughtError(logging);
  let broker: Broker;
  try {
    broker = await startBroker(config, {
      log: logging.log,
      ...collectors(),
      onFatal: (error) => fail(logging, error, EXIT.ioError),
    });
  } catch (error) {
    const details = isExpected(error) ? {} : { err: error };
    logging.log.fatal(details, `cannot start: ${(error as Error).message}`);
    end(logging, EXIT.failed);
  }
  endOnSignal(broker, logging);
  reloadOnSignal(broker, logging);
  announce(config, broker, logging);
}

/** `gc` exists if Node runs with `--expose-gc`, as in the start script. */
function collectors(): { collectYoung?: () => void; collectAll?: () => void } {
  const { gc } = globalThis;
  return gc === undefined ? {} : { collectYoung: () => gc({ type: 'minor' }), collectAll: () => gc() };
}

function announce(config: Config, broker: Broker, logging: Logging): void {
  // Since the start of the process, Node's own start included.
  const startedInMs = Math.round(performance.now());
  if (logging.pretty) {
    process.stdout.write(banner(VERSION, config, broker.ports));
    logging.log.info({ startedInMs }, 'ready');
    return;
  }
  const ports = Object.fromEntries(Object.entries(broker.ports).filter(([, port]) => port !== null));
  const store = config.store === 'memory' ? 'memory' : config.dataDir;
  logging.log.info({ version: VERSION, host: config.host, ports, store, startedInMs }, 'ready');
}

function endOnSignal(broker: Broker, logging: Logging): void {
  let stopping = false;
  const onSignal = (signal: 'SIGTERM' | 'SIGINT'): void => {
    if (stopping) {
      logging.log.warn({ signal }, 'second signal: ending at once');
      end(logging, 128 + constants.signals[signal]);
    }
    stopping = true;
    logging.log.info({ signal }, 'stopping');
    const tooLong = setTimeout(() => {
      logging.log.error({ afterMs: STOP_TIMEOUT_MS }, 'stopping takes too long: ending');
      end(logging, EXIT.failed);
    }, STOP_TIMEOUT_MS);
    broker.stop().then(
      async () => {
        clearTimeout(tooLong);
        logging.log.info({}, 'stopped');
        await logging.close();
        process.exit(EXIT.ok);
      },
      (error: unknown) => fail(logging, error, EXIT.software),
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

function reloadOnSignal(broker: Broker, logging: Logging): void {
  // One after the other: what was read last is used last.
  let reloaded = Promise.resolve();
  process.on('SIGHUP', () => {
    reloaded = reloaded.then(() => reloadTls(broker, logging));
  });
}

async function reloadTls(broker: Broker, { log }: Logging): Promise<void> {
  try {
    if (await broker.reloadTls()) log.info({}, 'TLS certificates reloaded');
    else log.info({}, 'no TLS certificates to reload: tls.certificateFile is not set');
  } catch (error) {
    log.error({ reason: (error as Error).message }, 'TLS certificates not reloaded: those in use stay');
  }
}

function endOnUncaughtError(logging: Logging): void {
  // Unhandled rejections arrive here too.
  process.on('uncaughtException', (error) => fail(logging, error, EXIT.software));
}

function fail(logging: Logging, error: unknown, code: number): never {
  logging.log.fatal({ err: error }, 'the broker cannot go on');
  end(logging, code);
}

function end(logging: Logging, code: number): never {
  logging.flush();
  process.exit(code);
}

/** Whether the message is enough without a stack: errors of the system (a port is taken) and our texts about them. */
function isExpected(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string';
}
