// Reads the command line: one command and the flags of the configuration. The flags are derived from the schema; the
// loader checks their values together with the other sources.

import { parseArgs } from 'node:util';
import { KEYS } from '../config/keys.ts';
import { CONFIG_FLAG } from '../config/load.ts';
import { nearest } from '../config/nearest.ts';

export const COMMANDS = ['start', 'precompile', 'version', 'help'] as const;
export type Command = (typeof COMMANDS)[number];

export interface Arguments {
  readonly command: Command;
  /** Values by flag name without dashes; a flag without a value has `true`. */
  readonly flags: Readonly<Record<string, string>>;
}

/** The command line is invalid; the message says why. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/**
 * @param argv what follows the program's name
 * @throws UsageError
 */
export function readArguments(argv: readonly string[]): Arguments {
  const options: Record<string, { type: 'string' | 'boolean'; short?: string }> = {
    [CONFIG_FLAG]: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean', short: 'v' },
  };
  for (const { flag, leaf } of KEYS) options[flag] = { type: leaf.type === 'boolean' ? 'boolean' : 'string' };
  // Not strict: the loader reports unknown flags, all at once, each with the closest known name.
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true });
  const positionals: string[] = [];
  const flags: Record<string, string> = {};
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    if (token.name === 'help') return { command: 'help', flags: {} };
    if (token.name === 'version') return { command: 'version', flags: {} };
    const known = options[token.name];
    if (known?.type === 'string' && token.value === undefined) throw new UsageError(`${token.rawName} needs a value`);
    const next = tokens[i + 1];
    if (known === undefined && token.value === undefined && next?.kind === 'positional') {
      // The word after an unknown flag is its value, so that the error is about the flag.
      flags[token.name] = next.value;
      i++;
    } else flags[token.name] = token.value ?? 'true';
  }
  if (positionals.length === 0 && Object.keys(flags).length > 0) {
    throw new UsageError(`no command; the commands are ${COMMANDS.join(', ')}`);
  }
  const [command = 'help', ...rest] = positionals;
  if (!isCommand(command)) {
    const near = nearest(command, COMMANDS);
    throw new UsageError(`unknown command '${command}'${near === null ? '' : `; did you mean ${near}?`}`);
  }
  if (rest.length > 0) throw new UsageError(`'${rest[0]}' is not expected here; flags begin with --`);
  return { command, flags };
}

function isCommand(text: string): text is Command {
  return (COMMANDS as readonly string[]).includes(text);
}
