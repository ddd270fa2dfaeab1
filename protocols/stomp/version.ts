// The three versions of STOMP and how they differ on the wire: which escapes a header knows, whether a line may end in
// CR LF, by which header an ACK names its message.

export const STOMP_VERSION = { v1_0: 0, v1_1: 1, v1_2: 2 } as const;

export type StompVersion = (typeof STOMP_VERSION)[keyof typeof STOMP_VERSION];

const NAMES = ['1.0', '1.1', '1.2'] as const;

/** Every version that the broker speaks, for CONNECTED and for ERROR frames (STOMP 1.2, «Protocol Negotiation»). */
export const SUPPORTED_VERSIONS = NAMES.join(',');

export function versionName(version: StompVersion): string {
  return NAMES[version];
}

/**
 * The highest version that both sides know, or null. A client that names none speaks 1.0 (STOMP 1.2, «Protocol
 * Negotiation»).
 */
export function negotiateVersion(acceptVersion: string | null): StompVersion | null {
  if (acceptVersion === null) return STOMP_VERSION.v1_0;
  let best: StompVersion | null = null;
  for (const offered of acceptVersion.split(',')) {
    const index = NAMES.indexOf(offered.trim() as (typeof NAMES)[number]);
    if (index >= 0 && (best === null || index > best)) best = index as StompVersion;
  }
  return best;
}
