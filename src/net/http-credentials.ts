// User names and passwords in the headers of an HTTP request: Basic authentication (RFC 7617), and the same text in a
// cookie, which is what a page can be given by whoever let its visitor in. The management API and WebSocket upgrades
// read them here.

import type { IncomingHttpHeaders } from 'node:http';

export interface HttpCredentials {
  readonly user: string;
  readonly password: string;
}

/** Which headers of a WebSocket upgrade may log its client in. */
export interface CredentialRules {
  /** `Authorization: Basic …`. */
  readonly basic: boolean;
  /** The name of a cookie that holds what stands behind `Basic`; null: none does. */
  readonly cookie: string | null;
}

/** What the request's headers say by these rules, or null. Where both say something, Basic counts. */
export function credentialsOf(headers: IncomingHttpHeaders, rules: CredentialRules): HttpCredentials | null {
  const basic = rules.basic ? basicCredentials(headers.authorization) : null;
  if (basic !== null || rules.cookie === null) return basic;
  const value = cookie(headers.cookie, rules.cookie);
  return value === null ? null : userAndPassword(value);
}

/** RFC 7617: `Basic ` and base64 of `user:password`; the user name has no colon. */
export function basicCredentials(header: string | undefined): HttpCredentials | null {
  const match = /^basic +(\S+) *$/i.exec(header ?? '');
  return match === null ? null : userAndPassword(match[1]!);
}

/** Base64 in its usual letters, or in those that are safe in a URL. */
function userAndPassword(encoded: string): HttpCredentials | null {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded)) return null;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? null : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** RFC 6265 §4.2.1: `name=value; name=value`, a value perhaps in quotes. The first of that name. */
function cookie(header: string | undefined, name: string): string | null {
  for (const pair of (header ?? '').split(';')) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    return pair
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1');
  }
  return null;
}
