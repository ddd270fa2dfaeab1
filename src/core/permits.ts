// A session's permissions as far as they were asked for: answers of the authoriser, kept until its generation changes,
// so that a publish costs no regular expression. An authoriser may answer late; then the check says "not known yet".

import type { Authorizer, Identity, Permission } from './ports.ts';

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
    if (this.generation !== this.authorizer.generation) {
      this.generation = this.authorizer.generation;
      this.answers = null;
    }
    const key = `${permission} ${resource}`;
    const known = this.answers?.get(key);
    if (known !== undefined) return known;
    if (this.asking?.has(key)) return null;
    const answer = this.authorizer.allows(this.identity, this.vhost, permission, resource);
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
