// Protects the kit against checks that cannot fail: each check that passes against Trivium is failed by every mutation
// that is named for it, because of the mutation. First, a simple line protocol shows that the pair runner distinguishes
// a check that detects the mutation, one that does not, one whose mutation had no effect, and one that timed out.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Check } from '../../conformance/check.ts';
import { CHECKS } from '../../conformance/checks.ts';
import { type EmbeddedTarget, embeddedTarget } from '../../conformance/embedded.ts';
import { readExpectations, unexpected } from '../../conformance/expectations.ts';
import type { Mutation, Packet, PacketFormat } from '../../conformance/mutations/mutation.ts';
import { namedPairs, runPairs, unnoticed } from '../../conformance/mutations/pairs.ts';
import { misnamed, mutationSet } from '../../conformance/mutations/set.ts';
import { MUTATION_SETS } from '../../conformance/mutations.ts';
import { runChecks } from '../../conformance/runner.ts';
import { Wire } from '../../conformance/wire.ts';

const expectations = await readExpectations(new URL('../../conformance/expectations/trivium.json', import.meta.url));

/** Timeout for withheld packets, long enough for a stalled machine: a check gets an answer sooner. */
const TIMEOUT_MS = 60_000;

function mutationsOf(set: (typeof MUTATION_SETS)[number]): void {
  describe(`mutations of ${set.protocol}`, { concurrency: 1 }, () => {
    const checks = CHECKS.filter(({ id, protocol }) => protocol === set.protocol && !(id in expectations.failed));
    let target: EmbeddedTarget;

    before(async () => {
      target = await embeddedTarget();
    });

    after(() => target.stop());

    test('every check has one, every one is for a check', () => {
      assert.deepEqual(misnamed(set, CHECKS), []);
    });

    const elsewhere = set.protocol === 'mqtt' && 'mqtt-mutations.test.ts does this with the judge looking on';
    test('a proxy that breaks nothing changes no result', { skip: elsewhere }, async () => {
      const proxy = await set.proxy(null, target.endpoints[set.protocol]!);
      const through = { ...target, endpoints: { [set.protocol]: proxy.endpoint } };
      const results = await runChecks(checks, through, { timeoutMs: TIMEOUT_MS });
      await proxy.stop();
      assert.deepEqual(unexpected(results, expectations), []);
    });

    test('every check fails under those that are named for it', async () => {
      const results = await runPairs(set, namedPairs(set, checks), target, TIMEOUT_MS);
      assert.ok(results.length >= checks.length);
      assert.deepEqual(unnoticed(results), []);
    });
  });
}

// Each protocol has its own broker, because most of the time is spent waiting for withheld packets.
describe('mutations', { concurrency: MUTATION_SETS.length }, () => {
  for (const set of MUTATION_SETS) mutationsOf(set);
});

describe('pairs', () => {
  const format: PacketFormat<Packet> = { client: lines, broker: lines };

  function lines() {
    let left = '';
    return {
      split(chunk: Buffer): Packet[] {
        const all = `${left}${chunk}`.split('\n');
        left = all.pop()!;
        return all.map((line) => ({ bytes: Buffer.from(`${line}\n`) }));
      },
    };
  }

  /** The proxy's answer in place of `word`. */
  function answering(id: string, word: string, ...instead: string[]): Mutation<Packet> {
    return {
      id,
      breaks: 'answers something else',
      withholds: false,
      begin: () => () => ({
        fromBroker: (packet) => {
          if (packet.bytes.toString() !== `${word}\n`) return [packet];
          return instead.map((text) => ({ bytes: Buffer.from(`${text}\n`) }));
        },
      }),
    };
  }

  /** Sends hello to an echo server, and reads the answer or not. */
  function hello(id: string, looks: boolean): Check {
    return {
      ...CHECKS.find(({ protocol }) => protocol === 'stomp')!,
      id: `stomp.${id}`,
      run: async (context) => {
        const wire = await Wire.open(context);
        wire.send('hel');
        wire.send('lo\n');
        const answer = await wire.takeThrough(0x0a);
        if (looks) assert.equal(answer.toString(), 'hello\n');
      },
    };
  }

  test('reports a check that detects, one that does not, a mutation without effect, and an unexpected timeout', async (t) => {
    const echo = createServer((socket) => socket.pipe(socket).on('error', () => {}));
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    t.after(() => echo.close());
    const { port } = echo.address() as AddressInfo;
    const endpoint = { host: '127.0.0.1', port, user: '', password: '' };
    const set = mutationSet(
      'stomp',
      format,
      [
        answering('rude', 'hello', 'go away'),
        answering('idle', 'goodbye', 'hello'),
        answering('silent', 'hello'),
        { ...answering('withholding', 'hello'), withholds: true },
      ],
      { looks: 'rude idle withholding', blind: 'rude', late: 'silent' },
    );
    const checks = [hello('looks', true), hello('blind', false), hello('late', true)];
    const pairs = namedPairs(set, checks);
    const target = { endpoints: { stomp: endpoint }, controls: {} };
    const results = [
      ...(await runPairs(set, pairs.slice(0, -1), target, TIMEOUT_MS)),
      // Only the last one gets no answer, without a mutation that withholds it.
      ...(await runPairs(set, pairs.slice(-1), target, 100)),
    ];
    assert.deepEqual(
      results.map(({ check, mutation, verdict }) => [check.id, mutation, verdict]),
      [
        ['stomp.looks', 'rude', 'noticed'],
        ['stomp.looks', 'idle', 'idle'],
        ['stomp.looks', 'withholding', 'noticed'],
        ['stomp.blind', 'rude', 'survived'],
        ['stomp.late', 'silent', 'late'],
      ],
    );
    assert.equal(unnoticed(results).length, 3);
    const names = { ...set, names: { looks: 'rude idle gone', nobody: 'silent' } };
    assert.deepEqual(misnamed(names, checks), [
      'stomp.blind has no mutation',
      'stomp.late has no mutation',
      'mutations are named for stomp.nobody, which is no check',
      'gone is named, and there is no such mutation',
      'the mutation silent is named for no check',
      'the mutation withholding is named for no check',
    ]);
  });
});
