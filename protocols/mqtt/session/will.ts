// Wills: what the broker publishes when a client goes without saying goodbye (MQTT 5 §3.1.2.5). Here is what one is, how
// it is kept with a session that outlives its connection, and how it is published; when, says session-clock.ts.

import { BrokerError } from '../../../src/core/errors.ts';
import { Message } from '../../../src/core/message/message.ts';
import { PUBLISH } from '../../../src/core/session/publish-path.ts';
import type { Session } from '../../../src/core/session/session.ts';
import type { MqttContext } from '../context.ts';
import type { Will } from '../packet/will-record.ts';
import { swapSeparators } from '../topic/topics.ts';

/** Publishes a will. Null where that was done at once; else it resolves when it was. */
export function publishWill(will: Will, core: Session, context: MqttContext): Promise<void> | null {
  const { payload, qos, block } = will;
  const message = new Message(
    context.options.exchange,
    swapSeparators(will.topic),
    payload,
    0,
    payload.length,
    block,
    0,
    block.length,
    context.codecs.forms.of(qos, will.retain, block.length),
    qos > 0,
    0,
    will.expirationMs,
    context.turn.now,
  );
  try {
    if (core.publish(message, null, 0) === PUBLISH.pending) {
      return core.ready().then(
        () => publishWill(will, core, context) ?? undefined,
        (error: unknown) => context.log.error({ topic: will.topic, error }, 'will not published'),
      );
    }
    if (will.retain) core.vhost.retainer.keep(message, null, 0);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    context.log.info({ user: core.identity.user, topic: will.topic, error: error.message }, 'will refused');
  }
  return null;
}
