// The recent changes of an exchange's bindings: its generation, and the binding keys of the last changes. A cached
// route that is older is walked again only if one of these keys can match its routing key.

/** Changes that are remembered. An older route is walked again. */
const REMEMBERED = 64;

/** Whether a binding with this key can match that routing key. True in doubt. */
export type MayMatch = (bindingKey: string, routingKey: string) => boolean;

export class BindingChanges {
  /** Grows with every change. */
  generation: number;
  private readonly mayMatch: MayMatch;
  /** Binding keys by generation modulo REMEMBERED; made with the first. */
  private keys: string[] | null;
  /** The first generation since which every change is remembered. */
  private since: number;

  constructor(mayMatch: MayMatch) {
    this.generation = 0;
    this.mayMatch = mayMatch;
    this.keys = null;
    this.since = 0;
  }

  /** A binding with that key was added or removed. */
  binding(bindingKey: string): void {
    this.generation++;
    this.keys ??= new Array(REMEMBERED).fill('');
    this.keys[this.generation % REMEMBERED] = bindingKey;
    if (this.generation - this.since > REMEMBERED) this.since = this.generation - REMEMBERED;
  }

  /** A change that may concern every routing key. */
  anything(): void {
    this.since = ++this.generation;
  }

  /** Whether some changes since that generation are forgotten: a route of that generation is void. */
  forgot(generation: number): boolean {
    return generation < this.since;
  }

  /** Whether a route for that key, found in an earlier generation, may have changed. */
  concern(routingKey: string, generation: number): boolean {
    if (this.forgot(generation)) return true;
    for (let change = generation + 1; change <= this.generation; change++) {
      if (this.mayMatch(this.keys![change % REMEMBERED]!, routingKey)) return true;
    }
    return false;
  }
}
