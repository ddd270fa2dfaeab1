// Publishes wills: the message that the broker publishes for a client that closes without DISCONNECT (MQTT 5 §3.1.2.5).
// session-clock.ts decides when; packet/will-record.ts is the will itself and how it is stored.

import { BrokerError } from '../../../src/core/errors.ts';
import { Message } from '../../../src/core/message/message.ts';
import { PUBLISH } from '../../../src/core/session/publish-path.ts';
import type { Session } from '../../../src/core/session/session.ts';
import type { MqttContext } from '../context.ts';
import type { Will } from '../packet/will-record.ts';
import { swapSeparators } from '../topic/topics.ts';

/** Publishes a will in the name of the user of `core`. Null if that was done at once, else resolves when it was. */
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
    if (will.retain) core.retain(message, null, 0);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    context.log.info({ user: core.identity.user, topic: will.topic, error: error.message }, 'will refused');
  }
  return null;
}
