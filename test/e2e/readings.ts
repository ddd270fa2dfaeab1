// The readings that the test's devices publish, from the committed readings.csv (columns time, device, metric, value;
// ordered by time). Run as a program, this file regenerates the CSV from its seed.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Random } from '../sim/random.ts';

const CSV = fileURLToPath(new URL('readings.csv', import.meta.url));
const HEAD = 'time,device,metric,value';
const SEED = 20260301;
const STEPS = 250;
const STEP_MS = 5 * 60_000;
const START = Date.parse('2026-03-01T00:00:00Z');

export interface Reading {
  readonly topic: string;
  readonly device: string;
  readonly metric: string;
  readonly value: number;
  /** The payload; unique within a topic. */
  readonly body: string;
}

/** All readings, in the order of the file. */
export function readings(): Reading[] {
  const [head, ...rows] = readFileSync(CSV, 'utf8').trimEnd().split('\n');
  if (head !== HEAD) throw new Error(`readings.csv begins with '${head}'`);
  return rows.map((row) => {
    const [time, device, metric, value] = row.split(',');
    const body = JSON.stringify({ time, value: Number(value) });
    return { topic: `sensors/${device}/${metric}`, device: device!, metric: metric!, value: Number(value), body };
  });
}

/** Level at night, and the amplitude over the day. */
const DEVICES: Readonly<Record<string, Readonly<Record<string, readonly [number, number]>>>> = {
  oven: { temperature: [178, 12], humidity: [8, 2], voltage: [229, 3] },
  cellar: { temperature: [11.5, 0.8], humidity: [71, 4], voltage: [3.6, 0.1] },
  greenhouse: { temperature: [9, 17], humidity: [88, -30], voltage: [3.5, 0.4] },
  roof: { temperature: [2, 9], humidity: [80, -25], voltage: [3.2, 0.7] },
};

/** Each metric follows the day and adds a random walk. */
function generate(): string {
  const random = new Random(SEED);
  const wander = new Map<string, number>();
  const rows = [HEAD];
  for (let step = 0; step < STEPS; step++) {
    const at = START + step * STEP_MS;
    const sun = Math.max(0, Math.sin(((at - START) / 86_400_000 - 0.25) * 2 * Math.PI));
    for (const [device, metrics] of Object.entries(DEVICES)) {
      for (const [metric, [night, day]] of Object.entries(metrics)) {
        const name = `${device}.${metric}`;
        const drift = 0.9 * (wander.get(name) ?? 0) + (random.next() - 0.5) * Math.abs(day) * 0.2;
        wander.set(name, drift);
        rows.push(`${new Date(at).toISOString()},${device},${metric},${(night + day * sun + drift).toFixed(2)}`);
      }
    }
  }
  return `${rows.join('\n')}\n`;
}

if (import.meta.main) writeFileSync(CSV, generate());
