// The checks of STOMP 1.0, 1.1 and 1.2, by subject.

import type { Check } from '../check.ts';
import { ACK_CHECKS } from './checks/ack.ts';
import { BODY_CHECKS } from './checks/body.ts';
import { CONNECT_CHECKS } from './checks/connect.ts';
import { DESTINATION_CHECKS } from './checks/destination.ts';
import { ERROR_CHECKS } from './checks/error.ts';
import { FRAME_CHECKS } from './checks/frames.ts';
import { HEADER_CHECKS } from './checks/headers.ts';
import { HEART_BEAT_CHECKS } from './checks/heart-beat.ts';
import { MESSAGE_CHECKS } from './checks/message.ts';
import { RABBITMQ_CHECKS } from './checks/rabbitmq.ts';
import { RECEIPT_CHECKS } from './checks/receipt.ts';
import { SEND_CHECKS } from './checks/send.ts';
import { SUBSCRIBE_CHECKS } from './checks/subscribe.ts';
import { TRANSACTION_CHECKS } from './checks/transaction.ts';
import { WEBSOCKET_CHECKS } from './checks/websocket.ts';

/** By version and transport: one rule may have up to four checks. */
const ALL: readonly Check[] = [
  ...CONNECT_CHECKS,
  ...FRAME_CHECKS,
  ...HEADER_CHECKS,
  ...BODY_CHECKS,
  ...SEND_CHECKS,
  ...SUBSCRIBE_CHECKS,
  ...ACK_CHECKS,
  ...TRANSACTION_CHECKS,
  ...RECEIPT_CHECKS,
  ...MESSAGE_CHECKS,
  ...ERROR_CHECKS,
  ...HEART_BEAT_CHECKS,
  ...WEBSOCKET_CHECKS,
  ...DESTINATION_CHECKS,
  ...RABBITMQ_CHECKS,
];

/** The checks of each version over TCP, then those over WebSocket. */
export const STOMP_CHECKS: readonly Check[] = [
  ...['1.0', '1.1', '1.2'].flatMap((version) => ALL.filter((check) => check.version === version && !check.webSocket)),
  ...ALL.filter(({ webSocket }) => webSocket),
];
