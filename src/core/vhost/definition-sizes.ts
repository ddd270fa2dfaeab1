// How much memory a queue, an exchange and a binding take: estimates that are a little too high, by which a virtual host
// bounds its definitions. Measured as the growth of the heap with 20,000 of each.

import type { Binding, Exchange } from '../exchange/exchange.ts';
import type { Queue } from '../queue/queue.ts';

const QUEUE_BYTES = 1_500;
const EXCHANGE_BYTES = 1_200;
const BINDING_BYTES = 900;
/** A word of a topic pattern that no other pattern shares: a node of the trie, and the word. */
const TOPIC_WORD_BYTES = 104;
const DOT = 0x2e;

export function queueBytes(queue: Queue): number {
  return QUEUE_BYTES + queue.name.length + queue.argumentBytes;
}

export function exchangeBytes(exchange: Exchange): number {
  return EXCHANGE_BYTES + exchange.name.length + exchange.argumentBytes;
}

export function bindingBytes({ source, routingKey, argumentBytes }: Binding): number {
  const words = source.kind === 'topic' ? wordsOf(routingKey) * TOPIC_WORD_BYTES : 0;
  return BINDING_BYTES + 2 * routingKey.length + words + argumentBytes;
}

function wordsOf(key: string): number {
  let words = 1;
  for (let at = 0; at < key.length; at++) if (key.charCodeAt(at) === DOT) words++;
  return words;
}
