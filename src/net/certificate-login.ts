// The user that a verified TLS certificate names, for protocols that accept it as a login.

import type { ClientCertificate } from './transport.ts';

/** Which part of a verified client certificate is the user name, as RabbitMQ's `ssl_cert_login_from`. */
export const CERTIFICATE_LOGINS = ['common_name', 'distinguished_name', 'off'] as const;
export type CertificateLogin = (typeof CERTIFICATE_LOGINS)[number];

/** The user that a verified certificate names, or null. */
export function certificateUser(certificate: ClientCertificate | null, login: CertificateLogin): string | null {
  if (certificate === null) return null;
  switch (login) {
    case 'common_name':
      return certificate.commonName === '' ? null : certificate.commonName;
    case 'distinguished_name':
      return certificate.subject === '' ? null : certificate.subject;
    case 'off':
      return null;
    default:
      return login satisfies never;
  }
}
