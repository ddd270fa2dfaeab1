// Checks of heart-beats: the negotiation, that they are sent, and what happens to a silent client that promised them.

import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { EXTENSION, MUST, SHOULD, SINCE_1_1, type StompTest, stomp } from '../stomp-check.ts';
import type { StompConnection } from '../wire/connection.ts';

const SECTION = 'Heart-beating';
const SLOW = { versions: SINCE_1_1, slow: true } as const;

/** The client's heart-beat values; a broker may choose longer intervals. */
const INTERVAL_MS = 1_000;
/** Tolerance beyond an interval: a broker that sends no heart-beats never does, and a busy machine may be late. */
const MARGIN_MS = 3_000;
/** How long the check watches a client. */
const WATCHED_MS = 2_500;

/** The two numbers of a heart-beat header. */
function numbers(header: string | undefined): [number, number] {
  const match = /^(\d+),(\d+)$/.exec(header ?? '0,0');
  assert.ok(match !== null, `heart-beat: ${header}`);
  return [Number(match[1]), Number(match[2])];
}

/** Connects with the client's heart-beat values and returns the negotiated intervals of both sides. */
async function agree(
  t: StompTest,
  sends: number,
  wants: number,
): Promise<{ connection: StompConnection; clientMs: number; serverMs: number }> {
  const connection = await t.dial();
  const { headers } = await connection.connect({ 'heart-beat': `${sends},${wants}` });
  const [serverSends, serverWants] = numbers(headers['heart-beat']);
  return {
    connection,
    clientMs: sends === 0 || serverWants === 0 ? 0 : Math.max(sends, serverWants),
    serverMs: serverSends === 0 || wants === 0 ? 0 : Math.max(serverSends, wants),
  };
}

export const HEART_BEAT_CHECKS = [
  stomp(
    'heart-beat.header',
    SECTION,
    MUST,
    'the heart-beat header of CONNECTED, if present, is two numbers',
    async (t) => {
      const { headers } = await (await t.dial()).connect({ 'heart-beat': '20000,20000' });
      numbers(headers['heart-beat']);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'heart-beat.absent',
    SECTION,
    MUST,
    'a client without heart-beat is one with 0,0: it is connected',
    async (t) => {
      const { headers } = await (await t.dial()).connect();
      numbers(headers['heart-beat']);
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'heart-beat.malformed',
    SECTION,
    SHOULD,
    'a heart-beat that is not two numbers is refused with an ERROR',
    async (t) => {
      const connection = await t.dial();
      connection.sendConnect({ 'heart-beat': 'often' });
      await connection.expectError();
    },
    { versions: SINCE_1_1 },
  ),
  stomp(
    'heart-beat.sent',
    SECTION,
    MUST,
    'an idle broker sends an end of line in each interval that was agreed on',
    async (t) => {
      const { connection, serverMs } = await agree(t, 0, INTERVAL_MS);
      assert.ok(serverMs > 0, 'the broker does not beat');
      for (let beat = 1; beat <= 2; beat++) {
        const before = connection.eols;
        const late = AbortSignal.timeout(serverMs + MARGIN_MS);
        late.addEventListener('abort', () => {
          if (connection.eols === before)
            connection.failed(new Error(`no beat ${beat} within ${serverMs + MARGIN_MS} ms`));
        });
        await connection.until(() => connection.eols > before, 'a heart-beat');
      }
    },
    SLOW,
  ),
  stomp(
    'heart-beat.unwanted',
    SECTION,
    MUST,
    'a client that wants none gets none',
    async (t) => {
      const { connection } = await agree(t, INTERVAL_MS, 0);
      const before = connection.eols;
      for (let i = 0; i < 5; i++) {
        await delay(INTERVAL_MS / 2);
        connection.raw('\n');
      }
      assert.equal(connection.eols, before);
    },
    SLOW,
  ),
  stomp(
    'heart-beat.kept',
    SECTION,
    MUST,
    'a client that beats as agreed on stays connected',
    async (t) => {
      const { connection, clientMs } = await agree(t, INTERVAL_MS, 0);
      assert.ok(clientMs > 0, 'the broker wants no beats');
      const until = performance.now() + WATCHED_MS;
      while (performance.now() < until) {
        await delay(clientMs / 2);
        connection.raw('\n');
      }
      await connection.roundTrip();
    },
    SLOW,
  ),
  stomp(
    'heart-beat.any-data',
    SECTION,
    MUST,
    'whatever a client sends is a sign of life',
    async (t) => {
      const { connection, clientMs } = await agree(t, INTERVAL_MS, 0);
      assert.ok(clientMs > 0, 'the broker wants no beats');
      const destination = t.queue();
      const until = performance.now() + WATCHED_MS;
      while (performance.now() < until) {
        await delay(clientMs / 2);
        connection.send('SEND', { destination }, 'alive');
      }
      await connection.roundTrip();
    },
    SLOW,
  ),
  stomp(
    'heart-beat.tolerant',
    SECTION,
    SHOULD,
    'a beat that is a little late is no missed one',
    async (t) => {
      const { connection, clientMs } = await agree(t, INTERVAL_MS, 0);
      assert.ok(clientMs > 0, 'the broker wants no beats');
      await delay(clientMs * 1.2);
      connection.raw('\n');
      await delay(clientMs * 1.2);
      await connection.roundTrip();
    },
    SLOW,
  ),
  stomp(
    'heart-beat.missed',
    SECTION,
    EXTENSION,
    'a client that promised to beat and is silent is given up',
    async (t) => {
      const { connection, clientMs } = await agree(t, INTERVAL_MS, 0);
      assert.ok(clientMs > 0, 'the broker wants no beats');
      // How many intervals a broker waits is its own choice; the time that a check has is several.
      await connection.expectRefusal();
    },
    SLOW,
  ),
].flat();
