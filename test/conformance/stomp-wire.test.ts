// Protects the codec of the STOMP checks: frames that no broker may send are errors, and frames are parsed the same at
// every split.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrame, firstFrame, VERSIONS, type Version } from '../../conformance/stomp/wire/frames.ts';

const read = (text: string, version: Version | null = '1.2') => firstFrame(Buffer.from(text), version);

test('a frame is read whole or not at all, wherever the stream is cut', () => {
  const text = '\n\nMESSAGE\na:1\ncontent-length:3\n\nx\0y\0';
  for (let cut = 0; cut < text.length; cut++) assert.equal(read(text.slice(0, cut)).frame, null, `${cut}`);
  const { frame, length, eols } = read(`${text}\nRECEIPT\n`);
  assert.deepEqual([frame?.command, frame?.headers.a, frame?.body.toString()], ['MESSAGE', '1', 'x\0y']);
  assert.deepEqual([length, eols], [text.length, 2]);
});

test('of repeated headers the first is read, and all lines are kept', () => {
  const { frame } = read('MESSAGE\na:1\na:2\n\n\0');
  assert.deepEqual([frame?.headers.a, frame?.lines], ['1', ['a:1', 'a:2']]);
});

test('headers are unescaped by version, and not those of CONNECTED', () => {
  const value = (version: Version, command = 'MESSAGE') => {
    return read(`${command}\na:\\n\\c\\\\\n\n\0`, version).frame?.headers.a;
  };
  assert.deepEqual(
    VERSIONS.map((version) => value(version)),
    ['\\n\\c\\\\', '\n:\\', '\n:\\'],
  );
  assert.equal(value('1.2', 'CONNECTED'), '\\n\\c\\\\');
});

test('a frame encoded in a version decodes in it', () => {
  const value = 'a:b\\c\nd\re';
  for (const version of ['1.1', '1.2'] as const) {
    const bytes = encodeFrame(version, 'MESSAGE', { [value]: value }, 'body');
    assert.equal(firstFrame(bytes, version).frame?.headers[value], value);
  }
});

const MALFORMED: readonly (readonly [string, string, Version])[] = [
  ['a command that no server has', 'SEND\n\n\0', '1.2'],
  ['a header without a colon', 'MESSAGE\na\n\n\0', '1.2'],
  ['a header without a name', 'MESSAGE\n:a\n\n\0', '1.2'],
  ['an escape that nobody defined', 'MESSAGE\na:\\t\n\n\0', '1.2'],
  ['an escape that 1.1 does not define', 'MESSAGE\na:\\r\n\n\0', '1.1'],
  ['half an escape', 'MESSAGE\na:\\\n\n\0', '1.2'],
  ['a colon that is not escaped', 'MESSAGE\na:b:c\n\n\0', '1.1'],
  ['a content-length that is no number', 'MESSAGE\ncontent-length:x\n\n\0', '1.2'],
  ['a body that does not end where it was said to', 'MESSAGE\ncontent-length:1\n\nab\0', '1.2'],
  ['CR LF between frames of 1.1', '\r\nMESSAGE\n\n\0', '1.1'],
];

for (const [words, text, version] of MALFORMED) {
  test(`${words} is an error`, () => {
    assert.throws(() => read(text, version), /^Error: malformed: /);
  });
}

test('a header that is no UTF-8 is an error', () => {
  assert.throws(() => firstFrame(Buffer.from('MESSAGE\na:\xff\n\n\0', 'latin1'), '1.2'), /no UTF-8/);
});
