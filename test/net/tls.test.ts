// Protects that an error in a TLS file is reported with the file's name, before a listener uses it.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { readTls, type TlsFiles } from '../../src/net/tls.ts';
import { hasOpenssl, TestAuthority } from '../../support/certificates.ts';

describe('TLS files', { skip: hasOpenssl() ? false : 'openssl is not installed' }, () => {
  let authority: TestAuthority;
  let good: TlsFiles;

  before(() => {
    authority = new TestAuthority('Test CA');
    const pair = authority.issue('/CN=server', 'server');
    good = { ...pair, caFile: authority.caFile, requireClientCertificate: true };
  });

  after(() => authority.remove());

  it('become the settings of a server', async () => {
    const mutual = await readTls(good);
    assert.deepEqual([mutual.requestCert, mutual.rejectUnauthorized], [true, true]);
    const plain = await readTls({ ...good, caFile: null });
    assert.deepEqual([plain.requestCert, plain.rejectUnauthorized, plain.ca], [false, false, undefined]);
  });

  it('that are missing or invalid are named in the error', async () => {
    const other = authority.issue('/CN=other', 'other');
    const junk = `${other.certificateFile}.junk`;
    writeFileSync(junk, 'no certificate');
    const cases: [Partial<TlsFiles>, string][] = [
      [{ certificateFile: '/nowhere/a.pem' }, 'cannot read the TLS certificate file /nowhere/a.pem: '],
      [{ keyFile: '/nowhere/a.key' }, 'cannot read the TLS key file /nowhere/a.key: '],
      [{ certificateFile: junk }, `cannot use the TLS certificate file ${junk}: `],
      [{ keyFile: junk }, `cannot use the TLS key file ${junk}: `],
      [{ caFile: junk }, `cannot use the TLS CA file ${junk}: `],
      [
        { keyFile: other.keyFile },
        `cannot use the TLS key file ${other.keyFile} with the certificate file ${good.certificateFile}: `,
      ],
    ];
    for (const [files, message] of cases) {
      await assert.rejects(readTls({ ...good, ...files }), (error: Error) => {
        assert.ok(error.message.startsWith(message), error.message);
        return true;
      });
    }
  });
});
