// Writes log records: JSON lines on standard output, or readable lines on a terminal. Writing never waits for the
// reader: the backlog of a stalled reader is bounded, and records above the bound are lost instead of holding up the
// broker.

import pino, { type DestinationStream, type Logger, type LoggerOptions } from 'pino';
import type { Config } from '../config/schema.ts';

/** Bytes of records that wait for a reader. */
const BACKLOG_BYTES = 4 * 1024 * 1024;
/** How long the process waits at its end for the reader to take the last records. */
const CLOSE_MS = 500;

export interface Logging {
  readonly log: Logger;
  /** Whether records are formatted for people. */
  readonly pretty: boolean;
  /**
   * Writes pending records synchronously, before the process ends abruptly. A write in progress may be overtaken or
   * lost.
   */
  flush(): void;
  /** Closes the log: resolves when all records are written in order, or after a time limit. */
  close(): Promise<void>;
}

/** Errors have no enumerable fields; under either name they are written with message and stack. */
const SERIALIZERS: NonNullable<LoggerOptions['serializers']> = {
  err: pino.stdSerializers.err,
  error: pino.stdSerializers.err,
};

export async function openLog(config: Config['log'], terminal: boolean): Promise<Logging> {
  const { level } = config;
  const pretty = config.format === 'pretty' || (config.format === 'auto' && terminal);
  if (pretty) {
    const { default: prettyStream } = await import('pino-pretty');
    const stream = prettyStream({
      sync: true,
      colorize: terminal,
      singleLine: true,
      ignore: 'pid,hostname',
      translateTime: 'SYS:HH:MM:ss.l',
    });
    return { log: pino({ level, serializers: SERIALIZERS }, stream), pretty, flush() {}, close: async () => {} };
  }
  const destination = pino.destination({ dest: 1, sync: false, maxLength: BACKLOG_BYTES });
  // A reader that closed its end (EPIPE) does not stop the broker.
  destination.on('error', () => {});
  const options: LoggerOptions = {
    level,
    serializers: SERIALIZERS,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  };
  const gathered = new GatheredRecords(destination);
  const flush = (): void => {
    gathered.handOver();
    flushQuietly(destination);
  };
  const close = (): Promise<void> => {
    gathered.end();
    return ended(destination);
  };
  return { log: pino(options, gathered), pretty, flush, close };
}

/** Writes all records of one pass of the event loop at once: a session that opens and closes has two. */
class GatheredRecords implements DestinationStream {
  private readonly destination: DestinationStream;
  private records: string;
  private ended: boolean;

  constructor(destination: DestinationStream) {
    this.destination = destination;
    this.records = '';
    this.ended = false;
  }

  write(record: string): void {
    if (this.records === '') setImmediate(this.handOver);
    this.records += record;
  }

  readonly handOver = (): void => {
    const { records } = this;
    if (records === '' || this.ended) return;
    this.records = '';
    this.destination.write(records);
  };

  /** Later records are lost. */
  end(): void {
    this.handOver();
    this.ended = true;
  }
}

function ended(destination: { once(event: 'close', done: () => void): unknown; end(): void }): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const patience = setTimeout(resolve, CLOSE_MS);
  destination.once('close', resolve);
  destination.end();
  return promise.finally(() => clearTimeout(patience));
}

function flushQuietly(destination: { flushSync(): void }): void {
  try {
    destination.flushSync();
  } catch {
    // The destination is not open yet, or closed: the error cannot be reported.
  }
}
