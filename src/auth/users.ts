// The users: password hashes and tags, stored as definitions of kind `user`, and the check of a password.
//
// scrypt is slow on purpose, and a fleet that reconnects must not pay for it each time. So the last verified password
// of each user is remembered as an HMAC under a key that exists only in this process: a reconnect costs microseconds,
// and no password can be read from memory.

import { createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import { BrokerError } from '../core/errors.ts';
import type { LoginOrigin } from '../core/ports/authorization.ts';
import type { DefinitionStore } from '../core/ports/definitions.ts';
import { type LimitHits, newLimitHits } from '../core/ports/limit-hits.ts';
import { Gate, REFUSED } from './gate.ts';
import { hashPassword, hashThatNeverMatches, PASSWORD_BYTES, verifyPassword } from './password-hash.ts';
import { type ScramVerifier, scramVerifier } from './scram.ts';

/** Tags that the management API knows, as in RabbitMQ. Other tags are stored without a meaning. */
export const TAGS = ['administrator', 'monitoring', 'policymaker', 'management'] as const;

export interface User {
  readonly name: string;
  readonly tags: readonly string[];
}

export interface UserLimits {
  /** Hashes that are computed at a time. */
  readonly passwordHashes: number;
  /** Logins that may wait for a hash before more are refused. */
  readonly passwordQueue: number;
  /** Those of one address. */
  readonly passwordQueuePerAddress: number;
  /** Cost of new hashes, the logarithm of scrypt's N: each step doubles time and memory. */
  readonly passwordCost: number;
}

/** `busy`: too many logins wait; `gone`: the connection has ended meanwhile. */
export const VERDICT = { accepted: 'accepted', wrong: 'wrong', busy: 'busy', gone: 'gone' } as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

const NAME_BYTES = 255;
const TAGS_PER_USER = 64;

interface Account extends User {
  readonly hash: string;
  /** Null: the password was set by a version without SCRAM. */
  readonly scram: ScramVerifier | null;
}

/** A password check in progress, with the logins that wait for it. */
interface Check {
  readonly origins: LoginOrigin[];
  readonly verdict: Promise<Verdict>;
}

export class Users {
  private readonly definitions: DefinitionStore;
  private readonly accounts: Map<string, Account>;
  private readonly gate: Gate;
  private readonly cost: number;
  private readonly limitHits: LimitHits;
  /** A KeyObject: with a buffer each digest would create one, which is four fifths of its 25 µs. */
  private readonly key: KeyObject;
  /** The HMAC of the last verified password, by user. */
  private readonly verified: Map<string, Buffer>;
  /** Checks in progress, by address, user and HMAC: many logins with one password cost one hash. */
  private readonly checking: Map<string, Check>;

  constructor(definitions: DefinitionStore, limits: UserLimits, limitHits: LimitHits = newLimitHits()) {
    this.definitions = definitions;
    this.accounts = new Map();
    this.gate = new Gate(limits.passwordHashes, limits.passwordQueue, limits.passwordQueuePerAddress);
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
   * Creates the user, or replaces password and tags. In force at once; durable with the store's next commit.
   *
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

  /** True if there was such a user. The caller removes its permissions. */
  remove(name: string): boolean {
    if (!this.accounts.delete(name)) return false;
    this.verified.delete(name);
    this.definitions.remove('user', [name]);
    return true;
  }

  /** Whether the password is correct. Checking an unknown user takes as long as a known one. */
  async verify(name: string, password: string, origin: LoginOrigin): Promise<Verdict> {
    if (Buffer.byteLength(password) > PASSWORD_BYTES) return VERDICT.wrong;
    const account = this.accounts.get(name);
    const digest = this.digest(password);
    const known = this.verified.get(name);
    if (known !== undefined && timingSafeEqual(known, digest)) return VERDICT.accepted;
    const id = `${digest.toString('base64')} ${origin.address} ${name}`;
    const running = this.checking.get(id);
    if (running !== undefined) {
      running.origins.push(origin);
      return running.verdict;
    }
    const origins = [origin];
    const verdict = this.check(account ?? null, name, password, digest, origins);
    this.checking.set(id, { origins, verdict });
    const done = (): void => void this.checking.delete(id);
    verdict.then(done, done);
    return verdict;
  }

  /** The SCRAM verifier of a user; `unknown`: no such user; null: the password was set by a version without SCRAM. */
  scram(name: string): ScramVerifier | null | 'unknown' {
    const account = this.accounts.get(name);
    return account === undefined ? 'unknown' : account.scram;
  }

  private digest(password: string): Buffer {
    return createHmac('sha256', this.key).update(password).digest();
  }

  private async check(
    account: Account | null,
    user: string,
    password: string,
    digest: Buffer,
    origins: readonly LoginOrigin[],
  ): Promise<Verdict> {
    const applicant = { user, address: origins[0]!.address, gone: () => origins.every(({ gone }) => gone) };
    const matches = await this.gate.pass(applicant, () =>
      verifyPassword(password, account?.hash ?? hashThatNeverMatches(this.cost)),
    );
    if (matches === REFUSED.gone) return VERDICT.gone;
    if (matches === REFUSED.full || matches === REFUSED.addressFull) {
      this.limitHits[matches === REFUSED.full ? 'limits.passwordQueue' : 'limits.passwordQueuePerAddress']++;
      return VERDICT.busy;
    }
    if (!matches || account === null) return VERDICT.wrong;
    // The user may have been changed or removed while the hash was computed.
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
