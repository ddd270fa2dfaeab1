// A SCRAM-SHA-256 client, written from RFC 5802 §3 independently of the broker's code.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

export class ScramClient {
  private readonly user: string;
  private readonly password: string;
  private readonly nonce: string;
  private readonly header: string;
  private signature: string;

  /** `header` is the GS2 header of the first message. */
  constructor(user: string, password: string, header = 'n,,') {
    this.header = header;
    this.user = user;
    this.password = password;
    this.nonce = randomBytes(12).toString('base64');
    this.signature = '';
  }

  private get bare(): string {
    return `n=${this.user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${this.nonce}`;
  }

  first(): Buffer {
    return Buffer.from(`${this.header}${this.bare}`);
  }

  /** `repeated`: the GS2 header that the final message repeats. */
  final(serverFirst: Buffer, repeated = this.header): Buffer {
    const message = serverFirst.toString();
    const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(message)!;
    const salted = pbkdf2Sync(this.password, Buffer.from(salt!, 'base64'), Number(iterations), 32, 'sha256');
    const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
    const clientKey = hmac(salted, 'Client Key');
    const storedKey = createHash('sha256').update(clientKey).digest();
    const withoutProof = `c=${Buffer.from(repeated).toString('base64')},r=${nonce}`;
    const authMessage = `${this.bare},${message},${withoutProof}`;
    const signature = hmac(storedKey, authMessage);
    this.signature = hmac(hmac(salted, 'Server Key'), authMessage).toString('base64');
    const proof = Buffer.from(clientKey.map((byte, i) => byte ^ signature[i]!));
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`);
  }

  /** Whether the server has proved that it knows the password. */
  verifies(serverFinal: Buffer): boolean {
    return serverFinal.toString() === `v=${this.signature}`;
  }
}
