// A session's permissions as far as they were asked for: answers of the authoriser, kept until its generation changes,
// so that a publish costs no regular expression. An authoriser may answer late; then the check says "not known yet".

import type { Authorizer, Identity, Permission, TopicPermission } from './ports.ts';

/** Answers kept for one session; beyond it they are asked anew. */
const CAPACITY = 4096;

export class Permits {
  private readonly authorizer: Authorizer;
  private readonly identity: Identity;
  private readonly vhost: string;
  private answers: Map<string, boolean> | null;
  private generation: number;
  /** Questions that are not answered yet. */
  private asking: Map<string, Promise<void>> | null;

  constructor(authorizer: Authorizer, identity: Identity, vhost: string) {
    this.authorizer = authorizer;
    this.identity = identity;
    this.vhost = vhost;
    this.answers = null;
    this.generation = authorizer.generation;
    this.asking = null;
  }

  /** Whether it is allowed; null where the answer is on its way: await `settled()` and ask again. */
  check(permission: Permission, resource: string): boolean | null {
    this.renew();
    const key = `name ${permission} ${resource}`;
    const known = this.answers?.get(key);
    if (known !== undefined) return known;
    if (this.asking?.has(key)) return null;
    return this.take(key, this.authorizer.allows(this.identity, this.vhost, permission, resource));
  }

  /** As `check`, for a key within a topic exchange where topics are restricted. */
  checkTopic(
    permission: TopicPermission,
    exchange: string,
    routingKey: string,
    clientId: string | null,
  ): boolean | null {
    this.renew();
    const key = `topic ${permission} ${exchange.length} ${exchange} ${routingKey}`;
    const known = this.answers?.get(key);
    if (known !== undefined) return known;
    if (this.asking?.has(key)) return null;
    const { identity, vhost } = this;
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

  /** Resolves when the answers that were on their way are known. Rejects where the authoriser failed. */
  async settled(): Promise<void> {
    if (this.asking !== null) await Promise.all(this.asking.values());
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
}
