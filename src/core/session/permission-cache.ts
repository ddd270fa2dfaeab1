// What a session may do. Answers of the authoriser are kept until its generation changes, so that a publish costs no
// regular expression. An authoriser may answer late: `knows` says that it is not known yet, `require` waits.

import { BrokerError } from '../errors.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Authorizer, Identity, Permission, TopicPermission } from '../ports/authorization.ts';

/** Answers kept for one session; beyond it they are asked anew. */
const CAPACITY = 4096;

/** The name under which permissions on the default exchange are given, as in RabbitMQ. */
const DEFAULT_EXCHANGE_RESOURCE = 'amq.default';

/** What permissions are given on. */
export type ResourceType = 'exchange' | 'queue';

export class PermissionCache {
  /** Of an MQTT client, as it stands in a routing key (topic permissions may name it); else null. */
  clientId: string | null;
  private readonly authorizer: Authorizer;
  private readonly identity: Identity;
  private readonly vhost: string;
  private answers: Map<string, boolean> | null;
  private generation: number;
  /** Questions that are not answered yet. */
  private asking: Map<string, Promise<void>> | null;

  constructor(authorizer: Authorizer, identity: Identity, vhost: string) {
    this.clientId = null;
    this.authorizer = authorizer;
    this.identity = identity;
    this.vhost = vhost;
    this.answers = null;
    this.generation = authorizer.generation;
    this.asking = null;
  }

  /** Throws access-refused where the permission is not given. */
  async require(permission: Permission, type: ResourceType, name: string): Promise<void> {
    while (!this.knows(permission, type, name)) await this.settled();
  }

  /** As `require`; false where the answer is on its way: await `settled()` and ask again. */
  knows(permission: Permission, type: ResourceType, name: string): boolean {
    const isDefault = type === 'exchange' && name === '';
    const allowed = this.check(permission, isDefault ? DEFAULT_EXCHANGE_RESOURCE : name);
    if (allowed !== false) return allowed !== null;
    const what = isDefault ? 'default exchange' : `${type} '${name}'`;
    throw this.refusal(`${permission} access to ${what} in vhost '${this.vhost}'`);
  }

  /** Whether not all routing keys of an exchange may be allowed. */
  restrictsTopics(exchange: Exchange): boolean {
    return exchange.kind === 'topic' && this.authorizer.restrictsTopics(this.identity, this.vhost, exchange.name);
  }

  /** Throws access-refused where a topic exchange is not to be used with that routing or binding key. */
  async requireTopic(permission: TopicPermission, exchange: Exchange, routingKey: string): Promise<void> {
    if (!this.restrictsTopics(exchange)) return;
    while (!this.knowsTopic(permission, exchange, routingKey)) await this.settled();
  }

  /** As `requireTopic` where topics are restricted; false where the answer is on its way. */
  knowsTopic(permission: TopicPermission, exchange: Exchange, routingKey: string): boolean {
    const allowed = this.checkTopic(permission, exchange.name, routingKey);
    if (allowed !== false) return allowed !== null;
    const where = `exchange '${exchange.name}' in vhost '${this.vhost}'`;
    throw this.refusal(`${permission} access to topic '${routingKey}' in ${where}`);
  }

  /** Resolves when the answers that were on their way are known. Rejects where the authoriser failed. */
  async settled(): Promise<void> {
    if (this.asking !== null) await Promise.all(this.asking.values());
  }

  /** Null where the answer is on its way. */
  private check(permission: Permission, resource: string): boolean | null {
    this.renew();
    const key = `name ${permission} ${resource}`;
    const known = this.answers?.get(key);
    if (known !== undefined) return known;
    if (this.asking?.has(key)) return null;
    return this.take(key, this.authorizer.allows(this.identity, this.vhost, permission, resource));
  }

  private checkTopic(permission: TopicPermission, exchange: string, routingKey: string): boolean | null {
    this.renew();
    const key = `topic ${permission} ${exchange.length} ${exchange} ${routingKey}`;
    const known = this.answers?.get(key);
    if (known !== undefined) return known;
    if (this.asking?.has(key)) return null;
    const { identity, vhost, clientId } = this;
    return this.take(key, this.authorizer.allowsTopic(identity, vhost, exchange, permission, routingKey, clientId));
  }

  private renew(): void {
    if (this.generation === this.authorizer.generation) return;
    this.generation = this.authorizer.generation;
    this.answers = null;
  }

  private take(key: string, answer: boolean | Promise<boolean>): boolean | null {
    if (typeof answer === 'boolean') {
      this.keep(key, answer);
      return answer;
    }
    this.ask(key, answer);
    return null;
  }

  private ask(key: string, answer: Promise<boolean>): void {
    const { generation } = this;
    const asked = answer.then(
      (allowed) => {
        this.answered(key);
        if (generation === this.generation) this.keep(key, allowed);
      },
      (error: unknown) => {
        this.answered(key);
        throw error;
      },
    );
    // Whoever asked learns of a failure from `settled`; nobody may be left to ask.
    asked.catch(() => {});
    this.asking ??= new Map();
    this.asking.set(key, asked);
  }

  private answered(key: string): void {
    this.asking!.delete(key);
    if (this.asking!.size === 0) this.asking = null;
  }

  private keep(key: string, allowed: boolean): void {
    if (this.answers === null || this.answers.size >= CAPACITY) this.answers = new Map();
    this.answers.set(key, allowed);
  }

  private refusal(what: string): BrokerError {
    return new BrokerError('access-refused', `${what} refused for user '${this.identity.user}'`);
  }
}
