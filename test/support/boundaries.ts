// Checks of the code base itself, as pure functions over path and text, so that tests can show them failing: import
// directions between and within parts, import circles, files without importers, forbidden calls, files without an
// opening comment, and comments that name missing files.

import { posix } from 'node:path';

/** Sources by path from the root of the repository, with `/`. */
export type Sources = ReadonlyMap<string, string>;

interface Part {
  /** Paths with this prefix belong to the part; the first matching part counts. */
  readonly prefix: string;
  /** Prefixes of what it may import besides its own files. */
  readonly imports: readonly string[];
  /** Packages that it may use, and builtins that access resources outside the process. */
  readonly packages: readonly string[];
}

/** Builtins that every part may use: they access neither disk nor network. */
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
  {
    prefix: 'src/store/',
    // Of the core only the ports and the stored data types: nothing that routes, nothing that clients address.
    imports: ['src/core/invariant.ts', 'src/core/message/', 'src/core/turn/', 'src/core/ports/', 'src/core/queue/'],
    packages: ['lmdb', 'node:fs', 'node:fs/promises', 'node:sqlite'],
  },
  {
    prefix: 'src/http/',
    imports: ['src/core/', 'src/net/', 'src/config/'],
    packages: ['fastify', 'typebox', 'typebox/value', 'node:http', 'node:https', 'node:net'],
  },
  { prefix: 'protocols/amqp/', imports: ['src/core/', 'src/net/'], packages: [] },
  { prefix: 'protocols/mqtt/', imports: ['src/core/', 'src/net/'], packages: [] },
  { prefix: 'protocols/stomp/', imports: ['src/core/', 'src/net/'], packages: [] },
  // The command and the wiring may import everything; no other part may import them.
  {
    prefix: 'src/',
    imports: ['src/', 'protocols/'],
    packages: ['pino', 'pino-pretty', 'node:fs', 'node:module', 'node:v8'],
  },
];

/**
 * The floors within a part, from the bottom. A room (a folder, or a file at the part's root) imports only itself and
 * rooms on floors below; rooms on the same floor do not import each other. A file in no room is reported.
 */
export const FLOORS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'src/core/': [
    ['errors.ts', 'invariant.ts', 'limits.ts', 'logger.ts', 'routing-key.ts'],
    ['message/'],
    ['turn/'],
    ['ports/'],
    ['queue/'],
    ['exchange/'],
    ['dead-letter/'],
    ['vhost/'],
    ['session/'],
  ],
  'src/store/': [
    ['keys.ts', 'kv/'],
    ['committer.ts'],
    ['header.ts', 'definitions.ts'],
    ['queues/', 'packets/', 'retained/'],
    ['store.ts', 'upgrade.ts'],
  ],
  'protocols/mqtt/': [
    ['limits.ts', 'options.ts'],
    ['topic/'],
    ['packet/'],
    ['context.ts'],
    ['retained/'],
    ['session/'],
    ['connection/'],
    ['sys-topics.ts'],
    ['front-end.ts'],
  ],
};

/** The one aggregate whose files may import each other in a circle: a queue, its entries, window and consumers. */
const QUEUE_AGGREGATE = 'src/core/queue/';

/** The entry points of the program, which `bin` and `exports` of package.json name. */
export const ENTRIES = ['src/entry.js', 'src/broker.ts'];

const IMPORT =
  /^(?:import|export)\b[^'"]*?\bfrom\s*['"]([^'"]+)['"]|^import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

/** Every specifier that a file imports, statically or dynamically, types included. */
export function importsOf(source: string): string[] {
  return [...source.matchAll(IMPORT)].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

/** Imports between parts in a forbidden direction, as sentences. */
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

/** Imports within a part to a higher floor, or to another room on the same floor, as sentences. */
export function floorProblems(sources: Sources, floors: typeof FLOORS = FLOORS): string[] {
  const problems: string[] = [];
  for (const [part, rooms] of Object.entries(floors)) {
    const place = (path: string) => {
      const inside = path.slice(part.length);
      const fits = (room: string) => (room.endsWith('/') ? inside.startsWith(room) : inside === room);
      const floor = rooms.findIndex((row) => row.some(fits));
      return floor === -1 ? null : { floor, room: rooms[floor]!.find(fits)! };
    };
    for (const [path, source] of sources) {
      if (!path.startsWith(part)) continue;
      const from = place(path);
      if (from === null) {
        problems.push(`${path}: is in no room of ${part}`);
        continue;
      }
      for (const target of localImports(path, source)) {
        const to = target.startsWith(part) ? place(target) : null;
        if (to === null || to.room === from.room || to.floor < from.floor) continue;
        problems.push(`${path}: must not import ${target}, which is not below it`);
      }
    }
  }
  return problems;
}

/**
 * What the shipped tools may import besides their own files: nothing of the tests, and support nothing of the tools.
 */
const TOOLS: Readonly<Record<string, readonly string[]>> = {
  'support/': ['src/', 'protocols/'],
  'conformance/': ['support/', 'src/', 'protocols/'],
  'bench/': ['support/', 'src/', 'protocols/'],
};

/** Imports that would prevent shipping the conformance kit, the bench or their support files, as sentences. */
export function toolProblems(sources: Sources): string[] {
  const problems: string[] = [];
  for (const [path, source] of sources) {
    const tool = Object.keys(TOOLS).find((prefix) => path.startsWith(prefix));
    if (tool === undefined) continue;
    for (const target of localImports(path, source)) {
      if (![tool, ...TOOLS[tool]!].some((prefix) => target.startsWith(prefix))) {
        problems.push(`${path}: must not import ${target}`);
      }
    }
  }
  return problems;
}

/** Modules that start a process or a thread. */
const STARTERS = ['node:child_process', 'node:cluster', 'node:worker_threads', 'playwright-core'];
/** Runs openssl, once for each certificate. */
const MAY_START = ['support/certificates.ts'];

/** Unit tests that reach a file which starts processes, as sentences. `tests`: paths of the unit tests. */
export function unitProblems(sources: Sources, tests: readonly string[]): string[] {
  const problems: string[] = [];
  for (const test of tests) {
    const reached = new Set([test]);
    // Iterating over a set includes elements added meanwhile.
    for (const path of reached) {
      const source = sources.get(path) ?? '';
      if (importsOf(source).some((specifier) => STARTERS.includes(specifier)) && !MAY_START.includes(path)) {
        problems.push(`${test}: is a unit test and starts processes${path === test ? '' : ` through ${path}`}`);
        break;
      }
      for (const next of localImports(path, source)) reached.add(next);
    }
  }
  return problems;
}

/** Import circles (types included) outside the queue's aggregate: for each, its files in order. */
export function circles(sources: Sources): string[][] {
  const found: string[][] = [];
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const path: string[] = [];
  const open = new Set<string>();
  // Tarjan's strongly connected components.
  const visit = (file: string): void => {
    order.set(file, order.size);
    low.set(file, order.get(file)!);
    path.push(file);
    open.add(file);
    for (const next of localImports(file, sources.get(file)!)) {
      if (!sources.has(next)) continue;
      if (!order.has(next)) {
        visit(next);
        low.set(file, Math.min(low.get(file)!, low.get(next)!));
      } else if (open.has(next)) {
        low.set(file, Math.min(low.get(file)!, order.get(next)!));
      }
    }
    if (low.get(file) !== order.get(file)) return;
    const component = path.splice(path.indexOf(file));
    for (const member of component) open.delete(member);
    if (component.length > 1) found.push(component.sort());
  };
  for (const file of sources.keys()) if (!order.has(file)) visit(file);
  return found.filter((files) => !files.every((file) => file.startsWith(QUEUE_AGGREGATE)));
}

/** Files of the core that name a protocol outside comments, each with the reason. */
export const PROTOCOL_NAMES: ReadonlyMap<string, string> = new Map([
  ['src/core/message/topic-pattern.ts', 'dialects of binding keys have the names of whose grammar they are; stored'],
  ['src/core/exchange/topic.ts', 'a trie for each dialect'],
  [
    'src/core/queue/subscription-options.ts',
    'names of binding arguments that any client may give; routing merges them',
  ],
  ['src/core/exchange/retainer.ts', 'name of a header that clients of any protocol may send'],
]);
const PROTOCOL_NAME = /\w*(?:amqp|mqtt|stomp)\w*/gi;
const COMMENTS = /\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm;

/** Core files that name a protocol without permission, and permitted files that no longer do, as sentences. */
export function protocolNames(sources: Sources, allowed: typeof PROTOCOL_NAMES = PROTOCOL_NAMES): string[] {
  const problems: string[] = [];
  const naming = new Set<string>();
  for (const [path, source] of sources) {
    if (!path.startsWith('src/core/')) continue;
    const names = new Set([...source.replace(COMMENTS, '').matchAll(PROTOCOL_NAME)].map(([name]) => name));
    if (names.size > 0) naming.add(path);
    if (!allowed.has(path)) for (const name of names) problems.push(`${path}: names a protocol: ${name}`);
  }
  for (const path of allowed.keys()) if (!naming.has(path)) problems.push(`${path}: may name a protocol and does not`);
  return problems;
}

/** Repository files that a source imports, by path. */
function localImports(path: string, source: string): string[] {
  return importsOf(source)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => posix.join(posix.dirname(path), specifier));
}

/** Words in comments that look like a file name, but are a project's or a product's name, or an example. */
const NO_FILES = new Set(['Node.js', 'MQTT.js', 'stomp.py', 'b.c']);
const COMMENT = /^\s*(?:\/\/|\/?\*+)(.*)$|\s\/\/ (.*)$/gm;
const FILE_NAME = /(?<![\w/.*<-])((?:[\w-]+\/)*[\w.-]*\w\.(?:ts|js|mjs|md|py|html))\b(?![.\w])/g;

/** Comments that name a missing file, as sentences. `paths`: all files of the repository. */
export function missingFiles(sources: Sources, paths: Iterable<string>): string[] {
  const known = new Set<string>();
  for (const path of paths) {
    // A comment may name `docs/queues.md` by its path or any suffix of it.
    for (let at = 0; at !== -1; at = path.indexOf('/', at + 1)) known.add(path.slice(at === 0 ? 0 : at + 1));
  }
  const problems: string[] = [];
  for (const [path, source] of sources) {
    for (const comment of source.matchAll(COMMENT)) {
      for (const [, name] of (comment[1] ?? comment[2])!.matchAll(FILE_NAME)) {
        if (!known.has(name!) && !NO_FILES.has(name!.slice(name!.lastIndexOf('/') + 1))) {
          problems.push(`${path}: names ${name}, which is not there`);
        }
      }
    }
  }
  return problems;
}

/** Calls by which a front-end or the HTTP API would bypass the session, by the object called. */
const PAST_THE_SESSION: readonly RegExp[] = [
  /\b(?:vhost|host)[!?]*\.(?:declareExchange|deleteExchange|declareQueue|deleteQueue|bind|unbind|recover|retainer|replies|changes)\b/,
  /\bqueue[!?]*\.(?:accept|hold|releaseHeld|discard|acknowledge|reject|rejectTransferred|requeue|purge|delete|takeNext)\(/,
  /\bqueue[!?]*\.(?:addConsumer|removeConsumer|consumerReady|touch|wake|recover|deadLettered|readBack|whenBelow)\(/,
  /\.direct\s*=[^=]/,
  /\bretainer[!?]*\.\w+\(/,
  /\bentry[!?]*\.(?:expiresAt|storeState|outstanding|consumer|ring|slot|message|redelivered|deliveryCount)\s*=[^=]/,
  /\b(?:exchange|source)[!?]*\.(?:add|remove|detach|invalidate)\(/,
];

/** Places where front-ends or the HTTP API bypass the session. */
export function sessionProblems(sources: Sources): string[] {
  const problems: string[] = [];
  for (const [path, source] of sources) {
    if (!path.startsWith('protocols/') && !path.startsWith('src/http/')) continue;
    for (const [index, line] of source.split('\n').entries()) {
      const found = PAST_THE_SESSION.map((pattern) => pattern.exec(line)).find((match) => match !== null);
      if (found !== undefined) problems.push(`${path}:${index + 1}: acts past the session: ${found[0]}`);
    }
  }
  return problems;
}

/** Files that no entry point imports, directly or indirectly. */
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

/** Calls that the product's sources must not contain. */
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

/** Disabled tests, and tests that disable all others. */
export function switchedOff(sources: Sources): string[] {
  return [...sources]
    .filter(([, source]) => /\b(?:it|test|describe|suite)\.(?:only|skip|todo)\(/.test(source))
    .map(([path]) => `${path}: switches tests off`);
}

/** Files that do not start with a comment paragraph. */
export function withoutParagraph(sources: Sources): string[] {
  return [...sources]
    .filter(([, source]) => !/^(#!.*\n)?\/\/ \S/.test(source))
    .map(([path]) => `${path}: does not begin by saying what it is`);
}
