// Wills: what the broker publishes when a client goes without saying goodbye (MQTT 5 §3.1.2.5). Here is what one is, how
// it is kept with a session that outlives its connection, and how it is published; when, says session-clock.ts.

import { BrokerError } from '../../../src/core/errors.ts';
import { Message } from '../../../src/core/message/message.ts';
import { PUBLISH } from '../../../src/core/session/publish-path.ts';
import type { Session } from '../../../src/core/session/session.ts';
import type { MqttShared } from '../shared.ts';
import { swapSeparators } from '../topic/topics.ts';

export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  /** The properties that go with the message (property-codec.ts). */
  readonly block: Buffer;
  /** How long the client may be away before it is published. */
  readonly delaySeconds: number;
  /** Milliseconds, from when it is published; -1: it does not expire. */
  readonly expirationMs: number;
}

/** A will as a plain JSON value. */
export type StoredWill = Readonly<Record<string, unknown>>;

export function willToJson(will: Will): StoredWill {
  return { ...will, payload: will.payload.toString('base64'), block: will.block.toString('base64') };
}

export function willFromJson(json: StoredWill): Will {
  return {
    topic: json.topic as string,
    payload: Buffer.from(json.payload as string, 'base64'),
    qos: json.qos as number,
    retain: json.retain as boolean,
    block: Buffer.from(json.block as string, 'base64'),
    delaySeconds: json.delaySeconds as number,
    expirationMs: json.expirationMs as number,
  };
}

/** Publishes a will. Null where that was done at once; else it resolves when it was. */
export function publishWill(will: Will, core: Session, shared: MqttShared): Promise<void> | null {
  const { payload, qos, block } = will;
  const message = new Message(
    shared.exchange,
    swapSeparators(will.topic),
    payload,
    0,
    payload.length,
    block,
    0,
    block.length,
    shared.forms.of(qos, will.retain, block.length),
    qos > 0,
    0,
    will.expirationMs,
    shared.turn.now,
  );
  try {
    if (core.publish(message, null, 0) === PUBLISH.pending) {
      return core.ready().then(
        () => publishWill(will, core, shared) ?? undefined,
        (error: unknown) => shared.log.error({ topic: will.topic, error }, 'will not published'),
      );
    }
    if (will.retain) core.vhost.retainer.keep(message, null, 0);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    shared.log.info({ user: core.identity.user, topic: will.topic, error: error.message }, 'will refused');
  }
  return null;
}
