// The client of SCRAM-SHA-256 (RFC 5802, RFC 7677), the authentication method that the specification of MQTT 5.0 takes for
// its examples (§4.12).

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

const HASH = 'sha256';
const KEY_BYTES = 32;
/** `n,,`: no channel binding. */
const NO_BINDING = 'n,,';

export class ScramClient {
  private readonly user: string;
  private readonly password: string;
  private readonly nonce: string;
  /** The server's proof, as the client knows it must be; empty before `final`. */
  private expected: string;

  constructor(user: string, password: string) {
    this.user = user.replaceAll('=', '=3D').replaceAll(',', '=2C');
    this.password = password;
    this.nonce = randomBytes(18).toString('base64');
    this.expected = '';
  }

  /** The first message. */
  first(): Buffer {
    return Buffer.from(NO_BINDING + this.bare());
  }

  /** The answer to the challenge of the server. */
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

  /** Whether the server has proved that it knows the password too. */
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

/** `a=1,b=2` by name. */
function fieldsOf(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((field) => [field[0]!, field.slice(2)]));
}
