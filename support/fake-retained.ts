// Retained messages in a map, committed at once, for tests of their users. The real store has its own tests
// (test/store/retained/retained-contract.ts).

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
  /** Maximum of retained messages in one virtual host. */
  limit = Number.POSITIVE_INFINITY;
  /** Maximum of messages that one read returns. */
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

/** A copy, because the message may reference a socket's buffer. */
function copyOf(message: Message): Message {
  const copy = message.copy({});
  copy.body = Buffer.from(message.body);
  copy.native = Buffer.from(message.native);
  copy.owned = true;
  return copy;
}
