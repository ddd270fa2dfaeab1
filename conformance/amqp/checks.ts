// The checks of AMQP 0-9-1, by subject.

import type { Check } from '../check.ts';
import { CHANNEL_CHECKS } from './checks/channel.ts';
import { CONNECTION_CHECKS } from './checks/connection.ts';
import { CONSUME_CHECKS } from './checks/consume.ts';
import { CONTENT_CHECKS } from './checks/content.ts';
import { DEAD_LETTER_CHECKS } from './checks/dead-letter.ts';
import { EXCHANGE_CHECKS } from './checks/exchange.ts';
import { EXPIRY_CHECKS } from './checks/expiry.ts';
import { EXTERNAL_CHECKS } from './checks/external.ts';
import { FRAMING_CHECKS } from './checks/framing.ts';
import { PUBLISH_CHECKS } from './checks/publish.ts';
import { QUEUE_CHECKS } from './checks/queue.ts';
import { QUEUE_KIND_CHECKS } from './checks/queue-kinds.ts';
import { ROUTING_CHECKS } from './checks/routing.ts';
import { SETTLE_CHECKS } from './checks/settle.ts';
import { WEBSOCKET_CHECKS } from './checks/websocket.ts';

export const AMQP_CHECKS: readonly Check[] = [
  ...CONNECTION_CHECKS,
  ...CHANNEL_CHECKS,
  ...FRAMING_CHECKS,
  ...EXCHANGE_CHECKS,
  ...QUEUE_CHECKS,
  ...ROUTING_CHECKS,
  ...PUBLISH_CHECKS,
  ...CONSUME_CHECKS,
  ...SETTLE_CHECKS,
  ...CONTENT_CHECKS,
  ...EXPIRY_CHECKS,
  ...DEAD_LETTER_CHECKS,
  ...QUEUE_KIND_CHECKS,
  ...WEBSOCKET_CHECKS,
  ...EXTERNAL_CHECKS,
];
