// Retained messages in a map, committed as soon as they are set: for tests of those who use them. The real store has a
// suite of its own (test/store/retained/retained-contract.ts).

import type { Message } from '../src/core/message/message.ts';
import { filterSelects, patternWords } from '../src/core/message/topic-pattern.ts';
import type {
  RetainedCount,
  RetainedCursor,
  RetainedMoment,
  RetainedPlace,
  RetainedStore,
} from '../src/core/ports/retained-store.ts';

export class FakeRetained implements RetainedStore {
  readonly hosts: Map<string, Map<string, Message>> = new Map();
  private readonly setAt: Map<Message, number> = new Map();
  private revision = 0;
  /** Messages that one virtual host retains. */
  limit = Number.POSITIVE_INFINITY;
  /** Messages that one read gives at most. */
  mostAtOnce = 64;

  set(vhost: string, message: Message): boolean {
    const kept = this.hosts.get(vhost) ?? new Map<string, Message>();
    this.hosts.set(vhost, kept);
    kept.delete(message.routingKey);
    this.revision++;
    if (message.bodyLength === 0) return true;
    if (kept.size >= this.limit) return false;
    const copy = copyOf(message);
    kept.set(message.routingKey, copy);
    this.setAt.set(copy, this.revision);
    return true;
  }

  find(vhost: string, filter: string, place: RetainedPlace | null = null): RetainedCursor {
    const pattern = patternWords(filter, 'mqtt');
    const since: RetainedMoment = place?.since ?? { epoch: 1, revision: this.revision };
    const after = place?.after ?? null;
    const found = [...(this.hosts.get(vhost)?.values() ?? [])]
      .filter((each) => filterSelects(pattern, each.routingKey))
      .filter((each) => after === null || each.routingKey > after)
      .filter((each) => this.setAt.get(each)! <= since.revision || !each.persistent)
      .sort((a, b) => (a.routingKey < b.routingKey ? -1 : 1));
    const isCurrent = (message: Message) => this.hosts.get(vhost)?.get(message.routingKey) === message;
    return { since, empty: found.length === 0, read: async () => found.splice(0, this.mostAtOnce), isCurrent };
  }

  count(vhost: string): RetainedCount {
    const kept = [...(this.hosts.get(vhost)?.values() ?? [])];
    return { messages: kept.length, bytes: kept.reduce((sum, each) => sum + each.bodyLength, 0) };
  }

  expire(): boolean {
    return false;
  }
}

/** The bytes that a message points to may be a socket's. */
function copyOf(message: Message): Message {
  const copy = message.copy({});
  copy.body = Buffer.from(message.body);
  copy.native = Buffer.from(message.native);
  copy.owned = true;
  return copy;
}
