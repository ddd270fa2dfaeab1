// The error of an invalid configuration: it lists every problem at once, each with its key, its source and the allowed
// values. Secrets are not repeated.

import { allowed, type Leaf } from './leaf.ts';

export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration is not usable:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** `source` is the key as the user wrote it: `--amqp-port`, `TRIVIUM_AMQP_PORT`, `trivium.yaml`. */
export function wrongValue(path: string, source: string, value: unknown, leaf: Leaf): string {
  const said = leaf.secret === true ? 'the value given' : shown(value);
  return `${path} (from ${source}): ${said} is not allowed; allowed: ${allowed(leaf)}`;
}

export function unknownKey(what: string, source: string, hint: string | null): string {
  return `${what} (from ${source}): unknown${hint === null ? '' : `; did you mean ${hint}?`}`;
}

/** A value in a message, truncated if it is long. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
