// The caches between topics of PUBLISH packets and routing keys: both directions give the result of an uncached
// conversion, and only valid topics are cached.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { KeyTopics, TopicKeys } from '../../../protocols/mqtt/packet/topic-cache.ts';
import { swapSeparators, topicOfKey, topicProblem } from '../../../protocols/mqtt/topic/topics.ts';

const LIMITS = { topicBytes: 4096, topicLevels: 128 };
const topicText = fc
  .string({
    unit: fc.oneof(
      fc.constantFrom('/', '.', '*', 'a', 'b', 'ü', '$'),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
    ),
    minLength: 1,
  })
  .filter((text) => topicProblem(text, LIMITS) === null && text.isWellFormed());

describe('topics and routing keys from the caches', () => {
  it('survive the round trip, whatever the topic', () => {
    const keys = new TopicKeys(LIMITS);
    const topics = new KeyTopics();
    fc.assert(
      fc.property(topicText, (topic) => {
        const bytes = Buffer.from(`xx${topic}yy`);
        const key = keys.keyOf(bytes, 2, bytes.length - 4);
        assert.equal(key, swapSeparators(topic));
        assert.equal(topicOfKey(key), topic);
        assert.equal(topics.topicOf(key).toString(), topic);
        // The second time from the caches.
        assert.equal(keys.keyOf(bytes, 2, bytes.length - 4), key);
        assert.equal(topics.topicOf(key).toString(), topic);
      }),
      { numRuns: 2000 },
    );
  });

  it('stay right with more different topics than the caches hold', () => {
    const keys = new TopicKeys(LIMITS);
    const topics = new KeyTopics();
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 20_000; i++) {
        const topic = Buffer.from(`sensors/d${i}/temperature`);
        const key = keys.keyOf(topic, 0, topic.length);
        assert.equal(key, `sensors.d${i}.temperature`);
        assert.ok(topics.topicOf(key).equals(topic));
      }
    }
  });

  it('are converted without the cache over 128 bytes', () => {
    const topic = `${'long/'.repeat(60)}end`;
    const bytes = Buffer.from(topic);
    assert.equal(new TopicKeys(LIMITS).keyOf(bytes, 0, bytes.length), swapSeparators(topic));
    assert.equal(new KeyTopics().topicOf(swapSeparators(topic)).toString(), topic);
  });

  it('keys that make no legal topic have none', () => {
    for (const key of ['', 'a.+.b', '#', 'a.#', 'nul\u0000', '\ud800', 'x'.repeat(65_536)]) {
      assert.equal(new KeyTopics().topicOf(key).length, 0, JSON.stringify(key.slice(0, 10)));
    }
  });
});

describe('a topic in a PUBLISH', () => {
  const keys = new TopicKeys(LIMITS);
  const refused = (bytes: Buffer): void => {
    assert.throws(() => keys.keyOf(bytes, 0, bytes.length), { name: 'MalformedPacket' });
  };

  it('is not empty, holds no wildcard and no U+0000', () => {
    for (const topic of ['', '+', '#', 'a/+', 'a/#', 'a+b', 'nul\u0000']) refused(Buffer.from(topic));
  });

  it('is well-formed UTF-8 without surrogates', () => {
    refused(Buffer.from([0x61, 0xff]));
    refused(Buffer.from([0xc3]));
    refused(Buffer.from([0xed, 0xa0, 0x80]));
    refused(Buffer.from([0xc0, 0x80]));
    // U+FEFF is a character like any other [MQTT-1.5.3-3].
    assert.equal(keys.keyOf(Buffer.from([0xef, 0xbb, 0xbf]), 0, 3), '\ufeff');
  });

  it('is within the limits of length and levels', () => {
    refused(Buffer.from('x'.repeat(4097)));
    refused(Buffer.from('/'.repeat(128)));
    assert.equal(keys.keyOf(Buffer.from('/'.repeat(127)), 0, 127), '.'.repeat(127));
  });
});
