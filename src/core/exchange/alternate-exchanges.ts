// Which exchanges name which as their alternate (the exchange that gets what they cannot route). An alternate may be
// declared after the exchanges that name it, and deleted before them. Their routes depend on whether it exists.

import type { Exchange } from './exchange.ts';

export class AlternateExchanges {
  /** Exchanges by the name of their alternate. */
  private readonly users: Map<string, Set<Exchange>>;

  constructor() {
    this.users = new Map();
  }

  /**
   * Called when an exchange was declared: its routes depend on its alternate, and those of exchanges that name it
   * depend on it.
   */
  link(exchange: Exchange): void {
    if (exchange.alternate !== null) {
      const users = this.users.get(exchange.alternate);
      if (users === undefined) this.users.set(exchange.alternate, new Set([exchange]));
      else users.add(exchange);
      exchange.alternateExchange()?.dependents.add(exchange);
    }
    for (const user of this.users.get(exchange.name) ?? []) {
      exchange.dependents.add(user);
      user.invalidate();
    }
  }

  /** Called when an exchange was deleted. */
  unlink(exchange: Exchange): void {
    if (exchange.alternate === null) return;
    const users = this.users.get(exchange.alternate);
    users?.delete(exchange);
    if (users?.size === 0) this.users.delete(exchange.alternate);
    exchange.alternateExchange()?.dependents.delete(exchange);
  }
}
