// The exit codes of the command; those above 63 are from sysexits.h.

export const EXIT = {
  ok: 0,
  /** It could not start, or not stop in time: a port is taken, the data directory is in use. */
  failed: 1,
  /** The command line is invalid. */
  usage: 2,
  /** An internal error. */
  software: 70,
  /** The store failed: a commit ended in an error that is not a full disk. */
  ioError: 74,
  /** The configuration is wrong. */
  config: 78,
} as const;
