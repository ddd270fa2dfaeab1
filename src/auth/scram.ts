// SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: the client proves that it knows the password without sending
// it, and the broker proves that it has a verifier of it. The verifier is created when the password is set; it cannot
// be derived from the scrypt hash that checks plain logins.
//
//   client first   n,,n=USER,r=NONCE                 server first   r=NONCE+OURS,s=SALT,i=ITERATIONS
//   client final   c=biws,r=NONCE+OURS,p=PROOF       server final   v=SIGNATURE
//
// Channel binding is not offered, nor acting for another user (`n,a=OTHER,`). For an unknown user the exchange runs to
// its end, as for a known one.

import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { AuthenticationExchange, ExchangeStep, Identity } from '../core/ports/authorization.ts';

export const SCRAM_METHOD = 'SCRAM-SHA-256';

/** RFC 7677 requires at least 4,096. */
const ITERATIONS = 8192;
const SALT_BYTES = 16;
const KEY_BYTES = 32;
const NONCE_BYTES = 18;
/** Longer messages are refused before they are read. */
const MESSAGE_BYTES = 4096;

/** Texts in base64: what is stored of a password. */
export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: string;
  readonly storedKey: string;
  readonly serverKey: string;
}

const derive = promisify(pbkdf2);

export async function scramVerifier(password: string): Promise<ScramVerifier> {
  const salt = randomBytes(SALT_BYTES);
  const salted = await derive(password.normalize('NFKC'), salt, ITERATIONS, KEY_BYTES, 'sha256');
  return {
    iterations: ITERATIONS,
    salt: salt.toString('base64'),
    storedKey: sha256(hmac(salted, 'Client Key')).toString('base64'),
    serverKey: hmac(salted, 'Server Key').toString('base64'),
  };
}

/** Key from which the salts of unknown users are derived: each name always gets the same salt. */
const NOBODY_KEY = randomBytes(KEY_BYTES);

type Lookup = (user: string) => ScramVerifier | null | 'unknown';
type Admission = (user: string) => Identity | { readonly refused: string };

export class ScramExchange implements AuthenticationExchange {
  private readonly lookup: Lookup;
  private readonly admit: Admission;
  private user: string;
  /** The client's GS2 header, which its final message repeats. */
  private header: string;
  private verifier: ScramVerifier | null;
  private clientFirst: string;
  private serverFirst: string;
  private nonce: string;
  private stage: 'first' | 'final' | 'over';

  /** `lookup` finds verifiers; `admit` decides whether a user who proved the password may log in. */
  constructor(lookup: Lookup, admit: Admission) {
    this.lookup = lookup;
    this.admit = admit;
    this.user = '';
    this.header = '';
    this.verifier = null;
    this.clientFirst = '';
    this.serverFirst = '';
    this.nonce = '';
    this.stage = 'first';
  }

  async step(data: Buffer): Promise<ExchangeStep> {
    if (data.length > MESSAGE_BYTES) return this.refuse('a message that is too long');
    const message = data.toString('utf8');
    switch (this.stage) {
      case 'first':
        return this.first(message);
      case 'final':
        return this.final(message);
      case 'over':
        return this.refuse('a message after the end of the exchange');
      default:
        return this.stage satisfies never;
    }
  }

  private first(message: string): ExchangeStep {
    const found = /^([ny],(?:a=([^,]*))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/s.exec(message);
    if (found === null) return this.refuse('not a client-first message');
    this.header = found[1]!;
    this.user = nameOf(found[4]!);
    if (found[2] !== undefined && nameOf(found[2]) !== this.user) {
      return this.refuse(`user '${this.user}' wants to act as '${nameOf(found[2])}'`);
    }
    this.clientFirst = found[3]!;
    const known = this.lookup(this.user);
    if (known === null) return this.refuse(`user '${this.user}' has a password without a verifier: set it again`);
    this.verifier = known === 'unknown' ? null : known;
    const salt = this.verifier?.salt ?? hmac(NOBODY_KEY, this.user).subarray(0, SALT_BYTES).toString('base64');
    this.nonce = found[5]! + randomBytes(NONCE_BYTES).toString('base64');
    this.serverFirst = `r=${this.nonce},s=${salt},i=${this.verifier?.iterations ?? ITERATIONS}`;
    this.stage = 'final';
    return { data: Buffer.from(this.serverFirst), identity: null };
  }

  private final(message: string): ExchangeStep {
    const found = /^(c=([A-Za-z0-9+/=]+),r=([^,]+)(?:,[^p].*)?),p=([A-Za-z0-9+/=]+)$/s.exec(message);
    if (found === null) return this.refuse('not a client-final message');
    // RFC 5802 §7: the server compares the header, so that it cannot be changed on the way.
    if (found[2] !== Buffer.from(this.header).toString('base64')) {
      return this.refuse('a channel binding that is not that of the first message');
    }
    if (found[3] !== this.nonce) return this.refuse('another nonce');
    const { verifier } = this;
    if (verifier === null) return this.refuse(`unknown user '${this.user}' or wrong password`);
    const authMessage = `${this.clientFirst},${this.serverFirst},${found[1]}`;
    const storedKey = Buffer.from(verifier.storedKey, 'base64');
    const signature = hmac(storedKey, authMessage);
    const proof = Buffer.from(found[4]!, 'base64');
    if (proof.length !== signature.length) return this.refuse('a proof of the wrong length');
    for (let i = 0; i < proof.length; i++) proof[i]! ^= signature[i]!;
    if (!timingSafeEqual(sha256(proof), storedKey)) {
      return this.refuse(`unknown user '${this.user}' or wrong password`);
    }
    this.stage = 'over';
    const identity = this.admit(this.user);
    if ('refused' in identity) return identity;
    const answer = hmac(Buffer.from(verifier.serverKey, 'base64'), authMessage).toString('base64');
    return { data: Buffer.from(`v=${answer}`), identity };
  }

  private refuse(why: string): ExchangeStep {
    this.stage = 'over';
    return { refused: why };
  }
}

/** Unescapes the commas and equals signs of a name. */
function nameOf(escaped: string): string {
  return escaped.replace(/=2C/g, ',').replace(/=3D/g, '=');
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function sha256(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}
