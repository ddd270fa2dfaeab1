// User names and passwords in the headers of an HTTP request: Basic authentication (RFC 7617), or the same text in a
// cookie, which a web application can set for its users. The management API and WebSocket upgrades use it.

import type { IncomingHttpHeaders } from 'node:http';

export interface HttpCredentials {
  readonly user: string;
  readonly password: string;
}

/** Which headers of a WebSocket upgrade may log its client in. */
export interface CredentialRules {
  /** `Authorization: Basic …`. */
  readonly basic: boolean;
  /** Name of a cookie whose value has the form of the text after `Basic`; null: no cookie is read. */
  readonly cookie: string | null;
}

/** The credentials of the request by these rules, or null. If both headers have some, Basic counts. */
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

/** Base64 with the standard alphabet or the URL-safe one. */
function userAndPassword(encoded: string): HttpCredentials | null {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded)) return null;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? null : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** RFC 6265 §4.2.1: `name=value; name=value`, where a value may be quoted. Returns the first of that name. */
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
