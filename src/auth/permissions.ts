// Permissions: RabbitMQ's three regular expressions (configure, write, read) for each user and virtual host, stored as
// definitions of kind `permission`. A user without a record has no access to the virtual host. Answers are synchronous;
// sessions cache them until `generation` changes.

import type { Authorizer, Identity, Permission, TopicPermission } from '../core/ports/authorization.ts';
import type { DefinitionStore } from '../core/ports/definitions.ts';
import { compilePattern } from './pattern.ts';
import { TopicPermissions } from './topic-permissions.ts';

/** The three patterns of one user in one virtual host. */
export type Patterns = Readonly<Record<Permission, string>>;

export interface PermissionRecord extends Patterns {
  readonly vhost: string;
  readonly user: string;
}

/** All rights in a virtual host. */
export const ALL: Patterns = Object.freeze({ configure: '.*', write: '.*', read: '.*' });

/** RabbitMQ's name of the default exchange in permissions; its own name is empty. */
const DEFAULT_EXCHANGE = 'amq.default';

interface Entry {
  readonly record: PermissionRecord;
  readonly configure: RegExp;
  readonly write: RegExp;
  readonly read: RegExp;
}

export class Permissions implements Authorizer {
  generation: number;
  /** Permissions on routing keys of topic exchanges. */
  readonly topics: TopicPermissions;
  private readonly definitions: DefinitionStore;
  /** By virtual host, then user. */
  private readonly entries: Map<string, Map<string, Entry>>;

  constructor(definitions: DefinitionStore) {
    this.generation = 1;
    this.definitions = definitions;
    this.entries = new Map();
    this.topics = new TopicPermissions(definitions, () => {
      this.generation++;
    });
    for (const { name, value } of definitions.all('permission'))
      this.place(entryOf(name[0]!, name[1]!, value as Patterns));
  }

  *list(): IterableIterator<PermissionRecord> {
    for (const users of this.entries.values()) for (const entry of users.values()) yield entry.record;
  }

  get(vhost: string, user: string): PermissionRecord | null {
    return this.entries.get(vhost)?.get(user)?.record ?? null;
  }

  /**
   * Replaces the permissions of a user in a virtual host. In force at once; durable with the store's next commit.
   *
   * @throws BrokerError invalid-argument if a pattern is no regular expression or too long
   */
  put(vhost: string, user: string, patterns: Patterns): void {
    const { configure, write, read } = patterns;
    this.place(entryOf(vhost, user, patterns));
    this.definitions.put('permission', [vhost, user], { configure, write, read });
    this.generation++;
  }

  /** True if there was a record. */
  remove(vhost: string, user: string): boolean {
    const users = this.entries.get(vhost);
    if (users === undefined || !users.delete(user)) return false;
    if (users.size === 0) this.entries.delete(vhost);
    this.definitions.remove('permission', [vhost, user]);
    this.generation++;
    return true;
  }

  /** Removes all permissions of a user; called before the user is deleted. */
  removeUser(user: string): void {
    for (const vhost of [...this.entries.keys()]) this.remove(vhost, user);
    this.topics.removeWhere((record) => record.user === user);
  }

  /** Removes all permissions in a virtual host; called before it is deleted. */
  removeVhost(vhost: string): void {
    for (const user of [...(this.entries.get(vhost)?.keys() ?? [])]) this.remove(vhost, user);
    this.topics.removeWhere((record) => record.vhost === vhost);
  }

  /** Whether the user may enter the virtual host. */
  mayEnter(user: string, vhost: string): boolean {
    return this.entries.get(vhost)?.has(user) === true;
  }

  allows(identity: Identity, vhost: string, permission: Permission, resource: string): boolean {
    const entry = this.entries.get(vhost)?.get(identity.user);
    if (entry === undefined) return false;
    return entry[permission].test(resource === '' ? DEFAULT_EXCHANGE : resource);
  }

  restrictsTopics({ user }: Identity, vhost: string, exchange: string): boolean {
    return this.topics.restricts(user, vhost, exchange);
  }

  allowsTopic(
    identity: Identity,
    vhost: string,
    exchange: string,
    permission: TopicPermission,
    routingKey: string,
    clientId: string | null,
  ): boolean {
    return this.topics.allows(identity, vhost, exchange, permission, routingKey, clientId);
  }

  private place(entry: Entry): void {
    const { vhost, user } = entry.record;
    const users = this.entries.get(vhost) ?? new Map<string, Entry>();
    users.set(user, entry);
    this.entries.set(vhost, users);
  }
}

function entryOf(vhost: string, user: string, patterns: Patterns): Entry {
  const { configure, write, read } = patterns;
  const record = Object.freeze({ vhost, user, configure, write, read });
  return { record, configure: compilePattern(configure), write: compilePattern(write), read: compilePattern(read) };
}
