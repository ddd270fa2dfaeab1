// The fuzzer: generates inputs from a seed, sends many at a time while the canaries exchange messages, and counts how
// deep each input got and what the broker answered. Seed and index determine an input, so a failure names them.

import type { Canary } from '../../support/canary.ts';
import type { Carrier } from './carrier.ts';
import { converse, type Leaving } from './converse.ts';
import { type Frames, mutate } from './mutate.ts';
import type { FuzzProtocol, Inspection } from './protocol.ts';
import { Random } from './random.ts';

/** Concurrent connections. */
const PARALLEL = 24;
/** Inputs for each canary exchange, which runs concurrently. */
const INPUTS_PER_EXCHANGE = 100;
const MOST_PIECES = 4;
/** Share of inputs whose client sends FIN to a waiting broker; the others reset the connection. */
const FIN_SHARE = 0.05;
/**
 * Share of mutations that keep the login unchanged: most faults are after it, and a wrong password is slow on purpose.
 */
const SHARE_AFTER_LOGIN = 0.85;

export const INPUT_KINDS = ['mutated', 'random frames', 'random bytes'] as const;
export type InputKind = (typeof INPUT_KINDS)[number];

export interface Input {
  readonly kind: InputKind;
  readonly carrier: Carrier;
  readonly frames: Frames;
  /** What is written at a time. */
  readonly pieces: readonly Buffer[];
  readonly leaving: Leaving;
}

export class Report {
  readonly kinds: Map<string, number>;
  readonly states: Map<string, number>;
  readonly errors: Map<string, number>;
  /** Inputs after which the broker closed before the client did. */
  closedFirst: number;
  inputs: number;

  constructor() {
    this.kinds = new Map();
    this.states = new Map();
    this.errors = new Map();
    this.closedFirst = 0;
    this.inputs = 0;
  }

  add(kind: InputKind, { state, error }: Inspection, closedFirst: boolean): void {
    this.inputs++;
    count(this.kinds, kind);
    count(this.states, state);
    if (error !== null) count(this.errors, error);
    if (closedFirst) this.closedFirst++;
  }

  /** Share of all inputs, from 0 to 1, that did not get beyond this state. */
  share(state: string): number {
    return (this.states.get(state) ?? 0) / this.inputs;
  }

  lines(states: readonly string[]): string[] {
    const percent = (count: number) => `${((100 * count) / this.inputs).toFixed(1)} %`;
    const list = (counts: Map<string, number>, keys: readonly string[]) =>
      keys.map((key) => `${key} ${percent(counts.get(key) ?? 0)}`).join(', ');
    const errors = [...this.errors].sort((a, b) => b[1] - a[1]).slice(0, 12);
    return [
      `${this.inputs} inputs: ${list(this.kinds, INPUT_KINDS)}`,
      `reached: ${list(this.states, states)}`,
      `the broker closed first: ${percent(this.closedFirst)}`,
      `errors: ${errors.map(([error, times]) => `${error} × ${times}`).join(', ')}`,
    ];
  }
}

/** Runs `inputs` inputs. Throws at the first whose answer violates the protocol or whose connection stays open. */
export async function fuzz(
  protocol: FuzzProtocol,
  carriers: readonly Carrier[],
  canaries: readonly Canary[],
  seed: number,
  inputs: number,
): Promise<Report> {
  const report = new Report();
  let next = 0;
  const slots = Array.from({ length: PARALLEL }, async () => {
    while (next < inputs) {
      const index = next++;
      const singing = index % INPUTS_PER_EXCHANGE === 0 ? sing(canaries) : null;
      await run(protocol, makeInput(protocol, carriers, seed, index), `seed ${seed}, input ${index}`, report);
      await singing;
    }
  });
  await Promise.all(slots);
  return report;
}

/** Sends one input and checks the answer. */
export async function run(protocol: FuzzProtocol, input: Input, name: string, report: Report): Promise<void> {
  const { carrier, frames, kind, pieces, leaving } = input;
  try {
    const answer = await converse(carrier.port, pieces, leaving);
    report.add(kind, protocol.inspect(carrier.unwrap(answer.bytes)), answer.closedFirst);
  } catch (error) {
    const hex = Buffer.concat(frames).subarray(0, 4096).toString('hex');
    throw new Error(`${protocol.name} over ${carrier.name}, ${name} (${kind}): ${(error as Error).message}\n${hex}`);
  }
}

export function makeInput(protocol: FuzzProtocol, carriers: readonly Carrier[], seed: number, index: number): Input {
  const random = new Random(Math.imul(seed, 0x9e3779b1) + index);
  const carrier = random.chance(0.8) ? carriers[0]! : random.pick(carriers);
  const kind = random.chance(0.75) ? 'mutated' : random.chance(0.7) ? 'random frames' : 'random bytes';
  const frames = makeFrames(protocol, carrier, kind, index, random);
  const pieces = inPieces(Buffer.concat(frames), random);
  return { kind, carrier, frames, pieces, leaving: random.chance(FIN_SHARE) ? 'fin' : 'reset' };
}

function makeFrames(protocol: FuzzProtocol, carrier: Carrier, kind: InputKind, index: number, random: Random): Frames {
  const conversations = protocol.conversations(index);
  const valid = random.pick(conversations);
  const login = protocol.handshakeFrames + carrier.handshakeFrames;
  switch (kind) {
    case 'mutated': {
      const from = random.chance(SHARE_AFTER_LOGIN) ? login : 0;
      const donor = carrier.wrap(random.pick(conversations));
      // Mutates inside the WebSocket messages or the frames themselves, to reach both parsers.
      const inside = carrier.handshakeFrames === 0 || random.chance(0.5);
      return inside
        ? carrier.wrap(
            mutate(
              valid,
              from === 0 ? 0 : protocol.handshakeFrames,
              random.pick(conversations),
              protocol.lengthField,
              random,
            ),
          )
        : mutate(carrier.wrap(valid), from, donor, () => null, random);
    }
    case 'random frames': {
      const garbage = Array.from({ length: 1 + random.int(6) }, () => protocol.randomFrame(random));
      const head = valid.slice(0, protocol.handshakeFrames + random.int(valid.length - protocol.handshakeFrames));
      return carrier.wrap([...head, ...garbage]);
    }
    case 'random bytes': {
      const head = random.chance(0.3) ? carrier.wrap(valid.slice(0, random.int(valid.length))) : [];
      return [...head, random.bytes(1 + random.int(300))];
    }
    default:
      return kind satisfies never;
  }
}

/** In one write, or split anywhere, as the network may split it. */
function inPieces(bytes: Buffer, random: Random): Buffer[] {
  if (random.chance(0.6)) return [bytes];
  const cuts = Array.from({ length: random.int(MOST_PIECES) }, () => random.int(bytes.length + 1)).sort(
    (a, b) => a - b,
  );
  return [0, ...cuts].map((cut, i) => bytes.subarray(cut, cuts[i] ?? bytes.length));
}

async function sing(canaries: readonly Canary[]): Promise<void> {
  await Promise.all(canaries.map((canary) => singAlone(canary)));
}

/** One exchange of a canary at a time; concurrent callers wait for their turn. */
const turns = new WeakMap<Canary, Promise<void>>();
function singAlone(canary: Canary): Promise<void> {
  const turn = (turns.get(canary) ?? Promise.resolve()).then(() => canary.exchange());
  turns.set(canary, turn);
  return turn;
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
