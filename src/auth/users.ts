// The users: their password hashes and tags, kept as definitions of kind `user`, and the check of a password.
//
// A password is hashed with scrypt, which is slow on purpose; a fleet that reconnects must not pay for it again. So
// the last password that was verified for each user is remembered as an HMAC under a key that lives as long as the
// process: a reconnect costs microseconds, and the memory holds nothing from which a password could be read.

import { createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import { BrokerError } from '../core/errors.ts';
import type { DefinitionStore } from '../core/ports/definitions.ts';
import { type LimitHits, newLimitHits } from '../core/ports/limit-hits.ts';
import { Gate } from './gate.ts';
import { hashOfNobody, hashPassword, PASSWORD_BYTES, verifyPassword } from './password-hash.ts';
import { type ScramVerifier, scramVerifier } from './scram.ts';

/** Tags that the management API knows, as in RabbitMQ. Others are kept and mean nothing to the broker. */
export const TAGS = ['administrator', 'monitoring', 'policymaker', 'management'] as const;

export interface User {
  readonly name: string;
  readonly tags: readonly string[];
}

export interface UserLimits {
  /** Hashes that are computed at a time. */
  readonly passwordHashes: number;
  /** Logins that wait for one before more are refused. */
  readonly passwordQueue: number;
  /** Cost of new hashes, the logarithm of scrypt's N: each step doubles time and memory. */
  readonly passwordCost: number;
}

export const VERDICT = { accepted: 'accepted', wrong: 'wrong', busy: 'busy' } as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

const NAME_BYTES = 255;
const TAGS_PER_USER = 64;

interface Account extends User {
  readonly hash: string;
  /** Null: the password was set before there was one. */
  readonly scram: ScramVerifier | null;
}

export class Users {
  private readonly definitions: DefinitionStore;
  private readonly accounts: Map<string, Account>;
  private readonly gate: Gate;
  private readonly cost: number;
  private readonly limitHits: LimitHits;
  /** As a key object: from a buffer each digest would make one, which is four fifths of its 25 µs. */
  private readonly key: KeyObject;
  /** The HMAC of the last password that was verified, by user. */
  private readonly verified: Map<string, Buffer>;
  /** Checks that are under way, by user and HMAC: a storm with one password is one hash. */
  private readonly checking: Map<string, Promise<Verdict>>;

  constructor(definitions: DefinitionStore, limits: UserLimits, limitHits: LimitHits = newLimitHits()) {
    this.definitions = definitions;
    this.accounts = new Map();
    this.gate = new Gate(limits.passwordHashes, limits.passwordQueue);
    this.cost = limits.passwordCost;
    this.limitHits = limitHits;
    this.key = createSecretKey(randomBytes(32));
    this.verified = new Map();
    this.checking = new Map();
    for (const { name, value } of definitions.all('user')) this.accounts.set(name[0]!, accountOf(name[0]!, value));
  }

  get size(): number {
    return this.accounts.size;
  }

  get(name: string): User | null {
    return this.accounts.get(name) ?? null;
  }

  /** Every user, without its hash. */
  *list(): IterableIterator<User> {
    for (const { name, tags } of this.accounts.values()) yield { name, tags };
  }

  /**
   * Makes the user or replaces password and tags. In force at once; durable with the store's next commit.
   * @throws BrokerError invalid-argument
   */
  async put(name: string, password: string, tags: readonly string[]): Promise<void> {
    checkName(name);
    if (tags.length > TAGS_PER_USER) throw new BrokerError('limit-exceeded', `more than ${TAGS_PER_USER} tags`);
    if (password.length === 0 || Buffer.byteLength(password) > PASSWORD_BYTES) {
      throw new BrokerError('invalid-argument', `a password has 1 to ${PASSWORD_BYTES} bytes`);
    }
    const [hash, scram] = await Promise.all([hashPassword(password, this.cost), scramVerifier(password)]);
    const account = Object.freeze({ name, tags: Object.freeze([...tags]), hash, scram });
    this.accounts.set(name, account);
    this.verified.set(name, this.digest(password));
    this.definitions.put('user', [name], { hash, tags: account.tags, scram });
  }

  /** Whether there was such a user. Its permissions are their owner's to remove. */
  remove(name: string): boolean {
    if (!this.accounts.delete(name)) return false;
    this.verified.delete(name);
    this.definitions.remove('user', [name]);
    return true;
  }

  /** Whether the password is that user's. Unknown users take as long as known ones. */
  async verify(name: string, password: string): Promise<Verdict> {
    if (Buffer.byteLength(password) > PASSWORD_BYTES) return VERDICT.wrong;
    const account = this.accounts.get(name);
    const digest = this.digest(password);
    const known = this.verified.get(name);
    if (known !== undefined && timingSafeEqual(known, digest)) return VERDICT.accepted;
    const id = `${digest.toString('base64')} ${name}`;
    let check = this.checking.get(id);
    if (check === undefined) {
      check = this.check(account ?? null, password, digest);
      this.checking.set(id, check);
      const done = (): void => void this.checking.delete(id);
      check.then(done, done);
    }
    return check;
  }

  /** What SCRAM checks a password of this user with; `unknown`: no such user, null: its password is older than that. */
  scram(name: string): ScramVerifier | null | 'unknown' {
    const account = this.accounts.get(name);
    return account === undefined ? 'unknown' : account.scram;
  }

  private digest(password: string): Buffer {
    return createHmac('sha256', this.key).update(password).digest();
  }

  private async check(account: Account | null, password: string, digest: Buffer): Promise<Verdict> {
    const matches = await this.gate.pass(() => verifyPassword(password, account?.hash ?? hashOfNobody(this.cost)));
    if (matches === null) {
      this.limitHits['limits.passwordQueue']++;
      return VERDICT.busy;
    }
    if (!matches || account === null) return VERDICT.wrong;
    // The user may have been changed or removed while its old password was being checked.
    if (this.accounts.get(account.name) !== account) return VERDICT.wrong;
    this.verified.set(account.name, digest);
    return VERDICT.accepted;
  }
}

function checkName(name: string): void {
  if (name.length === 0 || Buffer.byteLength(name) > NAME_BYTES) {
    throw new BrokerError('invalid-argument', `a user name has 1 to ${NAME_BYTES} bytes`);
  }
}

function accountOf(name: string, value: Readonly<Record<string, unknown>>): Account {
  const scram = (value.scram as ScramVerifier | undefined) ?? null;
  return Object.freeze({ name, tags: Object.freeze([...(value.tags as string[])]), hash: value.hash as string, scram });
}
