// The configuration imports no other part and repeats their defaults; this test compares them. A limit of a protocol
// that its section does not have is in section `limits`, for all protocols.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AMQP_DEFAULTS } from '../../protocols/amqp/limits.ts';
import { DEFAULT_MQTT_LIMITS } from '../../protocols/mqtt/limits.ts';
import { STOMP_LIMITS } from '../../protocols/stomp/limits.ts';
import { configOf } from '../../src/config/load.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { OUTBOX_DEFAULTS } from '../../src/net/outbox.ts';

const { amqp, mqtt, stomp, limits } = configOf({});

const PARTS: readonly [string, object, object, readonly string[]][] = [
  ['the core', DEFAULT_LIMITS, limits, []],
  ['AMQP', AMQP_DEFAULTS, amqp, []],
  ['MQTT', DEFAULT_MQTT_LIMITS, mqtt, ['connectTimeoutMs']],
  ['STOMP', STOMP_LIMITS, stomp, ['loginTimeoutMs', 'maxBodyBytes']],
];

for (const [part, defaults, section, elsewhere] of PARTS) {
  test(`every bound of ${part} is configurable, with the same default`, () => {
    const configured = new Map(Object.entries(section));
    for (const [name, value] of Object.entries(defaults)) {
      if (!elsewhere.includes(name)) assert.equal(configured.get(name), value, name);
    }
  });
}

test('the watermarks of outboxes are those of the network part', () => {
  assert.equal(limits.outboxHighBytes, OUTBOX_DEFAULTS.highWatermarkBytes);
  assert.equal(limits.outboxLowBytes, OUTBOX_DEFAULTS.lowWatermarkBytes);
});
