// Fanout exchange (AMQP 0-9-1 §3.1.3.2): every binding matches, whatever its key.

import type { Binding } from './exchange.ts';
import { Exchange } from './exchange.ts';
import type { Route } from './route.ts';

export class FanoutExchange extends Exchange {
  readonly kind = 'fanout';
  private readonly members = new Set<Binding>();

  match(route: Route): boolean {
    for (const binding of this.members) route.follow(binding);
    return this.members.size > 0;
  }

  protected mayMatch(): boolean {
    return true;
  }

  protected file(binding: Binding): void {
    this.members.add(binding);
  }

  protected unfile(binding: Binding): void {
    this.members.delete(binding);
  }
}
