// The logger that the parts expect; pino satisfies it. Nothing is logged for each message.

export interface Logger {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

const nothing = (): void => {};

/** Logs nothing; for tests and embedding. */
export const SILENT: Logger = Object.freeze({ debug: nothing, info: nothing, warn: nothing, error: nothing });
