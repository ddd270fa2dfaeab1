// Header escaping by version (STOMP 1.2, «Value Encoding»; 1.1, same section):
//
//   1.0   none
//   1.1   \n LF    \c colon    \\ backslash
//   1.2   the same and \r CR; an undefined sequence is a fatal error in both
//
// CONNECT and CONNECTED are never escaped, for the sake of 1.0 clients.

import { malformed } from './stomp-error.ts';
import { STOMP_VERSION, type StompVersion } from './version.ts';

const BACKSLASH = 0x5c;

/** Unescapes a name or value. Throws StompError for an undefined escape. */
export function unescapeHeader(raw: string, version: StompVersion): string {
  if (version === STOMP_VERSION.v1_0 || raw.indexOf('\\') < 0) return raw;
  let text = '';
  let from = 0;
  for (;;) {
    const at = raw.indexOf('\\', from);
    if (at < 0) return text + raw.slice(from);
    text += raw.slice(from, at) + unescaped(raw.charCodeAt(at + 1), version);
    from = at + 2;
  }
}

/**
 * Escapes a name or value for a frame. 1.0 has no escapes: characters that would end the line (or the name) become a
 * space, because a frame that its reader misunderstands is worse than a changed byte. Before 1.2 a CR needs no escape.
 */
export function escapeHeader(text: string, version: StompVersion): string {
  if (!needsEscape(text)) return text;
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x0a) out += version === STOMP_VERSION.v1_0 ? ' ' : '\\n';
    else if (code === 0x0d) out += version === STOMP_VERSION.v1_2 ? '\\r' : '\r';
    else if (code === 0x3a) out += version === STOMP_VERSION.v1_0 ? ':' : '\\c';
    else if (code === BACKSLASH) out += version === STOMP_VERSION.v1_0 ? '\\' : '\\\\';
    // NUL ends a frame for readers that do not parse headers first; no version has an escape for it.
    else if (code === 0) out += ' ';
    else out += text[i];
  }
  return out;
}

function needsEscape(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x3a || code === BACKSLASH || code === 0x0a || code === 0x0d || code === 0) return true;
  }
  return false;
}

function unescaped(code: number, version: StompVersion): string {
  switch (code) {
    case 0x6e:
      return '\n';
    case 0x63:
      return ':';
    case BACKSLASH:
      return '\\';
    case 0x72:
      if (version === STOMP_VERSION.v1_2) return '\r';
      break;
    default:
      break;
  }
  throw malformed('undefined escape sequence in a header');
}
