// Addresses in a reply-to that are no queues: the requester waits for its reply on a topic. They have the form of STOMP
// destinations, so that a STOMP service sends to them unchanged. An AMQP service publishes its reply to the default
// exchange with the address as routing key, and the session publishes it to the exchange that the address names.
//
// Forms: `/topic/KEY` (exchange amq.topic) and `/exchange/NAME/KEY` (any exchange). A slash inside a name or key is
// %2F, a percent sign %25.

export interface ReplyAddress {
  readonly exchange: string;
  readonly routingKey: string;
}

const TOPIC_EXCHANGE = 'amq.topic';
const TOPIC = '/topic/';
const EXCHANGE = '/exchange/';

/** The text of an address in a reply-to. */
export function formatReplyAddress({ exchange, routingKey }: ReplyAddress): string {
  if (exchange === TOPIC_EXCHANGE) return TOPIC + escapeName(routingKey);
  return `${EXCHANGE}${escapeName(exchange)}/${escapeName(routingKey)}`;
}

/** The address in a reply-to (or in a routing key on the default exchange), or null if it is none. */
export function parseReplyAddress(text: string): ReplyAddress | null {
  if (text.startsWith(TOPIC)) {
    const key = text.slice(TOPIC.length);
    return key === '' || key.includes('/') ? null : { exchange: TOPIC_EXCHANGE, routingKey: unescapeName(key) };
  }
  if (!text.startsWith(EXCHANGE)) return null;
  const [exchange, key, ...more] = text.slice(EXCHANGE.length).split('/');
  if (exchange === undefined || exchange === '' || key === undefined || more.length > 0) return null;
  return { exchange: unescapeName(exchange), routingKey: unescapeName(key) };
}

function escapeName(name: string): string {
  return name.replace(/[/%]/g, (character) => (character === '/' ? '%2F' : '%25'));
}

function unescapeName(text: string): string {
  return text.replace(/%(2f|25)/gi, (_, code: string) => (code === '25' ? '%' : '/'));
}
