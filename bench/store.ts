// The store over LMDB: appending and committing, the same with acknowledgements, reopening and reading a backlog back, and
// a turn that has nothing for it.
// Entries a second by the wall clock, and what they cost the main thread, which also does the networking.
//
//   node bench/store.ts [--json] [entries] [directory]

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Message, NEVER } from '../src/core/message/message.ts';
import { NO_CODEC } from '../src/core/message/properties.ts';
import { newMeters } from '../src/core/ports/meters.ts';
import type { Queue } from '../src/core/queue/queue.ts';
import { NEVER_EXPIRES, QueueEntry } from '../src/core/queue/queue-entry.ts';
import { LmdbKv } from '../src/store/kv/lmdb.ts';
import { Store } from '../src/store/store.ts';
import { type Figure, printFigures } from './figure.ts';

const [entriesGiven, directoryGiven] = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const ENTRIES = Number(entriesGiven ?? 400_000);
/** Entries in a busy turn of the broker. */
const TURN = 256;
/** The default of uncommitted bytes at which publishers are throttled. */
const UNCOMMITTED_BYTES = 32 * 1024 * 1024;
const NATIVE_BYTES = 30;
const LOAD_ENTRIES = 4096;
const LOAD_BYTES = 4 * 1024 * 1024;
const IDLE_TURNS = 200_000;
const CODECS = new Map([[NO_CODEC.id, NO_CODEC]]);

/** A queue that acknowledges committed entries in the next turn, or keeps them. */
class BenchQueue {
  readonly id: number;
  readonly durable = true;
  readonly acknowledge: boolean;
  toAcknowledge: QueueEntry[] = [];

  constructor(id: number, acknowledge: boolean) {
    this.id = id;
    this.acknowledge = acknowledge;
  }

  committed(entry: QueueEntry): void {
    if (this.acknowledge) this.toAcknowledge.push(entry);
  }

  withdrawn(): void {
    throw new Error('the disk is full');
  }
}

class Bench {
  readonly store: Store;
  private ended: () => void = () => {};

  constructor(path: string) {
    this.store = new Store(LmdbKv.open(path), {
      codecs: CODECS,
      meters: newMeters(),
      events: {
        commitEnded: () => this.ended(),
        outOfSpace: () => {},
        fatal: (error) => {
          throw error;
        },
      },
    });
  }

  /** Publishes in turns, waits at the bound, and ends when everything is committed (and acknowledged). */
  async append(queue: BenchQueue, body: Buffer): Promise<void> {
    const { queues } = this.store;
    for (let seq = 1; seq <= ENTRIES || queue.toAcknowledge.length > 0; ) {
      for (const entry of queue.toAcknowledge) queues.remove(entry);
      queue.toAcknowledge = [];
      for (let i = 0; i < TURN && seq <= ENTRIES; i++) queues.append(newEntry(queue, seq++, body));
      this.store.seal();
      if (queues.uncommittedBytes > UNCOMMITTED_BYTES || seq > ENTRIES) await this.commitEnd();
      else await new Promise(setImmediate);
    }
    await this.store.flush();
  }

  async readBack(queueId: number): Promise<number> {
    const meta = this.store.queues.recover(queueId)!;
    let read = 0;
    for (let from = meta.floor; from < meta.nextSeq; ) {
      const range = await this.store.queues.load(queueId, from, meta.nextSeq, LOAD_ENTRIES, LOAD_BYTES);
      read += range.entries.length;
      from = range.nextSeq;
    }
    return read;
  }

  private commitEnd(): Promise<void> {
    if (this.store.uncommittedBytes === 0) return new Promise(setImmediate);
    return new Promise((resolve) => {
      this.ended = resolve;
    });
  }
}

function newEntry(queue: BenchQueue, seq: number, source: Buffer): QueueEntry {
  const bodyLength = source.length - NATIVE_BYTES;
  const message = new Message(
    'amq.topic',
    'sensors.a.temperature',
    source,
    NATIVE_BYTES,
    bodyLength,
    source,
    0,
    NATIVE_BYTES,
    NO_CODEC,
    true,
    0,
    NEVER,
    1_700_000_000_000,
  );
  message.owned = true;
  return new QueueEntry(queue as unknown as Queue, seq, message, NEVER_EXPIRES, false);
}

/** Entries a second, and microseconds of the main thread for each entry. */
async function timed(title: string, target: string, work: () => Promise<unknown>): Promise<Figure[]> {
  const cpu = process.threadCpuUsage();
  const all = process.cpuUsage();
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  const main = process.threadCpuUsage(cpu);
  const whole = process.cpuUsage(all);
  return [
    { title, value: ENTRIES / seconds, unit: 'entries/s', target },
    { title: '  main thread', value: (main.user + main.system) / ENTRIES, unit: 'µs/entry', target: '' },
    { title: '  whole process', value: (whole.user + whole.system) / ENTRIES, unit: 'µs/entry', target: '' },
  ];
}

/** What sealing costs at the end of a turn without changes to the store, as in most turns. */
async function idleSeal(): Promise<Figure> {
  const path = await mkdtemp(join(directoryGiven ?? tmpdir(), 'trivium-bench-'));
  const { store } = new Bench(path);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 10; round++) {
    const started = performance.now();
    for (let turn = 0; turn < IDLE_TURNS; turn++) store.seal();
    best = Math.min(best, ((performance.now() - started) * 1e6) / IDLE_TURNS);
  }
  await store.close();
  await rm(path, { recursive: true });
  return { title: 'seal with nothing pending', value: best, unit: 'ns/turn', target: '<= 300' };
}

async function anonymousMib(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

const figures: Figure[] = [];
for (const bytes of [200, 1024]) {
  const path = await mkdtemp(join(directoryGiven ?? tmpdir(), 'trivium-bench-'));
  const body = Buffer.alloc(bytes + NATIVE_BYTES, 'x');
  const name = `${bytes} B`;
  let bench = new Bench(path);
  const acknowledged = new BenchQueue(bench.store.queues.nextQueueId(), true);
  const backlog = new BenchQueue(bench.store.queues.nextQueueId(), false);
  // A warm-up for the compiler.
  await bench.append(new BenchQueue(bench.store.queues.nextQueueId(), true), body);
  const target = bytes === 1024 ? '>= 210000' : '';
  figures.push(
    ...(await timed(`${name}: append, commit, acknowledge`, target, () => bench.append(acknowledged, body))),
    ...(await timed(`${name}: append, commit`, target, () => bench.append(backlog, body))),
  );
  await bench.store.close();

  const before = await anonymousMib();
  const opening = performance.now();
  bench = new Bench(path);
  bench.store.queues.recover(backlog.id);
  figures.push({ title: `${name}: reopen`, value: performance.now() - opening, unit: 'ms', target: '<= 1000' });
  let read = 0;
  figures.push(
    ...(await timed(`${name}: read the backlog`, '>= 300000', async () => {
      read = await bench.readBack(backlog.id);
    })),
  );
  if (read !== ENTRIES) throw new Error(`read ${read} of ${ENTRIES}`);
  figures.push({ title: '  anonymous memory', value: (await anonymousMib()) - before, unit: 'MiB more', target: '' });
  figures.push({ title: '  on disk', value: bench.store.bytesOnDisk() / ENTRIES, unit: 'B/entry', target: '' });
  await bench.store.close();
  await rm(path, { recursive: true });
}
figures.push(await idleSeal());
printFigures(figures);
