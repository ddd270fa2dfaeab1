// Password hashes: scrypt, with its parameters stored beside each hash so that they can be raised later. The text is
// `scrypt$<log2 N>$<r>$<p>$<salt>$<hash>`, the last two in base64.

import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';

/** With a cost (the logarithm of scrypt's N) of 14: 16 MiB and 0.13 s of one thread, as OWASP recommends. */
const BLOCK_SIZE = 8;
const PARALLELISM = 5;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** No stored hash may ask for more, whatever its parameters say. */
const MEMORY_BYTES = 256 * 1024 * 1024;

/** Longer passwords are refused before anything is computed. */
export const PASSWORD_BYTES = 1024;

/** @param cost each step doubles time and memory */
export async function hashPassword(password: string, cost: number): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, HASH_BYTES, cost, BLOCK_SIZE, PARALLELISM);
  return stored(cost, salt, hash);
}

/** A hash that no password has: checking it takes as long as checking a real one. */
export function hashThatNeverMatches(cost: number): string {
  return stored(cost, Buffer.alloc(SALT_BYTES), Buffer.alloc(HASH_BYTES));
}

/** Whether `password` belongs to `record`, compared in constant time. A damaged hash matches no password. */
export async function verifyPassword(password: string, record: string): Promise<boolean> {
  const [scheme, log2N, r, p, salt, hash] = record.split('$');
  if (scheme !== 'scrypt' || salt === undefined || hash === undefined) return false;
  const expected = Buffer.from(hash, 'base64');
  if (expected.length === 0) return false;
  const actual = await derive(
    password,
    Buffer.from(salt, 'base64'),
    expected.length,
    Number(log2N),
    Number(r),
    Number(p),
  );
  return timingSafeEqual(actual, expected);
}

function stored(cost: number, salt: Buffer, hash: Buffer): string {
  return ['scrypt', cost, BLOCK_SIZE, PARALLELISM, salt.toString('base64'), hash.toString('base64')].join('$');
}

function derive(password: string, salt: Buffer, length: number, log2N: number, r: number, p: number): Promise<Buffer> {
  const options: ScryptOptions = { N: 2 ** log2N, r, p, maxmem: MEMORY_BYTES };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, options, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}
