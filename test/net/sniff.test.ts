// How the first bytes of a connection select its protocol, wherever the chunks are split.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MAX_SNIFF_BYTES, SNIFFED, type Sniffed, sniff } from '../../src/net/sniff.ts';

const { amqp, mqtt, stomp, http, tls, unknown, more } = SNIFFED;

/** The input, the detected protocol, and after how many bytes it is detected. */
const CASES: readonly [string, string, Sniffed, number][] = [
  ['the AMQP 0-9-1 header', 'AMQP\0\0\x09\x01', amqp, 4],
  ['the AMQP 1.0 header, which AMQP answers', 'AMQP\x03\x01\0\0', amqp, 4],
  ['an MQTT CONNECT', '\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02ab', mqtt, 1],
  ['a TLS ClientHello', '\x16\x03\x01\x02\0\x01', tls, 2],
  ["STOMP's CONNECT", 'CONNECT\naccept-version:1.2\n\n\0', stomp, 8],
  ['a STOMP frame with CR LF', 'STOMP\r\n', stomp, 6],
  ['a STOMP heart-beat before the first frame', '\nCONNECT\n', stomp, 1],
  ['a STOMP frame that comes too early', 'SUBSCRIBE\n', stomp, 10],
  ["a word that STOMP does not know, which is STOMP's to say", 'HELLO\n', stomp, 6],
  ['an HTTP request', 'GET /stomp HTTP/1.1\r\n', http, 4],
  ["HTTP's CONNECT", 'CONNECT example.org:443 HTTP/1.1\r\n', http, 8],
  ['a method with a hyphen', 'M-SEARCH * HTTP/1.1\r\n', http, 9],
  ['the longest method', 'UPDATEREDIRECTREF / HTTP/1.1\r\n', http, 18],
  ['a word that begins as AMQP does', 'AMQ\n', stomp, 4],
  ['a word without end', 'A'.repeat(100).replace('AMQP', ''), unknown, MAX_SNIFF_BYTES],
  ['a handshake record of SSL 2', '\x16\x02', unknown, 2],
  ['an MQTT PUBLISH', '\x30\x05', unknown, 1],
  ['small letters', 'get /', unknown, 1],
  ['SSH', 'SSH-2.0-x', unknown, 5],
  ['zeros', '\0\0', unknown, 1],
];

describe('the first bytes of a connection', () => {
  for (const [what, text, verdict, after] of CASES) {
    it(`tell ${what}: ${verdict}`, () => {
      const bytes = Buffer.from(text, 'latin1');
      for (let length = 0; length <= bytes.length; length++) {
        assert.equal(sniff(bytes.subarray(0, length)), length < after ? more : verdict, `after ${length} bytes`);
      }
    });
  }

  it('suffice at the maximum length, and a result does not change with further bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: MAX_SNIFF_BYTES, maxLength: 64 }), (octets) => {
        const bytes = Buffer.from(octets);
        let last: Sniffed = more;
        for (let length = 0; length <= bytes.length; length++) {
          const verdict = sniff(bytes.subarray(0, length));
          if (last !== more) assert.equal(verdict, last);
          last = verdict;
        }
        assert.notEqual(last, more);
      }),
    );
  });
});
