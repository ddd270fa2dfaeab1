// Checks of the code base itself, as pure functions over path and text so that the checker can be shown to fail: which
// way imports point, files that nobody imports, calls that do not belong, and files that do not say what they are.

import { posix } from 'node:path';

/** Sources by path from the root of the repository, with `/`. */
export type Sources = ReadonlyMap<string, string>;

interface Part {
  /** Every path that begins with this belongs to the part; the first part that fits counts. */
  readonly prefix: string;
  /** Prefixes of what it may import besides itself. */
  readonly imports: readonly string[];
  /** Packages, and builtins that reach outside of the process, that it may use. */
  readonly packages: readonly string[];
}

/** Builtins that any part may use: they touch neither disk nor network. */
const HARMLESS = [
  'node:buffer',
  'node:crypto',
  'node:events',
  'node:os',
  'node:path',
  'node:timers/promises',
  'node:util',
  'node:url',
  'node:zlib',
];

/** The design's section 1: main → broker → {protocols, http} → core ← {store, auth, metrics}; net and config are leaves. */
const PARTS: readonly Part[] = [
  { prefix: 'src/core/', imports: [], packages: [] },
  {
    prefix: 'src/net/',
    imports: [],
    packages: ['node:net', 'node:tls', 'node:http', 'node:https', 'node:fs/promises'],
  },
  { prefix: 'src/config/', imports: [], packages: ['typebox', 'yaml', 'node:fs'] },
  { prefix: 'src/auth/', imports: ['src/core/'], packages: [] },
  { prefix: 'src/metrics/', imports: ['src/core/'], packages: ['prom-client'] },
  { prefix: 'src/store/', imports: ['src/core/'], packages: ['lmdb', 'node:fs', 'node:fs/promises', 'node:sqlite'] },
  {
    prefix: 'src/http/',
    imports: ['src/core/', 'src/net/', 'src/config/'],
    packages: ['fastify', 'typebox', 'typebox/value', 'node:http', 'node:https', 'node:net'],
  },
  { prefix: 'protocols/amqp/', imports: ['src/core/', 'src/net/'], packages: [] },
  { prefix: 'protocols/mqtt/', imports: ['src/core/', 'src/net/'], packages: ['mqtt-packet'] },
  { prefix: 'protocols/stomp/', imports: ['src/core/', 'src/net/'], packages: [] },
  // The command and the wiring know everything; nothing else may know them.
  { prefix: 'src/', imports: ['src/', 'protocols/'], packages: ['pino', 'pino-pretty', 'node:fs', 'node:module'] },
];

/** Where the program begins; `bin` and `exports` of package.json name these. */
export const ENTRIES = ['src/entry.js', 'src/broker.ts'];

const IMPORT =
  /^(?:import|export)\b[^'"]*?\bfrom\s*['"]([^'"]+)['"]|^import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

/** Every specifier that a file imports, statically or dynamically, types included. */
export function importsOf(source: string): string[] {
  return [...source.matchAll(IMPORT)].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

/** Imports that point the wrong way, as sentences. */
export function directionProblems(sources: Sources): string[] {
  const problems: string[] = [];
  for (const [path, source] of sources) {
    const part = PARTS.find((candidate) => path.startsWith(candidate.prefix));
    if (part === undefined) {
      problems.push(`${path}: belongs to no part`);
      continue;
    }
    for (const specifier of importsOf(source)) {
      if (specifier.startsWith('.')) {
        const target = posix.join(posix.dirname(path), specifier);
        if (!sources.has(target)) problems.push(`${path}: imports ${specifier}, which is not there`);
        else if (![part.prefix, ...part.imports].some((prefix) => target.startsWith(prefix))) {
          problems.push(`${path}: must not import ${target}`);
        }
      } else if (!HARMLESS.includes(specifier) && !part.packages.includes(specifier)) {
        problems.push(`${path}: must not import ${specifier}`);
      }
    }
  }
  return problems;
}

/** Files that no entry reaches. */
export function deadFiles(sources: Sources, entries: readonly string[]): string[] {
  const reached = new Set<string>();
  const open = [...entries];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    for (const specifier of importsOf(sources.get(path) ?? '')) {
      if (specifier.startsWith('.')) open.push(posix.join(posix.dirname(path), specifier));
    }
  }
  return [...sources.keys()].filter((path) => !reached.has(path));
}

/** What the product's sources must not call. */
export function callProblems(sources: Sources): string[] {
  const problems: string[] = [];
  for (const [path, source] of sources) {
    if (/\bconsole\.\w+\(/.test(source)) problems.push(`${path}: writes to the console; there is a log`);
    if (/\bprocess\.exit\(/.test(source) && !path.startsWith('src/cli/')) problems.push(`${path}: ends the process`);
    if (/\bprocess\.env\b/.test(source) && !path.startsWith('src/cli/') && path !== 'src/entry.js') {
      problems.push(`${path}: reads the environment past the configuration`);
    }
    if (/\bTODO\b|\bFIXME\b|@ts-(ignore|expect-error|nocheck)/.test(source)) problems.push(`${path}: is not finished`);
  }
  return problems;
}

/** Tests that are switched off, or that switch all others off. */
export function switchedOff(sources: Sources): string[] {
  return [...sources]
    .filter(([, source]) => /\b(?:it|test|describe|suite)\.(?:only|skip|todo)\(/.test(source))
    .map(([path]) => `${path}: switches tests off`);
}

/** A file begins with a paragraph in comments that says what it owns. */
export function withoutParagraph(sources: Sources): string[] {
  return [...sources]
    .filter(([, source]) => !/^(#!.*\n)?\/\/ \S/.test(source))
    .map(([path]) => `${path}: does not begin by saying what it is`);
}
