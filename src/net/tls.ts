// TLS settings of a listener: which files hold certificate, key and CA, and what they become for node:tls. Reads the
// files; the listener reloads by calling it again.

import { readFile } from 'node:fs/promises';
import type { TlsOptions } from 'node:tls';

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

/** Throws an error that names the file that cannot be read. */
export async function readTls(files: TlsFiles): Promise<TlsOptions> {
  const [cert, key, ca] = await Promise.all([
    readNamed('certificate', files.certificateFile),
    readNamed('key', files.keyFile),
    files.caFile === null ? null : readNamed('CA', files.caFile),
  ]);
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
