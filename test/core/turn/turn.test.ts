// The order of the phases of a turn; work that a phase schedules is not lost.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ConfirmRing } from '../../../src/core/turn/confirms.ts';
import { TURN_INPUT_BYTES, TURN_PUBLISHES, Turn } from '../../../src/core/turn/turn.ts';
import { message, turns } from '../core.ts';

let events: string[];
let turn: Turn;
let now = 0;

beforeEach(() => {
  events = [];
  turn = new Turn({ now: () => now });
  turn.sealWith(() => events.push('seal'));
});

// Waits until the turns that the test began have ended.
afterEach(() => turns(5));

function ring(name: string, then: () => void = () => {}): ConfirmRing {
  const confirmed = (): void => {
    events.push(`confirm ${name}`);
    then();
  };
  return new ConfirmRing({ confirmed }, turn);
}

function settle(ring: ConfirmRing): void {
  ring.settle(ring.open());
}

function task(name: string, slices = 1, each: () => void = () => {}) {
  return {
    run(): boolean {
      events.push(`task ${name}`);
      each();
      return --slices > 0;
    },
    describeWork: () => ({ work: name }),
  };
}

function output(name: string, then: () => void = () => {}) {
  return {
    flush(): void {
      events.push(`flush ${name}`);
      then();
    },
  };
}

describe('a turn', () => {
  it('works, confirms, owns, seals, looks at the bounds and flushes, in this order', async () => {
    const kept = message({ body: 'kept' });
    const chunk = kept.body;
    turn.sealWith(() => events.push(`seal ${kept.owned}`));
    turn.atEnd(() => events.push('end'));
    turn.flushLater(output('a'));
    turn.retain(kept);
    settle(ring('a'));
    turn.work(task('a'));
    assert.deepEqual(events, []);
    await turns(1);
    assert.deepEqual(events, ['task a', 'confirm a', 'seal true', 'end', 'flush a']);
    assert.notEqual(kept.body, chunk);
    assert.equal(kept.bodyBytes().toString(), 'kept');
  });

  it('ends once however often it is begun, and reads the clock once', async () => {
    now = 1000;
    turn.begin();
    now = 2000;
    turn.begin();
    assert.equal(turn.now, 1000);
    await turns();
    assert.deepEqual(events, ['seal']);
    turn.begin();
    assert.equal(turn.now, 2000);
    await turns();
    assert.deepEqual(events, ['seal', 'seal']);
  });

  it('ends before more input is handled, once it has had its share', async () => {
    const kept = message({ body: 'kept' });
    turn.input(TURN_INPUT_BYTES - 1);
    turn.retain(kept);
    turn.flushLater(output('a'));
    turn.input(1);
    assert.deepEqual(events, []);
    now = 3000;
    turn.input(1);
    assert.deepEqual(events, ['seal', 'flush a']);
    assert.equal(kept.owned, true);
    assert.equal(turn.now, 3000);
    turn.flushLater(output('b'));
    await turns(1);
    assert.deepEqual(events, ['seal', 'flush a', 'seal', 'flush b']);
    await turns();
    assert.equal(events.length, 4);
  });

  it('ends before more input is handled, once so much was published', async () => {
    const meters = { published: 7 };
    turn.boundBy(meters);
    turn.input(1);
    meters.published += TURN_PUBLISHES - 1;
    turn.input(1);
    assert.deepEqual(events, []);
    meters.published += 1;
    turn.input(1);
    assert.deepEqual(events, ['seal']);
    meters.published += TURN_PUBLISHES - 1;
    turn.input(1);
    assert.deepEqual(events, ['seal'], 'the next turn counts anew');
    await turns(1);
    meters.published += 1;
    turn.input(1);
    assert.deepEqual(events, ['seal', 'seal'], 'and so does the next pass');
  });

  it('counts the input of each pass anew', async () => {
    turn.input(TURN_INPUT_BYTES);
    await turns(1);
    turn.input(TURN_INPUT_BYTES - 1);
    turn.input(1);
    assert.deepEqual(events, ['seal']);
    await turns(1);
    assert.deepEqual(events, ['seal', 'seal']);
  });

  it('runs a task again after the others, until it has no more', async () => {
    turn.work(task('a', 3));
    turn.work(task('b', 2));
    await turns(1);
    assert.deepEqual(events.slice(0, 5), ['task a', 'task b', 'task a', 'task b', 'task a']);
  });

  it('gives tasks a bounded time, and each its turn though others take all of it', async () => {
    const tick = (): void => {
      now += 2;
    };
    for (let i = 0; i < 6; i++) turn.work(task(`long ${i}`, 100, tick));
    turn.work(task('canary'));
    for (let pass = 0; pass < 3; pass++) {
      const before = events.length;
      await turns(1);
      assert.ok(events.slice(before).filter((event) => event.startsWith('task long')).length <= 3);
    }
    assert.equal(events.filter((event) => event === 'task canary').length, 1);
    await turns(250);
  });

  it('reads sockets between long works', async () => {
    turn.work(task('long', 1000));
    turn.work(task('other', 1000));
    await turns(1);
    const first = events.indexOf('seal');
    assert.ok(first > 100 && first < 600, `${first}`);
    await turns(20);
    assert.equal(events.filter((event) => event.startsWith('task')).length, 2000);
    assert.deepEqual(
      events.filter((event) => event === 'task long').length,
      events.filter((event) => event === 'task other').length,
    );
  });

  it('does what its phases schedule, in the same turn where the phase is yet to come', async () => {
    turn.work(
      task('a', 1, () => {
        turn.work(task('b'));
        settle(ring('from a task', () => turn.flushLater(output('from a confirm'))));
        turn.flushLater(output('from a task'));
      }),
    );
    await turns(1);
    assert.deepEqual(events, [
      'task a',
      'task b',
      'confirm from a task',
      'seal',
      'flush from a task',
      'flush from a confirm',
    ]);
  });

  it('does in the next turn what comes after its phase', async () => {
    turn.atEnd(() => {
      if (events.length > 1) return;
      turn.work(task('late'));
      settle(ring('late'));
      turn.retain(message());
    });
    turn.flushLater(output('a', () => turn.flushLater(output('late'))));
    await turns(1);
    assert.deepEqual(events, ['seal', 'flush a']);
    await turns();
    assert.deepEqual(events.slice(2, 6), ['task late', 'confirm late', 'seal', 'flush late']);
  });

  it('owns a message once, and one that owns its bytes not at all', async () => {
    const kept = message({ body: 'x' });
    turn.retain(kept);
    turn.retain(kept);
    await turns(1);
    const { body } = kept;
    turn.retain(kept);
    await turns();
    assert.equal(kept.body, body);
    const owned = message();
    owned.owned = true;
    turn.retain(owned);
    await turns();
    assert.equal(events.filter((event) => event === 'seal').length, 1);
  });

  it('gives large messages memory of their own and packs small ones', async () => {
    const small = [message({ body: 'a' }), message({ body: 'b' })];
    const large = message({ body: Buffer.alloc(10_000, 1) });
    for (const one of [...small, large]) turn.retain(one);
    await turns();
    assert.equal(small[0]!.body, small[1]!.body);
    assert.equal(large.body.length, 10_000);
    assert.deepEqual(
      small.map((one) => one.bodyBytes().toString()),
      ['a', 'b'],
    );
  });
});
