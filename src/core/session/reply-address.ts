// Addresses that stand in a reply-to and are no queue: the requester waits for its answer on a topic. They are spelled as
// STOMP spells destinations, so that a STOMP service sends to them as they are; an AMQP service publishes its answer to
// the default exchange with the address as routing key, as it always does, and session.ts takes it where it belongs.
//
//   /topic/KEY                 exchange amq.topic
//   /exchange/NAME/KEY         any exchange            a slash inside a name or key is %2F, a percent sign %25

export interface ReplyAddress {
  readonly exchange: string;
  readonly routingKey: string;
}

const TOPIC_EXCHANGE = 'amq.topic';
const TOPIC = '/topic/';
const EXCHANGE = '/exchange/';

/** The address as it stands in a reply-to. */
export function formatReplyAddress({ exchange, routingKey }: ReplyAddress): string {
  if (exchange === TOPIC_EXCHANGE) return TOPIC + escapeName(routingKey);
  return `${EXCHANGE}${escapeName(exchange)}/${escapeName(routingKey)}`;
}

/** What a reply-to (or a routing key on the default exchange) addresses, or null where it is none of these. */
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
