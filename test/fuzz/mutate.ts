// Damages a valid conversation as faulty and hostile peers do. A conversation is a list of frames; the result is again
// a list, so that mutations can be combined.

import type { Random } from './random.ts';

export type Frames = readonly Buffer[];

/** The position of a frame's length field: offset and number of bytes. */
export type LengthField = (frame: Buffer) => { readonly offset: number; readonly bytes: number } | null;

const MUTATIONS = [
  'flipBits',
  'overwrite',
  'changeLength',
  'truncateFrame',
  'truncateRest',
  'insertBytes',
  'insertFrame',
  'duplicate',
  'reorder',
  'drop',
  'splice',
  'grow',
] as const;
type Mutation = (typeof MUTATIONS)[number];

/** Numbers at which length arithmetic overflows or wraps. */
const INTERESTING = [0, 1, 2, 7, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff];
const MOST_INSERTED = 64;
const MOST_GROWN = 70_000;

/** One to four mutations. `donor` is another conversation to splice from; frames before `from` are unchanged. */
export function mutate(frames: Frames, from: number, donor: Frames, lengthField: LengthField, random: Random): Frames {
  let result = frames;
  do result = apply(random.pick(MUTATIONS), result, Math.min(from, result.length - 1), donor, lengthField, random);
  while (random.chance(0.4) && result.length > 0);
  return result;
}

function apply(
  mutation: Mutation,
  frames: Frames,
  from: number,
  donor: Frames,
  lengthField: LengthField,
  random: Random,
): Frames {
  if (frames.length === 0) return [random.bytes(8)];
  const at = from + random.int(frames.length - from);
  const frame = frames[at]!;
  switch (mutation) {
    case 'flipBits': {
      const copy = Buffer.from(frame);
      for (let flips = 1 + random.int(4); flips > 0 && copy.length > 0; flips--) {
        copy[random.int(copy.length)]! ^= 1 << random.int(8);
      }
      return frames.with(at, copy);
    }
    case 'overwrite': {
      const copy = Buffer.from(frame);
      const width = random.pick([1, 2, 4]);
      if (copy.length >= width) write(copy, random.int(copy.length - width + 1), width, random.pick(INTERESTING));
      return frames.with(at, copy);
    }
    case 'changeLength': {
      const field = lengthField(frame);
      if (field === null) return frames.with(at, Buffer.concat([frame, random.bytes(1)]));
      const copy = Buffer.from(frame);
      const near = random.pick([-2, -1, 1, 2, 100]);
      const value = random.chance(0.5) ? random.pick(INTERESTING) : read(copy, field.offset, field.bytes) + near;
      write(copy, field.offset, field.bytes, value);
      return frames.with(at, copy);
    }
    case 'truncateFrame':
      return frames.with(at, frame.subarray(0, random.int(frame.length + 1)));
    case 'truncateRest':
      return [...frames.slice(0, at), frame.subarray(0, random.int(frame.length + 1))];
    case 'insertBytes': {
      const cut = random.int(frame.length + 1);
      const bytes = random.bytes(1 + random.int(MOST_INSERTED));
      return frames.with(at, Buffer.concat([frame.subarray(0, cut), bytes, frame.subarray(cut)]));
    }
    case 'insertFrame':
      return frames.toSpliced(at, 0, random.bytes(1 + random.int(MOST_INSERTED)));
    case 'duplicate':
      return frames.toSpliced(at, 0, ...Array.from({ length: 1 + random.int(4) }, () => frame));
    case 'reorder': {
      const other = from + random.int(frames.length - from);
      return frames.with(at, frames[other]!).with(other, frame);
    }
    case 'drop':
      return frames.toSpliced(at, 1);
    case 'splice': {
      const start = random.int(donor.length);
      return [...frames.slice(0, at), ...donor.slice(start, start + 1 + random.int(4)), ...frames.slice(at)];
    }
    case 'grow': {
      const cut = random.int(frame.length + 1);
      const filler = Buffer.alloc(1 + random.int(MOST_GROWN), random.next() & 0xff);
      return frames.with(at, Buffer.concat([frame.subarray(0, cut), filler, frame.subarray(cut)]));
    }
    default:
      return mutation satisfies never;
  }
}

function read(bytes: Buffer, offset: number, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + bytes[offset + i]!;
  return value;
}

function write(bytes: Buffer, offset: number, width: number, value: number): void {
  for (let i = width - 1, rest = value >>> 0; i >= 0; i--, rest = Math.floor(rest / 256))
    bytes[offset + i] = rest & 0xff;
}
