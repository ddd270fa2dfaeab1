// TLS settings of the listeners: which files hold certificate, key and CA, and what they become for node:tls. Reads and
// checks the files, at the start and again for each reload; what is wrong with one is told with its name.

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions, type TlsOptions } from 'node:tls';

/** The oldest protocol version that is accepted. */
const MIN_VERSION = 'TLSv1.2';
/** A client that has not finished its handshake by then is disconnected. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface TlsFiles {
  /** The server's certificate and its intermediate certificates, PEM. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** The CA that must have signed client certificates, PEM; null: clients need none. */
  readonly caFile: string | null;
  /**
   * With a CA: whether a client without a valid certificate is refused in the handshake. False asks for one and lets
   * the front-end decide by `transport.clientCertificate`.
   */
  readonly requireClientCertificate: boolean;
}

/** What the files hold, and how connections are made with it. */
export type TlsSettings = TlsOptions & SecureContextOptions;

/** Throws an error that names the file which cannot be read or used. */
export async function readTls(files: TlsFiles): Promise<TlsSettings> {
  const [cert, key, ca] = await Promise.all([
    readNamed('certificate', files.certificateFile),
    readNamed('key', files.keyFile),
    files.caFile === null ? null : readNamed('CA', files.caFile),
  ]);
  check(`the TLS certificate file ${files.certificateFile}`, () => createSecureContext({ cert }));
  check(`the TLS key file ${files.keyFile}`, () => createSecureContext({ key }));
  const pair = `the TLS key file ${files.keyFile} with the certificate file ${files.certificateFile}`;
  check(pair, () => createSecureContext({ cert, key }));
  // A secure context ignores a CA that is no certificate.
  if (ca !== null) check(`the TLS CA file ${files.caFile}`, () => new X509Certificate(ca));
  return {
    cert,
    key,
    minVersion: MIN_VERSION,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    requestCert: ca !== null,
    rejectUnauthorized: ca !== null && files.requireClientCertificate,
    ...(ca === null ? {} : { ca }),
  };
}

async function readNamed(what: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new Error(`cannot read the TLS ${what} file ${path}: ${(cause as Error).message}`, { cause });
  }
}

function check(what: string, use: () => unknown): void {
  try {
    use();
  } catch (cause) {
    throw new Error(`cannot use ${what}: ${(cause as Error).message}`, { cause });
  }
}
