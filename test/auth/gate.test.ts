// The gate before password hashes: a bound on what runs and waits, turns between addresses and users, and no work for
// clients that have gone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Gate, REFUSED } from '../../src/auth/gate.ts';

/** One login: done when the test says so. */
class Login {
  readonly name: string;
  readonly address: string;
  readonly user: string;
  left = false;
  result: string | null = null;
  private end: () => void = () => {};

  constructor(gate: Gate, order: Login[], address: string, user: string) {
    this.name = `${address} ${user}`;
    this.address = address;
    this.user = user;
    const work = async (): Promise<string> => {
      order.push(this);
      await new Promise<void>((resolve) => {
        this.end = resolve;
      });
      return 'done';
    };
    void gate.pass({ address, user, gone: () => this.left }, work).then((result) => {
      this.result = result;
    });
  }

  async finish(): Promise<void> {
    this.end();
    await nextTurn();
  }
}

/** The names in the order in which they were worked on, one at a time, until nothing waits. */
async function drained(order: Login[]): Promise<string[]> {
  for (let i = 0; i < order.length; i++) await order[i]!.finish();
  return order.map(({ name }) => name);
}

test('a flood from one address delays another address by one job', async () => {
  const order: Login[] = [];
  const gate = new Gate(1, 100, 100);
  for (let i = 0; i < 10; i++) new Login(gate, order, 'flood', `u${i}`);
  new Login(gate, order, 'other', 'anna');
  await nextTurn();
  const names = await drained(order);
  assert.equal(names.length, 11);
  assert.ok(names.indexOf('other anna') <= 2, names.join(', '));
});

test('a flood for one user name delays another user of the same address by one job', async () => {
  const order: Login[] = [];
  const gate = new Gate(1, 100, 100);
  for (let i = 0; i < 10; i++) new Login(gate, order, 'here', 'flood');
  new Login(gate, order, 'here', 'anna');
  await nextTurn();
  const names = await drained(order);
  assert.equal(names.length, 11);
  assert.ok(names.indexOf('here anna') <= 2, names.join(', '));
});

test('logins of connections that have gone cost nothing', async () => {
  const order: Login[] = [];
  const gate = new Gate(1, 100, 100);
  const logins = Array.from({ length: 10 }, () => new Login(gate, order, 'here', 'flood'));
  for (const login of logins.slice(1, 9)) login.left = true;
  await nextTurn();
  await drained(order);
  assert.deepEqual(
    logins.map(({ result }) => result),
    ['done', ...Array(8).fill(REFUSED.gone), 'done'],
  );
  assert.equal(order.length, 2);
});

test('what waits is bounded, in all and for each address; who has gone makes room', async () => {
  const order: Login[] = [];
  const gate = new Gate(1, 5, 3);
  const login = (address: string): Login => new Login(gate, order, address, 'u');
  const first = Array.from({ length: 5 }, () => login('a'));
  await nextTurn();
  assert.deepEqual(
    first.map(({ result }) => result),
    [null, null, null, null, REFUSED.addressFull],
  );
  first[2]!.left = true;
  const again = login('a');
  await nextTurn();
  assert.equal(first[2]!.result, REFUSED.gone);
  assert.equal(again.result, null);
  const others = [login('b'), login('b'), login('b')];
  await nextTurn();
  assert.deepEqual(
    others.map(({ result }) => result),
    [null, null, REFUSED.full],
    'no address has more than this one would have',
  );
  await drained(order);
  assert.equal(again.result, 'done');
  assert.equal(others[1]!.result, 'done');
  assert.equal(login('a').result, null, 'there is room again');
});

test('an address with nothing waiting is never refused while another has more', async () => {
  const order: Login[] = [];
  const gate = new Gate(1, 6, 3);
  const login = (address: string, user: string): Login => new Login(gate, order, address, user);
  const hostile = ['a', 'b'].flatMap((address) => [1, 2, 3].map((i) => login(address, `u${i}`)));
  login('c', 'u');
  await nextTurn();
  const honest = [login('d', 'u'), login('e', 'u'), login('f', 'u')];
  await nextTurn();
  assert.deepEqual(
    honest.map(({ result }) => result),
    [null, null, null],
  );
  const refused = hostile.filter(({ result }) => result === REFUSED.full);
  assert.equal(refused.length, 3);
  const last = login('i', 'u');
  await nextTurn();
  assert.equal(last.result, REFUSED.full, 'where every address has one job, the new one is refused');
  await drained(order);
  assert.ok(honest.every(({ result }) => result === 'done'));
});

test('as many run at a time as it is wide', async () => {
  const order: Login[] = [];
  const gate = new Gate(2, 10, 10);
  for (let i = 0; i < 5; i++) new Login(gate, order, 'a', `u${i}`);
  await nextTurn();
  assert.equal(order.length, 2);
  await order[1]!.finish();
  assert.equal(order.length, 3);
  await order[0]!.finish();
  assert.equal(order.length, 4);
});
