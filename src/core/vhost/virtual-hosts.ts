// The virtual hosts of a broker. `/` is created at the first start.

import type { VirtualHostDependencies } from './virtual-host.ts';
import { VirtualHost } from './virtual-host.ts';

export const DEFAULT_VHOST = '/';

export class VirtualHosts {
  private readonly hosts: Map<string, VirtualHost>;
  private readonly dependencies: VirtualHostDependencies;

  constructor(dependencies: VirtualHostDependencies) {
    this.dependencies = dependencies;
    this.hosts = new Map();
  }

  /** Recovers the virtual hosts from the definitions; creates the default one at the first start. */
  recover(): void {
    for (const { name } of this.dependencies.definitions.all('vhost')) this.add(name[0]!);
    if (!this.hosts.has(DEFAULT_VHOST)) this.create(DEFAULT_VHOST);
    for (const host of this.hosts.values()) host.recover();
  }

  get(name: string): VirtualHost | null {
    return this.hosts.get(name) ?? null;
  }

  /** Creates a virtual host, unless it exists. Durable with the next commit. */
  create(name: string): VirtualHost {
    const known = this.hosts.get(name);
    if (known !== undefined) return known;
    this.dependencies.definitions.put('vhost', [name], {});
    return this.add(name);
  }

  [Symbol.iterator](): IterableIterator<VirtualHost> {
    return this.hosts.values();
  }

  private add(name: string): VirtualHost {
    const host = new VirtualHost(name, this.dependencies);
    this.hosts.set(name, host);
    return host;
  }
}
