// A SCRAM-SHA-256 client (RFC 5802, RFC 7677): the authentication method in the examples of MQTT 5.0 (§4.12).

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

const HASH = 'sha256';
const KEY_BYTES = 32;
/** `n,,`: no channel binding. */
const NO_BINDING = 'n,,';

export class ScramClient {
  private readonly user: string;
  private readonly password: string;
  private readonly nonce: string;
  /** The expected proof of the server; empty before `final`. */
  private expected: string;

  constructor(user: string, password: string) {
    this.user = user.replaceAll('=', '=3D').replaceAll(',', '=2C');
    this.password = password;
    this.nonce = randomBytes(18).toString('base64');
    this.expected = '';
  }

  /** The client's first message. */
  first(): Buffer {
    return Buffer.from(NO_BINDING + this.bare());
  }

  /** The client's final message, which answers the server's challenge. */
  final(challenge: Uint8Array): Buffer {
    const text = Buffer.from(challenge).toString();
    const { r: nonce = '', s: salt = '', i: iterations = '' } = fieldsOf(text);
    if (!nonce.startsWith(this.nonce)) throw new Error(`the challenge has another nonce: ${text}`);
    const salted = pbkdf2Sync(this.password, Buffer.from(salt, 'base64'), Number(iterations), KEY_BYTES, HASH);
    const without = `c=${Buffer.from(NO_BINDING).toString('base64')},r=${nonce}`;
    const message = `${this.bare()},${text},${without}`;
    const clientKey = hmac(salted, 'Client Key');
    const signature = hmac(createHash(HASH).update(clientKey).digest(), message);
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ signature[at]!));
    this.expected = `v=${hmac(hmac(salted, 'Server Key'), message).toString('base64')}`;
    return Buffer.from(`${without},p=${proof.toString('base64')}`);
  }

  /** Whether `data` proves that the server knows the password. */
  isProof(data: Uint8Array | undefined): boolean {
    return data !== undefined && Buffer.from(data).toString() === this.expected;
  }

  private bare(): string {
    return `n=${this.user},r=${this.nonce}`;
  }
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac(HASH, key).update(text).digest();
}

/** Parses `a=1,b=2` into fields by name. */
function fieldsOf(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((field) => [field[0]!, field.slice(2)]));
}
