// Compares sessions with a model: persistent clients publish and subscribe at QoS 1 and 2, alone and as a group with a
// shared subscription. Connections break, clients return, take themselves over and acknowledge late, commits are held
// or fail on a full disk, and the front-end restarts. At some point each client subscribes to more retained messages
// than are sent at a time. No message is lost, none is duplicated at QoS 2, and each topic keeps its order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MqttForms } from '../../../protocols/mqtt/packet/property-codec.ts';
import { Message, NEVER } from '../../../src/core/message/message.ts';
import { connect5, p, packet, publish5, subscribe5, u16 } from '../../../support/wire/mqtt5.ts';
import { type Client, Harness, reasonOf } from '../harness.ts';

/** The retained messages: every other one at QoS 2. */
const RETAINED = Array.from({ length: 100 }, (_, i) => ({ qos: ((i % 2) + 1) as 1 | 2, body: `r${100 + i}` }));
const FORMS = new MqttForms('amq.topic');
const SELECT = subscribe5(2, [], ['r/#', 0x12]);

/** To all clients, or to one member of the group. */
type Kind = 't' | 's';
const TOPICS = ['t/1', 't/2', 's/1', 's/2', 'r/1', 'r/2'];

interface Sending {
  readonly id: number;
  readonly kind: Kind;
  readonly qos: number;
  readonly body: string;
  received: boolean;
}

/** A client: the state that it must keep, and its acknowledgements (MQTT 5 §4.3, §4.4). */
class ModelClient {
  readonly name: string;
  /** Bodies delivered to the application, and bodies published, by topic. */
  readonly taken: Map<string, string[]>;
  readonly sent: Map<string, string[]>;
  /** Refused bodies, for which nothing is guaranteed. */
  readonly refused: Set<string>;
  private readonly harness: Harness;
  private link: Client | null;
  private began: boolean;
  /** Whether CONNACK was received and unacknowledged packets were resent. */
  private resumed: boolean;
  /** Whether it has subscribed to the retained messages, and whether SUBACK was received. */
  private asked: boolean;
  selected: boolean;
  private readonly sending: Sending[];
  private readonly held: Set<number>;
  /** Packets not acknowledged yet. */
  private unanswered: string[];
  private nextId: number;
  private serial: number;

  constructor(name: string, harness: Harness) {
    this.name = name;
    this.taken = new Map(TOPICS.map((topic) => [topic, []]));
    this.sent = new Map(TOPICS.map((topic) => [topic, []]));
    this.refused = new Set();
    this.harness = harness;
    this.link = null;
    this.began = false;
    this.resumed = false;
    this.asked = false;
    this.selected = false;
    this.sending = [];
    this.held = new Set();
    this.unanswered = [];
    this.nextId = 1;
    this.serial = 0;
  }

  get open(): number {
    return this.sending.length;
  }

  /** Connects; if it is connected, this takes its session over. */
  connect(receiveMaximum: number): void {
    this.link = this.harness.open();
    this.unanswered = [];
    this.resumed = false;
    const properties = [p.sessionExpiry(0xffff_ffff), p.receiveMaximum(receiveMaximum)];
    this.link.send(connect5({ clientId: this.name, clean: false, properties }));
  }

  /** Subscribes to the retained messages, at most once, because only a new subscription gets them. */
  select(): void {
    if (this.asked || !this.resumed) return;
    this.asked = true;
    this.link?.send(SELECT);
  }

  drop(): void {
    this.link?.drop();
    this.link = null;
    this.unanswered = [];
  }

  publish(kind: Kind, qos: 1 | 2): void {
    if (!this.began) return;
    const body = `${this.name}${++this.serial}`;
    const sending = { id: this.nextId++, kind, qos, body, received: false };
    this.sending.push(sending);
    this.sent.get(`${kind}/${qos}`)!.push(body);
    // Queued messages come first: the broker sends them with CONNACK.
    if (this.resumed) this.link?.send(publish5(`${kind}/${qos}`, body, { qos, id: sending.id }));
  }

  /** Reads packets, and acknowledges all or the first few. */
  answer(most = Number.POSITIVE_INFINITY): void {
    if (this.link === null) return;
    this.unanswered.push(...this.link.take());
    for (let left = most; left > 0 && this.unanswered.length > 0; left--) {
      this.packet(this.link, Buffer.from(this.unanswered.shift()!, 'hex'));
    }
    if (this.link?.closed === true) this.drop();
  }

  private packet(link: Client, unit: Buffer): void {
    const id = unit.length >= 4 ? unit.readUInt16BE(2) : 0;
    switch (unit[0]! >> 4) {
      case 2: {
        const said = reasonOf(unit.toString('hex'));
        if (!said.endsWith(' 0')) {
          // The disk is full.
          assert.match(said, / 0 (88|97)$/);
          this.drop();
          break;
        }
        if (this.began) assert.equal(said, 'connack 1 0', `the session of ${this.name} is gone`);
        else link.send(subscribe5(1, [], ['t/+', 2], ['$share/g/s/+', 2]));
        this.began = true;
        this.resumed = true;
        if (this.asked && !this.selected) link.send(SELECT);
        for (const { kind, qos, id, body, received } of this.sending) {
          if (received) link.send(packet(0x62, u16(id)));
          else link.send(publish5(`${kind}/${qos}`, body, { qos, id, dup: true }));
        }
        break;
      }
      case 3:
        this.take(link, unit);
        break;
      case 4:
        this.refuse(unit);
        this.complete(id);
        break;
      case 5: {
        const sending = this.sending.find((each) => each.id === id);
        assert.ok(sending !== undefined && sending.qos === 2, `PUBREC of ${id}, which is not under way`);
        if (this.refuse(unit)) {
          this.complete(id);
          break;
        }
        sending.received = true;
        link.send(packet(0x62, u16(id)));
        break;
      }
      case 6:
        this.held.delete(id);
        link.send(packet(0x70, u16(id)));
        break;
      case 7:
        this.complete(id);
        break;
      case 9:
        if (id !== 2) break;
        // On a full disk SUBSCRIBE is refused and sent again.
        if (unit.at(-1)! < 0x80) this.selected = true;
        else link.send(SELECT);
        break;
      case 14:
        assert.equal(reasonOf(unit.toString('hex')), 'disconnect 8e');
        break;
      default:
        assert.fail(`packet ${unit.toString('hex')}`);
    }
  }

  private take(link: Client, unit: Buffer): void {
    const length = unit.readUInt16BE(2);
    const qos = ((unit[0]! >> 1) & 3) as 1 | 2;
    const id = unit.readUInt16BE(4 + length);
    const body = unit.toString('utf8', 7 + length);
    const name = unit.toString('utf8', 4, 4 + length);
    const topic = name.slice(0, 3);
    assert.equal(topic.at(-1), `${qos}`, 'a message at another QoS');
    assert.equal(name, (unit[0]! & 1) === 1 ? `r/${qos}/${body}` : topic);
    if (qos === 1) {
      this.taken.get(topic)!.push(body);
      link.send(packet(0x40, u16(id)));
      return;
    }
    if (!this.held.has(id)) this.taken.get(topic)!.push(body);
    this.held.add(id);
    link.send(packet(0x50, u16(id)));
  }

  /** Whether an acknowledgement refuses the publish. */
  private refuse(unit: Buffer): boolean {
    const failed = unit.length > 4 && unit[4]! >= 0x80;
    if (failed) this.refused.add(this.sending.find((each) => each.id === unit.readUInt16BE(2))!.body);
    return failed;
  }

  private complete(id: number): void {
    const at = this.sending.findIndex((each) => each.id === id);
    if (at !== -1) this.sending.splice(at, 1);
  }
}

type Step =
  | { readonly kind: 'connect'; readonly client: number; readonly receiveMaximum: number }
  | { readonly kind: 'drop' | 'answer' | 'select'; readonly client: number; readonly count: number }
  | { readonly kind: 'publish'; readonly client: number; readonly to: Kind; readonly qos: 1 | 2 }
  | { readonly kind: 'hold' | 'release' | 'fail' | 'restart' | 'settle' };

const client = fc.integer({ min: 0, max: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('connect' as const), client, receiveMaximum: fc.constantFrom(1, 2, 100) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('drop' as const), client, count: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('select' as const), client, count: fc.constant(0) }) },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('answer' as const), client, count: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      client,
      to: fc.constantFrom<Kind>('t', 's'),
      qos: fc.constantFrom(1 as const, 2 as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('hold' as const, 'fail' as const, 'restart' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('settle' as const) }) },
);

/** A retained message as a QoS 1 or 2 publish creates it. */
function retain(harness: Harness, routingKey: string, qos: 1 | 2, body: string): void {
  const bytes = Buffer.from(body);
  const codec = FORMS.of(qos, true, 0);
  const none = Buffer.alloc(0);
  const message = new Message('amq.topic', routingKey, bytes, 0, bytes.length, none, 0, 0, codec, true, 0, NEVER, 0);
  harness.retained.set('/', message);
}

/** First occurrences, in order. */
function firsts(bodies: readonly string[]): string[] {
  return [...new Set(bodies)];
}

async function follow(steps: readonly Step[]): Promise<void> {
  const harness = new Harness();
  const clients = ['a', 'b', 'c'].map((name) => new ModelClient(name, harness));
  const quiet = async (): Promise<void> => {
    for (let round = 0; round < 40; round++) {
      await harness.settle();
      for (const each of clients) each.answer();
      if (round > 4 && clients.every(({ open }) => open === 0)) break;
    }
    await harness.settle();
    for (const each of clients) each.answer();
    await harness.settle();
  };
  for (const each of clients) each.connect(100);
  await quiet();
  for (const { qos, body } of RETAINED) retain(harness, `r.${qos}.${body}`, qos, body);
  for (const each of steps) {
    switch (each.kind) {
      case 'connect':
        clients[each.client]!.connect(each.receiveMaximum);
        break;
      case 'drop':
        clients[each.client]!.drop();
        break;
      case 'answer':
        clients[each.client]!.answer(each.count);
        break;
      case 'publish':
        clients[each.client]!.publish(each.to, each.qos);
        break;
      case 'select':
        clients[each.client]!.select();
        break;
      case 'hold':
        harness.store.hold();
        break;
      case 'release':
        harness.store.release();
        break;
      case 'fail':
        // Messages in flight; the next commits succeed.
        harness.store.fail();
        harness.store.release();
        break;
      case 'restart':
        // A restart finds what is committed.
        harness.store.release();
        for (const one of clients) one.drop();
        await harness.settle();
        harness.restartFrontEnd();
        break;
      case 'settle':
        await harness.settle();
        break;
      default:
        each satisfies never;
    }
  }
  harness.store.release();
  await harness.settle();
  for (const each of clients) each.connect(100);
  await quiet();
  for (const each of clients) each.select();
  await quiet();
  for (const { name, open } of clients) assert.equal(open, 0, `${name} has publishes that are not acknowledged`);
  assert.deepEqual([...harness.store.packets.all()], [], 'packet ids are left behind');
  for (const queue of harness.hosts.get('/')!.queues.values()) {
    assert.equal(queue.readyCount + queue.unackedCount, 0, `messages are left in ${queue.name}`);
  }
  // A refused publish whose refusal did not reach the publisher is resent, possibly after a later one. A refused
  // retained message joins again, possibly after one of another topic.
  const refuses = steps.some(({ kind }) => kind === 'fail');
  const ordered = (bodies: string[]): string[] => (refuses ? bodies.sort() : bodies);
  for (const { name, taken, selected } of clients) {
    assert.ok(selected);
    for (const qos of [1, 2] as const) {
      const kept = taken.get(`r/${qos}`)!;
      const expected = RETAINED.filter((each) => each.qos === qos).map(({ body }) => body);
      assert.deepEqual(ordered(qos === 2 ? kept : firsts(kept)), expected, `${name}, what is retained at QoS ${qos}`);
    }
  }
  const promised = (from: ModelClient, topic: string): string[] =>
    from.sent.get(topic)!.filter((body) => !from.refused.has(body));
  const of = (from: ModelClient, bodies: readonly string[]): string[] =>
    bodies.filter((body) => body.startsWith(from.name) && !from.refused.has(body));
  for (const from of clients) {
    for (const { name, taken } of clients) {
      const who = `${name}, from ${from.name}`;
      assert.deepEqual(ordered(of(from, taken.get('t/2')!)), ordered(promised(from, 't/2')), `${who}, QoS 2`);
      assert.deepEqual(ordered(firsts(of(from, taken.get('t/1')!))), ordered(promised(from, 't/1')), `${who}, QoS 1`);
    }
    const group = (topic: string): string[] => clients.flatMap(({ taken }) => of(from, taken.get(topic)!)).sort();
    assert.deepEqual(group('s/2'), promised(from, 's/2').sort(), `the group from ${from.name}, QoS 2`);
    assert.deepEqual(firsts(group('s/1')), promised(from, 's/1').sort(), `the group from ${from.name}, QoS 1`);
  }
}

/** Sequences that once failed, each with the fault that they found. */
const BROKE: readonly (readonly Step[])[] = [
  // The packet id of an entry that the disk refused while its client was taken over.
  [
    { kind: 'hold' },
    { kind: 'publish', client: 0, to: 't', qos: 2 },
    { kind: 'settle' },
    { kind: 'connect', client: 0, receiveMaximum: 1 },
    { kind: 'settle' },
    { kind: 'select', client: 1, count: 0 },
    { kind: 'connect', client: 0, receiveMaximum: 1 },
    { kind: 'settle' },
    { kind: 'fail' },
  ],
  // A packet id that was on disk and was refused a second time.
  [
    { kind: 'drop', client: 0, count: 0 },
    { kind: 'publish', client: 1, to: 't', qos: 2 },
    { kind: 'settle' },
    { kind: 'hold' },
    { kind: 'connect', client: 0, receiveMaximum: 1 },
    { kind: 'settle' },
    { kind: 'fail' },
  ],
  // Retained messages sent for a refused subscription, and again for the next one.
  [
    { kind: 'select', client: 1, count: 0 },
    { kind: 'hold' },
    { kind: 'settle' },
    { kind: 'publish', client: 0, to: 't', qos: 1 },
    { kind: 'settle' },
    { kind: 'fail' },
  ],
];

test('sessions lose nothing, repeat nothing at QoS 2 and keep the order, through any events', async () => {
  const runs = process.env.CI_LONG === undefined ? 150 : 5000;
  const examples = BROKE.map((steps): [Step[]] => [[...steps]]);
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), follow), {
    numRuns: runs,
    examples,
  });
});
