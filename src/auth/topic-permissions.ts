// Topic permissions, as RabbitMQ's: two regular expressions over routing keys (publish, subscribe) for each user,
// virtual host and exchange, stored as definitions of kind `topic-permission`. An exchange without a record has no
// restriction on its topics.
//
// In a pattern `{username}`, `{vhost}` and `{client_id}` are replaced by their values as literal text; for MQTT clients
// in the form of a routing key, with '/' and '.' swapped. A client chooses its own id, so a value that would be more
// than one word of a key, or a wildcard, matches nothing. So does `{client_id}` for clients of other protocols.

import type { Identity } from '../core/ports/authorization.ts';
import type { DefinitionStore } from '../core/ports/definitions.ts';
import { compilePattern } from './pattern.ts';

/** The two patterns of one user in one exchange. */
export interface TopicPatterns {
  readonly write: string;
  readonly read: string;
}

export interface TopicPermissionRecord extends TopicPatterns {
  readonly vhost: string;
  readonly user: string;
  readonly exchange: string;
}

export type TopicAccess = keyof TopicPatterns;

/** Expanded patterns that one record caches, one for each client. */
const EXPANDED = 1024;
const PLACEHOLDER = /\{(username|vhost|client_id)\}/g;
const SPECIAL = /[\\^$.*+?()[\]{}|/-]/g;
/** Matches nothing. */
const NEVER = '(?!)';

class Rule {
  private readonly pattern: string;
  /** The compiled pattern, if it has no variables. */
  private readonly fixed: RegExp | null;
  private expanded: Map<string, RegExp>;

  constructor(pattern: string) {
    const plain = compilePattern(pattern);
    this.pattern = pattern === '' ? '^$' : pattern;
    this.fixed = pattern.search(PLACEHOLDER) === -1 ? plain : null;
    this.expanded = new Map();
  }

  matches(routingKey: string, user: string, vhost: string, clientId: string | null): boolean {
    return (this.fixed ?? this.expand(user, vhost, clientId)).test(routingKey);
  }

  private expand(user: string, vhost: string, clientId: string | null): RegExp {
    const known = this.expanded.get(clientId ?? '');
    if (known !== undefined) return known;
    const inKey = clientId === null ? escaped : escapedInTopic;
    const values: Record<string, string> = {
      username: /[+#*]/.test(user) ? NEVER : inKey(user),
      vhost: inKey(vhost),
      client_id: clientId === null || /[.+#*]/.test(clientId) || clientId === '' ? NEVER : escaped(clientId),
    };
    const expanded = new RegExp(this.pattern.replace(PLACEHOLDER, (_all, name: string) => values[name]!));
    if (this.expanded.size >= EXPANDED) this.expanded = new Map();
    this.expanded.set(clientId ?? '', expanded);
    return expanded;
  }
}

interface Entry {
  readonly record: TopicPermissionRecord;
  readonly write: Rule;
  readonly read: Rule;
}

export class TopicPermissions {
  private readonly definitions: DefinitionStore;
  private readonly changed: () => void;
  /** By virtual host, user and exchange. */
  private readonly entries: Map<string, Entry>;

  /** `changed` is called after every change. */
  constructor(definitions: DefinitionStore, changed: () => void) {
    this.definitions = definitions;
    this.changed = changed;
    this.entries = new Map();
    for (const { name, value } of definitions.all('topic-permission')) {
      this.place(entryOf(name[0]!, name[1]!, name[2]!, value as unknown as TopicPatterns));
    }
  }

  *list(): IterableIterator<TopicPermissionRecord> {
    for (const { record } of this.entries.values()) yield record;
  }

  get(vhost: string, user: string, exchange: string): TopicPermissionRecord | null {
    return this.entries.get(keyOf(vhost, user, exchange))?.record ?? null;
  }

  /**
   * Replaces the patterns. In force at once; durable with the store's next commit.
   *
   * @throws BrokerError invalid-argument if a pattern is no regular expression or too long
   */
  put(vhost: string, user: string, exchange: string, patterns: TopicPatterns): void {
    const { write, read } = patterns;
    this.place(entryOf(vhost, user, exchange, patterns));
    this.definitions.put('topic-permission', [vhost, user, exchange], { write, read });
    this.changed();
  }

  /** True if there was a record. */
  remove(vhost: string, user: string, exchange: string): boolean {
    if (!this.entries.delete(keyOf(vhost, user, exchange))) return false;
    this.definitions.remove('topic-permission', [vhost, user, exchange]);
    this.changed();
    return true;
  }

  /** Removes every record that `chosen` selects. */
  removeWhere(chosen: (record: TopicPermissionRecord) => boolean): void {
    for (const record of [...this.list()]) if (chosen(record)) this.remove(record.vhost, record.user, record.exchange);
  }

  /** Whether a record exists; without one everything is allowed. */
  restricts(user: string, vhost: string, exchange: string): boolean {
    return this.entries.size > 0 && this.entries.has(keyOf(vhost, user, exchange));
  }

  /** `clientId` is in the form of a routing key. */
  allows(
    { user }: Identity,
    vhost: string,
    exchange: string,
    access: TopicAccess,
    routingKey: string,
    clientId: string | null,
  ): boolean {
    const entry = this.entries.get(keyOf(vhost, user, exchange));
    return entry === undefined || entry[access].matches(routingKey, user, vhost, clientId);
  }

  private place(entry: Entry): void {
    const { vhost, user, exchange } = entry.record;
    this.entries.set(keyOf(vhost, user, exchange), entry);
  }
}

function entryOf(vhost: string, user: string, exchange: string, { write, read }: TopicPatterns): Entry {
  const record = Object.freeze({ vhost, user, exchange, write, read });
  return { record, write: new Rule(write), read: new Rule(read) };
}

/** Lengths separate the names, because they may contain any character. */
function keyOf(vhost: string, user: string, exchange: string): string {
  return `${vhost.length}:${vhost}${user.length}:${user}${exchange}`;
}

function escaped(text: string): string {
  return text.replace(SPECIAL, '\\$&');
}

/** As it appears in the routing key of an MQTT topic. */
function escapedInTopic(text: string): string {
  return escaped(text.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.')));
}
