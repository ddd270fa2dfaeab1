// What a user may publish and subscribe to within a topic exchange: RabbitMQ's topic permissions, two regular expressions
// over routing keys for each user, virtual host and exchange, kept as definitions of kind `topic-permission`. Where there
// is no record for an exchange, its topics are free to whoever may use the exchange.
//
// In a pattern `{username}`, `{vhost}` and `{client_id}` stand for what they name, as literal text: to an MQTT client as
// it stands in a topic, whose key has '/' and '.' swapped. A client chooses its own id, so a value that would be more than
// one word of a key, or a wildcard, matches nothing; so does `{client_id}` where there is none (clients other than MQTT's).

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

/** Expanded patterns that one record keeps, one for each client. */
const EXPANDED = 1024;
const PLACEHOLDER = /\{(username|vhost|client_id)\}/g;
const SPECIAL = /[\\^$.*+?()[\]{}|/-]/g;
/** Matches nothing. */
const NEVER = '(?!)';

class Rule {
  private readonly pattern: string;
  /** The pattern compiled, where it is the same for everybody. */
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

  /** `changed` is told of every change. */
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
   * Sets `patterns` in place of those before. In force at once; durable with the store's next commit.
   * @throws BrokerError invalid-argument where a pattern is no regular expression or too long
   */
  put(vhost: string, user: string, exchange: string, patterns: TopicPatterns): void {
    const { write, read } = patterns;
    this.place(entryOf(vhost, user, exchange, patterns));
    this.definitions.put('topic-permission', [vhost, user, exchange], { write, read });
    this.changed();
  }

  /** Whether there was something to take away. */
  remove(vhost: string, user: string, exchange: string): boolean {
    if (!this.entries.delete(keyOf(vhost, user, exchange))) return false;
    this.definitions.remove('topic-permission', [vhost, user, exchange]);
    this.changed();
    return true;
  }

  /** Takes away every record that `chosen` selects. */
  removeWhere(chosen: (record: TopicPermissionRecord) => boolean): void {
    for (const record of [...this.list()]) if (chosen(record)) this.remove(record.vhost, record.user, record.exchange);
  }

  /** Whether anything is set: where nothing is, everything is allowed. */
  restricts(user: string, vhost: string, exchange: string): boolean {
    return this.entries.size > 0 && this.entries.has(keyOf(vhost, user, exchange));
  }

  /** `clientId` as it stands in a routing key. */
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

/** Names may hold any character. */
function keyOf(vhost: string, user: string, exchange: string): string {
  return `${vhost.length}:${vhost}${user.length}:${user}${exchange}`;
}

function escaped(text: string): string {
  return text.replace(SPECIAL, '\\$&');
}

/** As the key of an MQTT topic has it. */
function escapedInTopic(text: string): string {
  return escaped(text.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.')));
}
