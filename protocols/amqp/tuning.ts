// What client and broker agree on in connection.tune and tune-ok (§1.4.2.5). A limit may be lowered, never raised; a
// client's 0 asks for no limit and is allowed only where we offered none.

import { AmqpError, REPLY } from './amqp-error.ts';

/** §4.2.3: frame-min-size. Also the largest frame before tuning. */
export const FRAME_MIN_BYTES = 4096;
/** Before tune-ok a client may send its properties and its credentials, and nothing that needs more. */
export const UNTUNED_FRAME_BYTES = 8192;

/** Throws NOT_ALLOWED, in RabbitMQ's words, where the client's value is out of bounds. */
export function checkTuning(field: 'frame_max' | 'channel_max', client: number, offered: number, min: number): void {
  if (client !== 0 && client < min) throw outOfBounds(field, client, 'lower', 'minimum', min);
  if (client === 0 || client > offered) throw outOfBounds(field, client, 'higher', 'maximum', offered);
}

function outOfBounds(field: string, client: number, than: string, bound: string, value: number): AmqpError {
  return new AmqpError(
    REPLY.notAllowed,
    `negotiated ${field} = ${client} is ${than} than the ${bound} allowed value (${value})`,
  );
}
