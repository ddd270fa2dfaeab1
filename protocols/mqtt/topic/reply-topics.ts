// Topics that stand for queues, so that an MQTT service can answer a requester of another protocol that consumes from a
// queue of its own. The requester's reply-to names the queue, the service gets a topic for it as response topic, and what
// it publishes there goes to the queue through the default exchange (which needs the permission to write there).
//
//   $reply-queue/NAME    '%', '+', '#' and U+0000 in the name as %25, %2B, %23 and %00

const PREFIX = '$reply-queue/';
/** The same as a routing key. */
const KEY_PREFIX = '$reply-queue.';
const DOLLAR = 0x24;

export function replyTopicOf(queue: string): string {
  return PREFIX + queue.replace(/[%+#\0]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** The queue of a reply topic; null for any other topic. */
export function queueOfReplyTopic(topic: string): string | null {
  if (!topic.startsWith(PREFIX) || topic.length === PREFIX.length) return null;
  return topic
    .slice(PREFIX.length)
    .replace(/%(25|2b|23|00)/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** Whether a routing key is that of a reply topic. Called for every publish. */
export function isReplyKey(routingKey: string): boolean {
  return routingKey.charCodeAt(0) === DOLLAR && routingKey.startsWith(KEY_PREFIX);
}
