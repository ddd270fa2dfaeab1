// Retained messages of all virtual hosts, by topic: the last one that was published with the retain flag, for whoever
// subscribes later (MQTT 3.1.1 §3.3.1.3). In memory, within bounds; a filter with wildcards looks at every topic.

import type { Message } from '../../src/core/message.ts';
import type { Turn } from '../../src/core/turn.ts';
import { filterMatches, hasWildcard, swapSeparators } from './topics.ts';

export interface RetainedLimits {
  readonly retainedMessages: number;
  readonly retainedBytes: number;
}

interface RetainedHost {
  readonly byTopic: Map<string, Message>;
  bytes: number;
}

export class RetainedMessages {
  private readonly limits: RetainedLimits;
  private readonly turn: Turn;
  private readonly hosts: Map<string, RetainedHost>;
  /** Messages that were not kept because of a bound. */
  refused: number;

  constructor(limits: RetainedLimits, turn: Turn) {
    this.limits = limits;
    this.turn = turn;
    this.hosts = new Map();
    this.refused = 0;
  }

  /**
   * Keeps a message in the place of the one before; an empty one only removes it [MQTT-3.3.1-10]. False where a bound
   * forbids it; then the topic has no retained message.
   */
  set(vhost: string, message: Message): boolean {
    const topic = swapSeparators(message.routingKey);
    let host = this.hosts.get(vhost);
    const known = host?.byTopic.get(topic);
    if (host !== undefined && known !== undefined) {
      host.byTopic.delete(topic);
      host.bytes -= costOf(topic, known);
    }
    if (message.bodyLength === 0) return true;
    if (host === undefined) {
      host = { byTopic: new Map(), bytes: 0 };
      this.hosts.set(vhost, host);
    }
    const cost = costOf(topic, message);
    if (host.byTopic.size >= this.limits.retainedMessages || host.bytes + cost > this.limits.retainedBytes) {
      this.refused++;
      return false;
    }
    this.turn.retain(message);
    host.byTopic.set(topic, message);
    host.bytes += cost;
    return true;
  }

  /** The messages whose topics the filter selects. */
  matching(vhost: string, filter: string): Message[] {
    const byTopic = this.hosts.get(vhost)?.byTopic;
    if (byTopic === undefined) return [];
    if (!hasWildcard(filter)) {
      const message = byTopic.get(filter);
      return message === undefined ? [] : [message];
    }
    const found: Message[] = [];
    for (const [topic, message] of byTopic) if (filterMatches(filter, topic)) found.push(message);
    return found;
  }
}

function costOf(topic: string, message: Message): number {
  return topic.length + message.bodyLength;
}
