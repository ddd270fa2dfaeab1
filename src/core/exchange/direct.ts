// Direct exchange (AMQP 0-9-1 §3.1.3.1): the routing key equals the binding key.

import type { Binding } from './exchange.ts';
import { Exchange } from './exchange.ts';
import type { Route } from './route.ts';

export class DirectExchange extends Exchange {
  readonly kind = 'direct';
  private readonly byKey = new Map<string, Set<Binding>>();

  match(route: Route): boolean {
    const bindings = this.byKey.get(route.routingKey);
    if (bindings === undefined) return false;
    for (const binding of bindings) route.follow(binding);
    return true;
  }

  protected mayMatch(bindingKey: string, routingKey: string): boolean {
    return bindingKey === routingKey;
  }

  protected file(binding: Binding): void {
    const bindings = this.byKey.get(binding.routingKey);
    if (bindings === undefined) this.byKey.set(binding.routingKey, new Set([binding]));
    else bindings.add(binding);
  }

  protected unfile(binding: Binding): void {
    const bindings = this.byKey.get(binding.routingKey)!;
    bindings.delete(binding);
    if (bindings.size === 0) this.byKey.delete(binding.routingKey);
  }
}
