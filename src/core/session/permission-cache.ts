// The permissions of one session. Answers of the authoriser are cached until its generation changes, so that a publish
// evaluates no regular expression. An authoriser may answer late: `knows` returns false then, `require` waits.

import { BrokerError } from '../errors.ts';
import type { Authorizer, Identity, Permission, TopicPermission } from '../ports/authorization.ts';

/** Answers cached for one session; above that the cache is emptied. */
const CAPACITY = 4096;

/** The name of the default exchange in permissions, as in RabbitMQ. */
const DEFAULT_EXCHANGE_RESOURCE = 'amq.default';

/** An exchange, or the name of one that may be declared later. */
export interface TopicResource {
  readonly name: string;
  readonly kind: string;
}

/** The kinds of resources that permissions apply to. */
export type ResourceType = 'exchange' | 'queue';

export class PermissionCache {
  /** The client id of an MQTT client in the form of a routing key (topic permissions may name it); else null. */
  clientId: string | null;
  private readonly authorizer: Authorizer;
  private readonly identity: Identity;
  private readonly vhost: string;
  private answers: Map<string, boolean> | null;
  private generation: number;
  /** Questions without an answer yet. */
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

  /** Throws access-refused without the permission. */
  async require(permission: Permission, type: ResourceType, name: string): Promise<void> {
    while (!this.knows(permission, type, name)) await this.settled();
  }

  /** As `require`; false while the answer is pending: await `settled()` and ask again. */
  knows(permission: Permission, type: ResourceType, name: string): boolean {
    const isDefault = type === 'exchange' && name === '';
    const allowed = this.check(permission, isDefault ? DEFAULT_EXCHANGE_RESOURCE : name);
    if (allowed !== false) return allowed !== null;
    const what = isDefault ? 'default exchange' : `${type} '${name}'`;
    throw this.refusal(`${permission} access to ${what} in vhost '${this.vhost}'`);
  }

  /** Whether some routing keys of an exchange may be refused. */
  restrictsTopics(exchange: TopicResource): boolean {
    return exchange.kind === 'topic' && this.authorizer.restrictsTopics(this.identity, this.vhost, exchange.name);
  }

  /**
   * Throws access-refused if some routing keys of an exchange may be refused: for what lets messages reach it whose keys
   * are not checked (bindings between exchanges, alternate and dead letter exchanges).
   */
  requireAllTopics(exchange: TopicResource): void {
    if (!this.restrictsTopics(exchange)) return;
    throw this.refusal(`write access to all topics of exchange '${exchange.name}' in vhost '${this.vhost}'`);
  }

  /** Throws access-refused unless that routing or binding key may be used with a topic exchange. */
  async requireTopic(permission: TopicPermission, exchange: TopicResource, routingKey: string): Promise<void> {
    if (!this.restrictsTopics(exchange)) return;
    while (!this.knowsTopic(permission, exchange, routingKey)) await this.settled();
  }

  /** As `requireTopic` for restricted topics; false while the answer is pending. */
  knowsTopic(permission: TopicPermission, exchange: TopicResource, routingKey: string): boolean {
    const allowed = this.checkTopic(permission, exchange.name, routingKey);
    if (allowed !== false) return allowed !== null;
    const where = `exchange '${exchange.name}' in vhost '${this.vhost}'`;
    throw this.refusal(`${permission} access to topic '${routingKey}' in ${where}`);
  }

  /** Resolves when the pending answers are known. Rejects if the authoriser failed. */
  async settled(): Promise<void> {
    if (this.asking !== null) await Promise.all(this.asking.values());
  }

  /** Null while the answer is pending. */
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
    // `settled` reports a failure; without a caller it would be an unhandled rejection.
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
