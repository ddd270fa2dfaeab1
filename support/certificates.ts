// Certificates for tests, created by openssl in a temporary directory, so that the repository contains no keys.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Pair {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Whether openssl is installed. */
export function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A certificate authority and the certificates that it signs. `remove` deletes all of them. */
export class TestAuthority {
  readonly caFile: string;
  private readonly directory: string;
  private readonly caKeyFile: string;

  constructor(name: string) {
    this.directory = mkdtempSync(join(tmpdir(), 'trivium-tls-'));
    this.caFile = join(this.directory, 'ca.pem');
    this.caKeyFile = join(this.directory, 'ca.key');
    this.openssl('req', '-x509', ...NEW_KEY, '-subj', `/CN=${name}`, '-keyout', this.caKeyFile, '-out', this.caFile);
  }

  /** `subject` as openssl writes it: `/O=Plant/CN=device-7`. Valid for localhost and 127.0.0.1 as a server. */
  issue(subject: string, name: string): Pair {
    const keyFile = join(this.directory, `${name}.key`);
    const request = join(this.directory, `${name}.csr`);
    const certificateFile = join(this.directory, `${name}.pem`);
    const extensions = join(this.directory, `${name}.ext`);
    writeFileSync(extensions, 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    this.openssl('req', ...NEW_KEY, '-subj', subject, '-keyout', keyFile, '-out', request);
    const signer = ['-CA', this.caFile, '-CAkey', this.caKeyFile, '-CAcreateserial', '-days', '1'];
    this.openssl('x509', '-req', '-in', request, ...signer, '-extfile', extensions, '-out', certificateFile);
    return { certificateFile, keyFile };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }

  private openssl(...args: string[]): void {
    execFileSync('openssl', args, { stdio: 'pipe' });
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
