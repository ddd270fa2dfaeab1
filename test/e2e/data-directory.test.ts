// A data directory and its processes: the lock of a killed process is released, and a confirm is sent
// only after the operating system has synced the data.

import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { LmdbKv } from '../../src/store/kv/lmdb.ts';

const CHILD = fileURLToPath(new URL('data-directory-child.ts', import.meta.url));

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'trivium-store-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('the lock of a killed broker is released', async (t) => {
  const path = directory(t);
  const child = spawn(process.execPath, [CHILD, 'hold', path], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  assert.throws(() => LmdbKv.open(path), /in use by another broker/);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await LmdbKv.open(path).close();
});

test('a confirm is sent only after the data was synced', async (t) => {
  if (spawnSync('strace', ['-V']).error !== undefined) {
    t.skip('strace is not installed');
    return;
  }
  const path = directory(t);
  const trace = join(path, 'trace');
  const calls = 'trace=pwrite64,pwritev,writev,write,fdatasync,fsync,msync,openat';
  const data = join(path, 'data');
  await promisify(execFile)('strace', ['-f', '-y', '-e', calls, '-o', trace, process.execPath, CHILD, 'confirm', data]);
  const lines = completed((await readFile(trace, 'utf8')).split('\n'));
  // LMDB writes pages, syncs them, and then writes its meta page through a descriptor that syncs each write.
  const dataFile = join(data, 'data.mdb');
  const syncing = new Set(
    lines
      .filter((line) => line.includes(`"${dataFile}"`) && line.includes('O_DSYNC'))
      .map((line) => /= (\d+)/.exec(line)?.[1]),
  );
  let written = -1;
  let synced = -1;
  let confirms = 0;
  lines.forEach((line, i) => {
    const call = /\b(\w+)\((\d+)<([^>]*)>/.exec(line);
    if (call === null) return;
    const [, name, descriptor, file] = call;
    if (file === dataFile) {
      if (name!.includes('sync') || syncing.has(descriptor)) synced = i;
      else written = i;
    } else if (line.includes('confirmed')) {
      confirms++;
      assert.ok(written >= 0, 'a confirm left before anything was written');
      assert.ok(synced > written, `a confirm left before its data was synced:\n${lines.slice(0, i + 1).join('\n')}`);
      written = -1;
    }
  });
  assert.equal(confirms, 3);
});

/** The lines of a trace in order of completion. strace writes an interrupted call in two parts, which are joined. */
function completed(lines: readonly string[]): string[] {
  const begun = new Map<string, string>();
  const whole: string[] = [];
  for (const line of lines) {
    const process = /^\d+/.exec(line)?.[0] ?? '';
    if (line.includes('<unfinished ...>')) {
      begun.set(process, line.replace('<unfinished ...>', ''));
      continue;
    }
    const rest = /<\.\.\. \w+ resumed>(.*)/.exec(line);
    whole.push(rest === null ? line : `${begun.get(process)}${rest[1]}`);
  }
  return whole;
}
