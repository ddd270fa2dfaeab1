// What changed lately among an exchange's bindings: its generation, and the binding keys of the last few changes, so that
// a route that was cached before them need not be walked again where none of them can match its key.

/** Changes that are remembered. A route that is older than that is walked again. */
const REMEMBERED = 64;

/** Whether a binding with this key can match that routing key at all. True where in doubt. */
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

  /** A binding with that key came or went. */
  binding(bindingKey: string): void {
    this.generation++;
    this.keys ??= new Array(REMEMBERED).fill('');
    this.keys[this.generation % REMEMBERED] = bindingKey;
    if (this.generation - this.since > REMEMBERED) this.since = this.generation - REMEMBERED;
  }

  /** Something changed that may concern every key. */
  anything(): void {
    this.since = ++this.generation;
  }

  /** Whether there were changes since that generation that are not remembered: a route from then is void. */
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
