// Which exchanges name which as their alternate: where a message goes that an exchange has no queue for. An alternate may
// be declared after those that name it, and go before them; routes depend on whether it is there.

import type { Exchange } from './exchange.ts';

export class AlternateExchanges {
  /** Exchanges by the name of their alternate. */
  private readonly users: Map<string, Set<Exchange>>;

  constructor() {
    this.users = new Map();
  }

  /** The exchange is there: its routes depend on its alternate, and those of others on it where they name it. */
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

  /** The exchange is gone. */
  unlink(exchange: Exchange): void {
    if (exchange.alternate === null) return;
    const users = this.users.get(exchange.alternate);
    users?.delete(exchange);
    if (users?.size === 0) this.users.delete(exchange.alternate);
    exchange.alternateExchange()?.dependents.delete(exchange);
  }
}
