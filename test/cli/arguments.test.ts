// The command line: commands, flags with and without values, and the message for input that is not understood.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readArguments, UsageError } from '../../src/cli/arguments.ts';
import { helpText } from '../../src/cli/help.ts';
import { KEYS } from '../../src/config/keys.ts';

test('a command and its flags, in any order', () => {
  const expected = { command: 'start', flags: { 'amqp-port': '0', config: 'a.yaml' } };
  assert.deepEqual(readArguments(['start', '--amqp-port', '0', '--config', 'a.yaml']), expected);
  assert.deepEqual(readArguments(['--config=a.yaml', '--amqp-port=0', 'start']), expected);
});

test('nothing at all asks for help, as --help does anywhere', () => {
  assert.equal(readArguments([]).command, 'help');
  assert.equal(readArguments(['start', '--amqp-port', '1', '--help']).command, 'help');
  assert.equal(readArguments(['-h']).command, 'help');
  assert.equal(readArguments(['--version']).command, 'version');
});

test('a flag that is true or false may stand alone', () => {
  const flag = 'tls-require-client-certificate';
  assert.deepEqual(readArguments(['start', `--${flag}`]).flags, { [flag]: 'true' });
  assert.deepEqual(readArguments(['start', `--${flag}=false`]).flags, { [flag]: 'false' });
  assert.deepEqual(readArguments([`--${flag}`, 'start']), { command: 'start', flags: { [flag]: 'true' } });
});

test('the last of a repeated flag counts', () => {
  assert.deepEqual(readArguments(['start', '--host', 'a', '--host', 'b']).flags, { host: 'b' });
});

test('an unknown flag is passed on with its value: the loader tells its right name', () => {
  assert.deepEqual(readArguments(['start', '--amqp-prot', '1']).flags, { 'amqp-prot': '1' });
  assert.deepEqual(readArguments(['start', '--wrong']).flags, { wrong: 'true' });
});

for (const [argv, expected] of [
  [['strat'], /unknown command 'strat'; did you mean start\?/],
  [['start', 'now'], /'now' is not expected/],
  [['start', '--amqp-port'], /--amqp-port needs a value/],
  [['--amqp-port', '5'], /no command/],
] as const) {
  test(`not understood: ${argv.join(' ')}`, () => {
    assert.throws(
      () => readArguments(argv),
      (error: Error) => error instanceof UsageError && expected.test(error.message),
    );
  });
}

test('help names every flag, and no password', () => {
  const text = helpText();
  for (const { flag } of KEYS) assert.ok(text.includes(`--${flag}\n`), flag);
  const secret = KEYS.find((key) => key.leaf.secret === true)!;
  const line = text.slice(text.indexOf(`--${secret.flag}`)).split('\n')[1]!;
  assert.ok(!line.includes('default'), line);
});
