// Merges the four sources of the configuration: defaults < a YAML file < the environment < flags. Collects all problems
// and throws them as one ConfigError. Called by the command line; `configOf` also by createBroker.

import { readFileSync } from 'node:fs';
import { ConfigError, unknownKey, wrongValue } from './config-error.ts';
import { KEYS, type Key, SECTIONS } from './keys.ts';
import { REFUSED, read } from './leaf.ts';
import { nearest } from './nearest.ts';
import type { Config, PartialConfig } from './schema.ts';

/** The flag and variable that name the configuration file; they are not keys of the configuration. */
export const CONFIG_FLAG = 'config';
export const CONFIG_VARIABLE = 'TRIVIUM_CONFIG';

/**
 * Kubernetes sets these variables in each pod for a service named `trivium`; they are not ours. TRIVIUM_PORT is also a
 * key of ours; it comes from Kubernetes if its value is an address such as `tcp://10.0.0.1:5672`.
 */
const KUBERNETES = /^TRIVIUM_(SERVICE_(HOST|PORT)(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

const KUBERNETES_ADDRESS = /^(tcp|udp|sctp):\/\//i;

/** Upper bound for a YAML file, which is read whole. */
const FILE_BYTES = 1024 * 1024;

export interface Sources {
  /** Values by flag name, without dashes. */
  readonly flags: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

type Values = Record<string, unknown>;

/**
 * The defaults with `options` over them, validated like a file: for embedding and tests.
 * @throws ConfigError
 */
export function configOf(options: PartialConfig, source = 'the options given'): Config {
  const problems: string[] = [];
  const values = new Map<Key, unknown>();
  readTree(options, source, values, problems);
  return finish(values, problems);
}

/**
 * The configuration from all sources.
 * @throws ConfigError
 */
export async function loadConfig(sources: Sources): Promise<Config> {
  const problems: string[] = [];
  const values = new Map<Key, unknown>();
  const file = sources.flags[CONFIG_FLAG] ?? sources.environment[CONFIG_VARIABLE];
  if (file !== undefined) readTree(await parseFile(file), file, values, problems);
  readEnvironment(sources.environment, values, problems);
  readFlags(sources.flags, values, problems);
  return finish(values, problems);
}

async function parseFile(file: string): Promise<unknown> {
  let content: Buffer;
  try {
    content = readFileSync(file);
  } catch (error) {
    throw new ConfigError([`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`]);
  }
  if (content.length > FILE_BYTES) throw new ConfigError([`${file}: larger than ${FILE_BYTES} bytes`]);
  // Imported here, so that only a start with a file loads the YAML parser.
  const { parse } = await import('yaml');
  try {
    return parse(content.toString('utf8')) ?? {};
  } catch (error) {
    throw new ConfigError([`${file}: not YAML: ${(error as Error).message.trim()}`]);
  }
}

/** A tree of sections and keys: a YAML file or an object. */
function readTree(tree: unknown, source: string, values: Map<Key, unknown>, problems: string[]): void {
  if (!isTree(tree)) {
    problems.push(`${source}: must hold keys and values`);
    return;
  }
  const names = SECTIONS.flatMap((section) =>
    section.name === null ? section.keys.map((key) => key.name) : section.name,
  );
  for (const [name, value] of Object.entries(tree)) {
    if (value === undefined) continue;
    const section = SECTIONS.find((candidate) => candidate.name === name);
    if (section !== undefined) readSection(section.keys, name, value, source, values, problems);
    else {
      const key = SECTIONS[0]!.keys.find((candidate) => candidate.name === name);
      if (key === undefined) problems.push(unknownKey(name, source, nearest(name, names)));
      else take(key, value, source, values, problems);
    }
  }
}

function readSection(
  keys: readonly Key[],
  section: string,
  tree: unknown,
  source: string,
  values: Map<Key, unknown>,
  problems: string[],
): void {
  // A section that is left empty in YAML is null.
  if (tree === null) return;
  if (!isTree(tree)) {
    problems.push(`${section} (from ${source}): must hold keys and values`);
    return;
  }
  for (const [name, value] of Object.entries(tree)) {
    if (value === undefined) continue;
    const key = keys.find((candidate) => candidate.name === name);
    if (key === undefined) {
      const near = nearest(
        `${section}.${name}`,
        KEYS.map((candidate) => candidate.path),
      );
      problems.push(unknownKey(`${section}.${name}`, source, near));
    } else take(key, value, source, values, problems);
  }
}

function readEnvironment(environment: Sources['environment'], values: Map<Key, unknown>, problems: string[]): void {
  for (const [variable, value] of Object.entries(environment)) {
    if (value === undefined || !variable.startsWith('TRIVIUM_') || variable === CONFIG_VARIABLE) continue;
    if (KUBERNETES.test(variable) && KUBERNETES_ADDRESS.test(value)) continue;
    const key = KEYS.find((candidate) => candidate.variable === variable);
    if (key !== undefined) take(key, value, variable, values, problems);
    else if (!KUBERNETES.test(variable)) {
      const near = nearest(variable, [CONFIG_VARIABLE, ...KEYS.map((candidate) => candidate.variable)]);
      problems.push(unknownKey(variable, 'the environment', near));
    }
  }
}

function readFlags(flags: Sources['flags'], values: Map<Key, unknown>, problems: string[]): void {
  for (const [flag, value] of Object.entries(flags)) {
    if (flag === CONFIG_FLAG) continue;
    const key = KEYS.find((candidate) => candidate.flag === flag);
    if (key !== undefined) take(key, value, `--${flag}`, values, problems);
    else {
      const near = nearest(flag, [CONFIG_FLAG, ...KEYS.map((candidate) => candidate.flag)]);
      problems.push(unknownKey(`--${flag}`, 'the command line', near === null ? null : `--${near}`));
    }
  }
}

function take(key: Key, value: unknown, source: string, values: Map<Key, unknown>, problems: string[]): void {
  const result = read(key.leaf, value);
  if (result === REFUSED) problems.push(wrongValue(key.path, source, value, key.leaf));
  else values.set(key, result);
}

function finish(values: Map<Key, unknown>, problems: string[]): Config {
  const config = assemble(values);
  if (problems.length === 0) checkTogether(config, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** Rules that involve more than one key. */
function checkTogether(config: Config, problems: string[]): void {
  const { tls, limits } = config;
  if ((tls.certificateFile === null) !== (tls.keyFile === null)) {
    problems.push('tls.certificateFile and tls.keyFile: give both or none');
  }
  if (tls.requireClientCertificate && tls.caFile === null) {
    problems.push('tls.requireClientCertificate: needs tls.caFile to check client certificates against');
  }
  const marks = [
    ['outboxLowBytes', 'outboxHighBytes'],
    ['memoryLowBytes', 'memoryHighBytes'],
    ['uncommittedLowBytes', 'uncommittedHighBytes'],
  ] as const;
  for (const [low, high] of marks) {
    if (limits[low] >= limits[high]) problems.push(`limits.${low}: must be below limits.${high} (${limits[high]})`);
  }
}

/** The schema's keys with the given values, else their defaults. The cast holds because each value was read by its leaf. */
function assemble(values: ReadonlyMap<Key, unknown>): Config {
  const config: Values = {};
  for (const key of KEYS) {
    const value = values.has(key) ? values.get(key) : structuredClone(key.leaf.default);
    if (key.section === null) config[key.name] = value;
    else ((config[key.section] ??= {}) as Values)[key.name] = value;
  }
  return config as unknown as Config;
}

function isTree(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
