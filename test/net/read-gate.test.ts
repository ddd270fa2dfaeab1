// Protects when a socket is read: each reason pauses it, the last reason to end resumes it, and bytes already received
// are handled as far as the reasons allow. A model without bits or flags gives the expected result.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { Listener } from '../../src/net/listener.ts';
import { OUTBOX_DEFAULTS } from '../../src/net/outbox.ts';
import { type GatedInput, READ_STOP, ReadGate } from '../../src/net/read-gate.ts';
import type { Transport } from '../../src/net/transport.ts';
import { connected, newContext, newOutbox, type OutboxFixture, readBytes, TestHandler } from './fixtures.ts';

const HIGH = 1000;
const LOW = 100;

/** A connection whose frames are letters: `p` publishes, `w` begins an operation, any other only counts. */
class Connection implements GatedInput {
  readonly fixture: OutboxFixture;
  readonly gate: ReadGate;
  /** The calls of pause and resume. */
  readonly switches: ('pause' | 'resume')[] = [];
  waiting = '';
  handled = '';
  paused = false;
  /** Called when waiting input is counted. */
  onCount: () => void = () => {};

  constructor() {
    this.fixture = newOutbox({ highWatermarkBytes: HIGH, lowWatermarkBytes: LOW });
    this.fixture.owner.drained = () => this.gate.drained();
    const transport = {
      outbox: this.fixture.outbox,
      pause: () => this.switched('pause', true),
      resume: () => this.switched('resume', false),
    };
    this.gate = new ReadGate(transport as unknown as Transport, this);
  }

  receive(frames: string): void {
    assert.equal(this.paused, false);
    this.waiting += frames;
    if (this.gate.open) this.handleWaitingInput();
    this.gate.inputHandled();
  }

  countWaitingInput(): void {
    this.onCount();
  }

  handleWaitingInput(): void {
    while (this.gate.open && this.waiting !== '') {
      if (this.waiting[0] === 'p' && !this.gate.mayPublish()) return;
      const frame = this.waiting[0]!;
      this.waiting = this.waiting.slice(1);
      this.handled += frame;
      if (frame === 'w') this.gate.beginWork();
    }
  }

  answer(bytes: number): void {
    this.fixture.outbox.append(Buffer.alloc(bytes), 0, bytes);
    this.fixture.outbox.flush();
  }

  finishWork(): void {
    this.gate.endWork();
    this.gate.goOn();
  }

  /** The peer reads everything that was sent to it. */
  read(): void {
    this.fixture.sink.complete();
  }

  private switched(what: 'pause' | 'resume', paused: boolean): void {
    assert.notEqual(this.paused, paused, `${what} twice`);
    this.paused = paused;
    this.switches.push(what);
  }
}

describe('a read gate', () => {
  it('handles no input after a pending operation, and resumes after the last one', () => {
    const connection = new Connection();
    connection.receive('awbc');
    assert.deepEqual([connection.handled, connection.paused], ['aw', true]);
    connection.gate.beginWork();
    connection.finishWork();
    assert.deepEqual([connection.handled, connection.paused], ['aw', true]);
    connection.finishWork();
    assert.deepEqual([connection.handled, connection.paused], ['awbc', false]);
  });

  it('reads one more chunk during a login, so that the end of the connection is noticed', () => {
    const connection = new Connection();
    connection.gate.expectLogin();
    connection.receive('wa');
    assert.deepEqual([connection.handled, connection.paused], ['w', false]);
    connection.receive('b');
    assert.deepEqual([connection.handled, connection.paused], ['w', true]);
    connection.gate.loggedIn();
    assert.equal(connection.paused, true);
    connection.finishWork();
    assert.deepEqual([connection.handled, connection.paused], ['wab', false]);
    connection.receive('w');
    assert.equal(connection.paused, true, 'after the login an operation stops the reading at once');
  });

  it('stays closed, without a resume in between, if waiting input begins another operation', () => {
    const connection = new Connection();
    connection.receive('wwa');
    connection.finishWork();
    assert.deepEqual([connection.handled, connection.switches], ['ww', ['pause']]);
    connection.finishWork();
    assert.deepEqual([connection.handled, connection.switches], ['wwa', ['pause', 'resume']]);
  });

  it('stops a publisher, and not a connection that has never published', () => {
    const [publisher, consumer] = [new Connection(), new Connection()];
    publisher.receive('p');
    consumer.receive('a');
    for (const { gate } of [publisher, consumer]) gate.hold(true);
    assert.deepEqual([publisher.paused, publisher.gate.blocked], [true, true]);
    assert.deepEqual([consumer.paused, consumer.gate.blocked], [false, false]);
    for (const { gate } of [publisher, consumer]) gate.hold(false);
    assert.deepEqual([publisher.paused, publisher.gate.blocked], [false, false]);
  });

  it('handles input before a publish while publishers are blocked, and the publish after their release', async () => {
    const connection = new Connection();
    connection.gate.hold(true);
    connection.receive('abpc');
    assert.deepEqual([connection.handled, connection.paused, connection.gate.blocked], ['ab', true, true]);
    connection.gate.hold(false);
    assert.equal(connection.handled, 'ab', 'whoever releases it is in the middle of a turn');
    await nextTurn();
    assert.deepEqual([connection.handled, connection.paused, connection.gate.blocked], ['abpc', false, false]);
  });

  it('stops a publish again if other released publishers have filled the memory', async () => {
    const connection = new Connection();
    connection.gate.hold(true);
    connection.receive('p');
    connection.onCount = () => connection.gate.hold(true);
    connection.gate.hold(false);
    await nextTurn();
    assert.deepEqual([connection.handled, connection.paused], ['', true]);
    connection.onCount = () => {};
    connection.gate.hold(false);
    await nextTurn();
    assert.deepEqual([connection.handled, connection.paused], ['p', false]);
  });

  it('reads a closing connection even if publishers are blocked', async () => {
    const connection = new Connection();
    connection.gate.hold(true);
    connection.receive('pa');
    connection.gate.close();
    connection.gate.hold(true);
    await nextTurn();
    assert.deepEqual([connection.handled, connection.paused], ['pa', false]);
  });

  it('does not read a throttled publisher', () => {
    const connection = new Connection();
    connection.gate.throttle(true);
    assert.equal(connection.paused, true);
    connection.waiting = 'a';
    connection.gate.throttle(false);
    assert.deepEqual([connection.handled, connection.paused], ['a', false]);
  });

  it('stops at a watermark of answers in a full outbox, and not at a large delivery', () => {
    const connection = new Connection();
    connection.answer(10 * HIGH);
    connection.receive('a');
    assert.equal(connection.paused, false);
    connection.answer(HIGH);
    connection.receive('b');
    assert.equal(connection.paused, false);
    connection.answer(1);
    connection.receive('c');
    assert.equal(connection.gate.reasons, READ_STOP.peerLags);
    connection.read();
    assert.equal(connection.paused, false);
    connection.answer(2 * HIGH);
    connection.receive('d');
    assert.equal(connection.paused, false, 'it counts anew');
  });

  it('does nothing once its connection has ended', async () => {
    const connection = new Connection();
    connection.gate.hold(true);
    connection.receive('p');
    connection.gate.hold(false);
    connection.gate.end();
    await nextTurn();
    connection.gate.throttle(true);
    connection.gate.throttle(false);
    connection.gate.goOn();
    assert.deepEqual([connection.handled, connection.switches], ['', ['pause']]);
  });

  it('agrees with a model that recomputes everything', async () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ op: fc.constant('receive' as const), frames: fc.stringMatching(/^[apw]{1,4}$/) }),
      },
      fc.record({ op: fc.constantFrom('hold', 'release', 'finish', 'throttle', 'rest', 'read', 'close', 'turn') }),
      fc.record({ op: fc.constant('answer' as const), bytes: fc.integer({ min: 1, max: 2 * HIGH }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const connection = new Connection();
        const model = new Model();
        for (const { op, ...rest } of steps) {
          if (op === 'receive' && model.stopped()) continue;
          if (op === 'finish' && model.works === 0) continue;
          if (op === 'receive') model.receive((rest as { frames: string }).frames);
          else if (op === 'answer') model.unsent += (rest as { bytes: number }).bytes;
          else model.apply(op);
          await apply(connection, op, rest);
          // The release takes effect in the next turn; the model has no turns.
          await nextTurn();
          assert.equal(connection.handled, model.handled, op);
          assert.equal(connection.paused, model.stopped(), `${op}: reasons ${connection.gate.reasons}`);
        }
      }),
      { numRuns: 300 },
    );
  });
});

async function apply(connection: Connection, op: string, rest: object): Promise<void> {
  const { gate } = connection;
  if (op === 'receive') connection.receive((rest as { frames: string }).frames);
  else if (op === 'answer') connection.answer((rest as { bytes: number }).bytes);
  else if (op === 'hold' || op === 'release') gate.hold(op === 'hold');
  else if (op === 'finish') connection.finishWork();
  else if (op === 'throttle' || op === 'rest') gate.throttle(op === 'throttle');
  else if (op === 'read') connection.read();
  else if (op === 'close') gate.close();
  else await nextTurn();
}

/** A second, naive implementation of the rules in read-gate.ts. */
class Model {
  handled = '';
  works = 0;
  unsent = 0;
  private waiting = '';
  private published = false;
  private held = false;
  private resting = false;
  private closing = false;
  private full = false;
  private unsentWhenFull: number | null = null;
  private lags = false;

  stopped(): boolean {
    return this.works > 0 || this.resting || this.lags || (this.published && this.isHeld());
  }

  receive(frames: string): void {
    this.waiting += frames;
    this.handle();
    this.full ||= this.unsent >= HIGH;
    if (!this.full) return;
    this.unsentWhenFull ??= this.unsent;
    if (this.unsent - this.unsentWhenFull > HIGH) this.lags = true;
  }

  apply(op: string): void {
    if (op === 'hold' || op === 'release') this.held = op === 'hold';
    if (op === 'finish') this.works--;
    if (op === 'throttle' || op === 'rest') this.resting = op === 'throttle';
    if (op === 'close') this.closing = true;
    if (op === 'read') {
      this.unsent = 0;
      this.full = false;
      this.unsentWhenFull = null;
      this.lags = false;
    }
    this.handle();
  }

  private isHeld(): boolean {
    return this.held && !this.closing;
  }

  private handle(): void {
    while (this.waiting !== '' && this.works === 0 && !this.resting) {
      const frame = this.waiting[0]!;
      if (frame === 'p') this.published = true;
      if (frame === 'p' && this.isHeld()) return;
      this.waiting = this.waiting.slice(1);
      this.handled += frame;
      if (frame === 'w') this.works++;
    }
  }
}

/** Echoes what it receives, and reads as its gate decides. */
class Echo extends TestHandler implements GatedInput {
  readonly gate: ReadGate;

  constructor(transport: Transport) {
    super(transport);
    this.gate = new ReadGate(transport, this);
  }

  override data(chunk: Buffer): void {
    super.data(chunk);
    this.transport.outbox.append(chunk, 0, chunk.length);
    this.gate.inputHandled();
  }

  override drained(): void {
    this.gate.drained();
    super.drained();
  }

  countWaitingInput(): void {}

  handleWaitingInput(): void {}
}

describe('a peer that does not read', () => {
  let listener: Listener;
  let port: number;
  let arrived: PromiseWithResolvers<Echo>;

  beforeEach(async () => {
    arrived = Promise.withResolvers();
    const accept = (transport: Transport): Echo => {
      const echo = new Echo(transport);
      arrived.resolve(echo);
      return echo;
    };
    const options = { name: 'test', host: '127.0.0.1', port: 0, tls: null, maxConnections: 1 };
    listener = new Listener(options, accept, newContext(), { refused() {}, full() {}, addressFull() {} });
    port = await listener.listen();
  });

  afterEach(async () => {
    await listener.close();
  });

  it('is not read while it does not read answers, and is read again when it does', async () => {
    const socket = await connected(port);
    const echo = await arrived.promise;
    const { transport } = echo;
    socket.pause();
    const piece = Buffer.alloc(64 * 1024, 7);
    let sent = 0;
    while (transport.reading) {
      sent += piece.length;
      socket.write(piece);
      await nextTurn();
    }
    const { unsentBytes } = transport.outbox;
    assert.ok(unsentBytes < 3 * OUTBOX_DEFAULTS.highWatermarkBytes, `${unsentBytes} bytes wait`);
    for (let i = 0; i < 64; i++) socket.write(piece);
    sent += 64 * piece.length;
    for (let i = 0; i < 20; i++) await nextTurn();
    assert.equal(transport.outbox.unsentBytes, unsentBytes, 'what is not read is not answered');
    echo.gate.throttle(true);
    await readBytes(socket, echo.received.length);
    while (echo.drainedCount === 0) await nextTurn();
    assert.equal(transport.reading, false, 'it is throttled, too');
    echo.gate.throttle(false);
    assert.ok(transport.reading);
    await readBytes(socket, sent - echo.received.length);
    assert.equal(echo.received.length, sent);
    socket.destroy();
  });

  it('is read after a delivery far above the watermark', async () => {
    const socket = await connected(port);
    const echo = await arrived.promise;
    const { transport } = echo;
    socket.pause();
    // The kernel accepts a part; the rest exceeds two high watermarks.
    const large = Buffer.alloc(16 * OUTBOX_DEFAULTS.highWatermarkBytes);
    transport.outbox.append(large, 0, large.length);
    for (let i = 1; i <= 3; i++) {
      socket.write('x');
      while (echo.received.length < i) await nextTurn();
      assert.ok(transport.outbox.unsentBytes > 2 * OUTBOX_DEFAULTS.highWatermarkBytes);
      assert.ok(transport.reading);
    }
    socket.destroy();
  });
});
