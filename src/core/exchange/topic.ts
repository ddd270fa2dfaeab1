// Topic exchange (AMQP 0-9-1 §3.1.3.3): binding keys are patterns of words between dots. AMQP patterns and MQTT filters
// have different wildcards, so each dialect has its own trie of parsed words.

import { type Dialect, keyWords, patternWords } from '../message/topic-pattern.ts';
import type { Binding } from './exchange.ts';
import { Exchange, type ExchangeGraph, type ExchangeOptions } from './exchange.ts';
import { isBrokerTopic } from './retainer.ts';
import type { Route } from './route.ts';
import { TopicTrie } from './topic-trie.ts';

const STAR = 0x2a;
const PLUS = 0x2b;
const HASH = 0x23;

export class TopicExchange extends Exchange {
  readonly kind = 'topic';
  private readonly amqp: TopicTrie;
  private readonly mqtt: TopicTrie;

  constructor(options: ExchangeOptions, graph: ExchangeGraph) {
    super(options, graph);
    this.amqp = new TopicTrie();
    this.mqtt = new TopicTrie();
  }

  match(route: Route): boolean {
    const words = keyWords(route.routingKey);
    let matched = false;
    const onMatch = (binding: Binding): void => {
      matched = true;
      route.follow(binding);
    };
    // Messages below `$SYS` reach only bindings that name `$SYS`.
    const ownTopic = this.retainer !== null && isBrokerTopic(route.routingKey);
    // Only the broker publishes there, and to this exchange: what comes over another one is somebody else's.
    if (ownTopic && route.message.exchange !== this.name) return false;
    if (this.amqp.size > 0) this.amqp.match(words, !ownTopic, onMatch);
    // [MQTT-4.7.2-1]
    if (this.mqtt.size > 0) this.mqtt.match(words, !route.routingKey.startsWith('$'), onMatch);
    return matched;
  }

  /**
   * Compares the keys up to the first wildcard of either dialect, without splitting them into words (tens of
   * nanoseconds): most changes differ from most keys before their first wildcard.
   */
  protected mayMatch(bindingKey: string, routingKey: string): boolean {
    for (let i = 0; i < bindingKey.length; i++) {
      const code = bindingKey.charCodeAt(i);
      if (code === STAR || code === PLUS || code === HASH) return true;
      // `a.#` matches `a`: if the routing key ends first, the rest of the pattern decides.
      if (i === routingKey.length) return true;
      if (code !== routingKey.charCodeAt(i)) return false;
    }
    return bindingKey.length === routingKey.length;
  }

  protected file(binding: Binding): void {
    this.trie(binding.dialect).add(patternWords(binding.routingKey, binding.dialect), binding);
  }

  protected unfile(binding: Binding): void {
    this.trie(binding.dialect).remove(patternWords(binding.routingKey, binding.dialect), binding);
  }

  private trie(dialect: Dialect): TopicTrie {
    return dialect === 'mqtt' ? this.mqtt : this.amqp;
  }
}
