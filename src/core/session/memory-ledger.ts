// What clients make the broker hold beside messages in queues, by connection, by user, and in all: frames that have
// begun, unfinished bodies, open transactions, input that waits, output that is not sent, consumers. Each connection
// states its sum after each chunk of input; definitions are counted by their virtual host (definition-sizes.ts), and
// messages in queues by the memory budget.
//
// Whoever exceeds a bound is closed: a connection above its own; above the bound of a user, of all who have not logged
// in, or of all clients, those of them that hold the most, until an eighth of the bound is free. So a client that holds
// little keeps its connection whatever others do. Of connections that have not logged in one address may have so many;
// one more takes the place of the oldest.

/** Bounds in bytes. */
export interface MemoryLimits {
  readonly connectionBytes: number;
  readonly userBytes: number;
  /** Of all connections that have not logged in. */
  readonly unauthenticatedBytes: number;
  readonly clientBytes: number;
  /** Connections of one address that have not logged in. */
  readonly unauthenticatedPerAddress: number;
}

export const DEFAULT_MEMORY_LIMITS: MemoryLimits = Object.freeze({
  connectionBytes: 256 * 1024 * 1024,
  userBytes: 512 * 1024 * 1024,
  unauthenticatedBytes: 64 * 1024 * 1024,
  clientBytes: 1024 * 1024 * 1024,
  unauthenticatedPerAddress: 8192,
});

/** The key of a bound, as errors and counters name it. */
export type MemoryLimit = `limits.${keyof MemoryLimits}`;

/** What a client is told that is closed because of a bound. */
export function excessOf(limit: MemoryLimit): string {
  if (limit === 'limits.unauthenticatedPerAddress') return 'too many connections of this address have not logged in';
  return 'the connection holds too much memory';
}

/** A connection, as the ledger sees it. */
export interface Debtor {
  /** The connection is one too many, or holds too much: it tells its client, releases what it holds, ends, and counts the limit. */
  exceeded(limit: MemoryLimit): void;
}

/** Memory of a connection that has logged in, beside what it states: 9.3 KiB, measured with 10,000. */
const CONNECTION_BYTES = 10 * 1024;

/** Connections with one bound together. */
class Group {
  bytes: number;
  readonly accounts: Set<MemoryAccount>;

  constructor() {
    this.bytes = 0;
    this.accounts = new Set();
  }
}

/** What one connection holds. */
export class MemoryAccount {
  /** Bytes that count: what the connection last stated, and after the login itself. */
  bytes: number;
  /** What the connection last stated. */
  stated: number;
  readonly debtor: Debtor;
  private readonly ledger: MemoryLedger;
  /** Its user's connections, or those that have not logged in; null: closed. */
  group: Group | null;
  user: string | null;
  readonly address: string;

  constructor(ledger: MemoryLedger, debtor: Debtor, address: string, group: Group) {
    this.bytes = 0;
    this.stated = 0;
    this.debtor = debtor;
    this.ledger = ledger;
    this.group = group;
    this.user = null;
    this.address = address;
    group.accounts.add(this);
  }

  /** What the connection holds now. Called after each chunk of input; may close this connection, or others. */
  update(bytes: number): void {
    if (bytes !== this.stated) this.ledger.update(this, bytes);
  }

  /** From now on it counts as its user's. */
  loggedIn(user: string): void {
    this.ledger.loggedIn(this, user);
  }

  /** The connection holds nothing any more. Idempotent. */
  close(): void {
    this.ledger.close(this);
  }
}

export class MemoryLedger {
  private readonly limits: MemoryLimits;
  private readonly strangers: Group;
  /** Of the strangers, those of each address, the oldest first. */
  private readonly byAddress: Map<string, Set<MemoryAccount>>;
  private readonly users: Map<string, Group>;
  private total: number;

  constructor(limits: MemoryLimits) {
    this.limits = limits;
    this.strangers = new Group();
    this.byAddress = new Map();
    this.users = new Map();
    this.total = 0;
  }

  /** Bytes that all connections hold. */
  get bytes(): number {
    return this.total;
  }

  /** Of these, the bytes of connections that have not logged in. */
  get unauthenticatedBytes(): number {
    return this.strangers.bytes;
  }

  /** Bytes that the connections of a user hold. */
  userBytes(user: string): number {
    return this.users.get(user)?.bytes ?? 0;
  }

  /** Begins to count a connection, which has not logged in. May close another one of its address. */
  open(debtor: Debtor, address: string): MemoryAccount {
    const account = new MemoryAccount(this, debtor, address, this.strangers);
    let neighbours = this.byAddress.get(address);
    if (neighbours === undefined) {
      neighbours = new Set();
      this.byAddress.set(address, neighbours);
    }
    neighbours.add(account);
    if (neighbours.size > this.limits.unauthenticatedPerAddress) {
      const [oldest] = neighbours;
      this.end(oldest!, 'limits.unauthenticatedPerAddress');
    }
    return account;
  }

  loggedIn(account: MemoryAccount, user: string): void {
    if (account.group === null) return;
    let group = this.users.get(user);
    if (group === undefined) {
      group = new Group();
      this.users.set(user, group);
    }
    this.leave(account);
    account.user = user;
    account.group = group;
    group.accounts.add(account);
    this.add(account, account.stated + CONNECTION_BYTES);
  }

  update(account: MemoryAccount, stated: number): void {
    const { group } = account;
    if (group === null) return;
    const { limits } = this;
    const bytes = account.user === null ? stated : stated + CONNECTION_BYTES;
    const grown = bytes - account.bytes;
    account.stated = stated;
    this.add(account, grown);
    if (grown <= 0) return;
    if (stated > limits.connectionBytes) this.end(account, 'limits.connectionBytes');
    if (group === this.strangers) {
      if (group.bytes > limits.unauthenticatedBytes) this.shrink(group, 'limits.unauthenticatedBytes');
    } else if (group.bytes > limits.userBytes) this.shrink(group, 'limits.userBytes');
    if (this.total > limits.clientBytes) this.shrinkAll();
  }

  close(account: MemoryAccount): void {
    const { group, user } = account;
    if (group === null) return;
    this.leave(account);
    account.group = null;
    if (user !== null && group.accounts.size === 0) this.users.delete(user);
  }

  /** Closes the connection that holds the most: the process is short of memory. Returns its bytes; 0: there is none. */
  closeLargest(): number {
    const largest = this.sorted(this.everyone())[0];
    if (largest === undefined) return 0;
    const { bytes } = largest;
    this.end(largest, 'limits.clientBytes');
    return bytes;
  }

  private add(account: MemoryAccount, bytes: number): void {
    account.bytes += bytes;
    account.group!.bytes += bytes;
    this.total += bytes;
  }

  private leave(account: MemoryAccount): void {
    const { group, bytes } = account;
    group!.bytes -= bytes;
    this.total -= bytes;
    account.bytes = 0;
    group!.accounts.delete(account);
    if (group === this.strangers) this.leaveAddress(account);
  }

  private leaveAddress(account: MemoryAccount): void {
    const neighbours = this.byAddress.get(account.address)!;
    neighbours.delete(account);
    if (neighbours.size === 0) this.byAddress.delete(account.address);
  }

  private shrink(group: Group, limit: MemoryLimit): void {
    const enough = this.limits[limit.slice('limits.'.length) as keyof MemoryLimits] * (7 / 8);
    for (const account of this.sorted(group.accounts)) {
      if (group.bytes <= enough) return;
      this.end(account, limit);
    }
  }

  private shrinkAll(): void {
    const enough = this.limits.clientBytes * (7 / 8);
    for (const account of this.sorted(this.everyone())) {
      if (this.total <= enough) return;
      this.end(account, 'limits.clientBytes');
    }
  }

  private end(account: MemoryAccount, limit: MemoryLimit): void {
    if (account.group === null) return;
    this.close(account);
    account.debtor.exceeded(limit);
  }

  private *everyone(): IterableIterator<MemoryAccount> {
    yield* this.strangers.accounts;
    for (const { accounts } of this.users.values()) yield* accounts;
  }

  /** The largest first. */
  private sorted(accounts: Iterable<MemoryAccount>): MemoryAccount[] {
    return [...accounts].sort((a, b) => b.bytes - a.bytes);
  }
}
