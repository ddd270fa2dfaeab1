// A device of a fleet, on raw sockets: it subscribes and publishes at every QoS, in MQTT 3.1.1 or 5.0, with a
// persistent session or not, and keeps what a device would keep in flash. On command it misbehaves: it answers late,
// out of order, twice or with unassigned ids, stops reading, drops its connection, takes itself over. It checks every
// packet received: a packet id stands for one message until it is free, DUP is correct, the receive maximum is kept,
// and session present is correct.

import assert from 'node:assert/strict';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { rawMqtt } from '../../support/raw-mqtt.ts';
import { connect as connect3, PACKET, publish as publish3, text } from '../../support/wire/mqtt.ts';
import { connect5, disconnect5, p, packet, publish5, subscribe5, u16 } from '../../support/wire/mqtt5.ts';
import type { FleetBook } from './fleet-book.ts';

export type QoS = 0 | 1 | 2;

export interface DeviceOptions {
  readonly port: number;
  readonly clientId: string;
  readonly v5: boolean;
  readonly persistent: boolean;
  readonly filters: readonly (readonly [string, QoS])[];
  /** Called when the broker has violated the protocol. */
  readonly failed: (error: unknown) => void;
}

/** One publish in flight. */
export interface Sending {
  readonly id: number;
  readonly qos: QoS;
  readonly topic: string;
  readonly body: string;
  /** Whether PUBREC was received. */
  received: boolean;
}

/** One delivery to the application: at QoS 2 the first copy only. */
export interface Taken {
  readonly qos: QoS;
  readonly topic: string;
  readonly body: string;
  /** Number of the connection that delivered it, from 1. */
  readonly connection: number;
  /** Number of broker restarts before it. */
  readonly life: number;
}

/** A packet id that stands for a message, as far as this client can know. */
interface Held {
  readonly qos: QoS;
  readonly body: string;
  connection: number;
}

interface Answer {
  readonly type: 4 | 5 | 7;
  readonly id: number;
}

const NEVER = 0xffff_ffff;
/** Maximum of publishes in flight. */
const WINDOW = 40;
/** Ids that the broker has not assigned, for unexpected acknowledgements. */
const STRANGE_ID = 60_000;
/** The inflight window of a client that sets no receive maximum. */
const LARGEST_WINDOW = 65_535;

export class FleetDevice {
  readonly options: DeviceOptions;
  /** All deliveries, in order. */
  readonly taken: Taken[];
  /** CONNACKs received. */
  connections: number;
  /** Whether acknowledgements wait until the test releases them. */
  lazy: boolean;
  private readonly book: FleetBook;
  private readonly sending: Sending[];
  private readonly queued: Sending[];
  private readonly held: Map<number, Held>;
  private readonly seen: Set<string>;
  private due: Answer[];
  /** All sockets so far; some may still be open. */
  private readonly peers: RawClient[];
  private peer: RawClient | null;
  private opening: Promise<void> | null;
  private ready: boolean;
  /** Whether a persistent session exists; null if only the broker knows. */
  private present: boolean | null;
  private receiveMaximum: number;
  private connectedAt: number;
  /** Broker restarts that it knows of, now and at its previous connection. */
  private restarts: number;
  private heldIn: number;
  private readonly member: boolean;
  private nextId: number;
  /** Pings of this connection that are not answered. */
  pings: number;

  constructor(options: DeviceOptions, book: FleetBook) {
    this.options = options;
    this.taken = [];
    this.connections = 0;
    this.lazy = false;
    this.book = book;
    this.sending = [];
    this.queued = [];
    this.held = new Map();
    this.seen = new Set();
    this.due = [];
    this.peers = [];
    this.peer = null;
    this.opening = null;
    this.ready = false;
    this.present = false;
    this.receiveMaximum = LARGEST_WINDOW;
    this.connectedAt = 0;
    this.restarts = 0;
    this.heldIn = 0;
    this.member = options.filters.some(([filter]) => filter.startsWith('$share/'));
    this.nextId = 1;
    this.pings = 0;
  }

  get open(): number {
    return this.sending.length + this.queued.length;
  }

  get connected(): boolean {
    return this.ready;
  }

  /** Ids that stand for messages of the broker. */
  get unfinished(): number {
    return this.held.size;
  }

  /** Connects. If it is connected already, this takes its session over and leaves the old socket open. */
  connect(receiveMaximum: number): void {
    if (this.opening !== null) return;
    this.leave();
    this.opening = this.begin(receiveMaximum)
      .catch(this.options.failed)
      .finally(() => {
        this.opening = null;
      });
  }

  /** Connects unless it is connected or connecting. */
  connectUnless(receiveMaximum: number): void {
    if (!this.ready) this.connect(receiveMaximum);
  }

  /** Waits for the connection that is being opened. */
  async opened(): Promise<void> {
    await this.opening;
  }

  /** Ends the connection, with or without DISCONNECT. */
  drop(politely: boolean): void {
    const { peer } = this;
    this.leave();
    if (peer === null) return;
    if (politely) peer.socket.end(this.options.v5 ? disconnect5(0) : packet(0xe0));
    else peer.socket.destroy();
  }

  /** Stops reading and keeps its socket open. */
  stall(): void {
    this.peer?.socket.pause();
  }

  brokerRestarted(): void {
    this.restarts++;
  }

  publish(topic: string, qos: QoS, body: string): void {
    this.queued.push({ id: 0, qos, topic, body, received: false });
    this.sendMore();
  }

  /** Sends some of the waiting acknowledgements, in the order that `pick` chooses. */
  answer(count: number, pick: (count: number) => number): void {
    for (let i = 0; i < count && this.due.length > 0; i++) {
      const [answer] = this.due.splice(pick(this.due.length), 1);
      this.say(answer!);
    }
  }

  /** Sends unexpected acknowledgements, none of which may change anything. */
  babble(kind: number): void {
    const { peer } = this;
    if (peer === null || !this.ready) return;
    const [id, held] = [...this.held][0] ?? [STRANGE_ID, null];
    switch (kind % 6) {
      case 0:
        peer.send(packet(0x40, u16(STRANGE_ID + 1)));
        break;
      case 1:
        // A PUBREL with an unassigned id.
        peer.send(packet(0x62, u16(STRANGE_ID + 2)));
        break;
      case 2:
        peer.send(packet(0x70, u16(STRANGE_ID + 3)));
        break;
      case 3:
        // The acknowledgement of another QoS.
        if (held !== null) peer.send(held.qos === 2 ? packet(0x40, u16(id)) : packet(0x70, u16(id)));
        break;
      case 4:
        // A repeated PUBREC: the broker may answer with a repeated PUBREL only.
        if (held?.qos === 2 && !this.due.some((answer) => answer.id === id)) peer.send(packet(0x50, u16(id)));
        break;
      default:
        this.ping();
    }
  }

  /** Asks for a PINGRESP, behind which everything is that either side has sent before. */
  ping(): void {
    if (this.peer === null) return;
    this.pings++;
    this.peer.send(packet(0xc0));
  }

  async end(): Promise<void> {
    await this.opening;
    this.leave();
    for (const peer of this.peers) await peer.close();
  }

  private leave(): void {
    this.peer = null;
    this.ready = false;
    this.due = [];
    this.pings = 0;
  }

  private async begin(receiveMaximum: number): Promise<void> {
    const { port, clientId, v5, persistent } = this.options;
    let peer: RawClient;
    try {
      peer = rawMqtt(await tcp(port));
    } catch {
      return;
    }
    this.peers.push(peer);
    this.receiveMaximum = v5 ? receiveMaximum : LARGEST_WINDOW;
    const properties = [p.receiveMaximum(receiveMaximum), p.sessionExpiry(persistent ? NEVER : 0)];
    peer.send(
      v5
        ? connect5({ clientId, clean: !persistent, properties })
        : connect3(clientId, { user: 'guest', password: 'guest', clean: !persistent }),
    );
    const connack = await peer.next();
    if (connack === null) {
      if (persistent && this.present !== true) this.present = null;
      return;
    }
    assert.equal(connack[0], 0x20, `${clientId}: ${connack.toString('hex')} before CONNACK`);
    assert.equal(connack[3], 0, `${clientId}: CONNACK ${connack.toString('hex')}`);
    const present = connack[2] === 1;
    if (this.present !== null) assert.equal(present, this.present, `${clientId}: session present`);
    if (persistent) this.present = true;
    if (!present) this.forget();
    // QoS 1 ids do not survive a broker restart, and a message of a group may go to another member.
    if (this.member || this.restarts !== this.heldIn) this.forgetQos1();
    this.heldIn = this.restarts;
    this.connections++;
    this.connectedAt = this.book.size;
    this.peer = peer;
    this.listen(peer).catch(this.options.failed);
    if (!present && this.options.filters.length > 0) {
      const filters = this.options.filters.map(([filter, qos]): [string, number] => [filter, qos]);
      peer.send(v5 ? subscribe5(1, [], ...filters) : subscribe3(filters));
    }
    for (const { id, qos, topic, body, received } of this.sending) {
      this.book.of(body).sentAgain = true;
      if (received) peer.send(packet(0x62, u16(id)));
      else peer.send(this.publishPacket(topic, body, qos, id, true));
    }
    this.ready = true;
    this.sendMore();
  }

  private async listen(peer: RawClient): Promise<void> {
    for (let unit = await peer.next(); unit !== null; unit = await peer.next()) {
      // The device ignores packets of a connection that it has abandoned.
      if (peer !== this.peer) return;
      this.packet(peer, unit);
    }
    if (peer === this.peer) this.leave();
  }

  /** Clears the state of a session. */
  private forget(): void {
    for (const { body } of this.sending.splice(0)) this.book.of(body).abandoned = true;
    this.held.clear();
    this.seen.clear();
  }

  private forgetQos1(): void {
    for (const [id, { qos }] of this.held) if (qos === 1) this.held.delete(id);
  }

  private packet(peer: RawClient, unit: Buffer): void {
    const id = unit.length >= 4 ? unit.readUInt16BE(2) : 0;
    const { clientId } = this.options;
    switch (unit[0]! >> 4) {
      case PACKET.publish:
        this.take(unit);
        break;
      case PACKET.puback:
      case PACKET.pubrec: {
        const qos = unit[0]! >> 4 === PACKET.puback ? 1 : 2;
        const sending = this.sending.find((each) => each.id === id);
        assert.ok(sending?.qos === qos, `${clientId}: ${unit.toString('hex')} answers nothing`);
        assert.ok(unit.length === 4 || unit[4]! < 0x80, `${clientId}: ${unit.toString('hex')} for ${sending.body}`);
        this.book.of(sending.body).acknowledged = true;
        sending.received = true;
        if (qos === 1) this.complete(id);
        else peer.send(packet(0x62, u16(id)));
        break;
      }
      case PACKET.pubrel:
        this.later({ type: 7, id });
        break;
      case PACKET.pubcomp:
        this.complete(id);
        break;
      case PACKET.suback:
        for (const code of unit.subarray(-this.options.filters.length)) assert.ok(code < 0x80, unit.toString('hex'));
        break;
      case PACKET.pingresp:
        this.pings--;
        break;
      case PACKET.disconnect:
        assert.ok(this.options.v5 && [0x8b, 0x8e].includes(unit[2]!), `${clientId}: ${unit.toString('latin1')}`);
        break;
      default:
        assert.fail(`${clientId}: packet ${unit.toString('hex')}`);
    }
  }

  private take(unit: Buffer): void {
    const { v5, clientId } = this.options;
    let at = 1;
    while (unit[at++]! >= 0x80);
    const qos = ((unit[0]! >> 1) & 3) as QoS;
    const dup = (unit[0]! & 8) !== 0;
    const topicEnd = at + 2 + unit.readUInt16BE(at);
    const topic = unit.toString('utf8', at + 2, topicEnd);
    const id = qos === 0 ? 0 : unit.readUInt16BE(topicEnd);
    const body = unit.toString('utf8', topicEnd + (qos === 0 ? 0 : 2) + (v5 ? 1 : 0));
    const what = `${clientId}, connection ${this.connections}: ${body} at QoS ${qos} as ${id}${dup ? ' DUP' : ''}`;
    if (qos === 0) {
      assert.ok(!dup, what);
      this.taken.push({ qos, topic, body, connection: this.connections, life: this.restarts });
      return;
    }
    assert.ok(id > 0, what);
    const seen = this.seen.has(body);
    const published = this.book.of(body);
    // [MQTT-3.3.1-1]: a message delivered before has DUP, unless it was delivered to another member of the group.
    if (seen && !this.member && !published.sentAgain) assert.ok(dup, `${what}: came before`);
    // A message published after this connection opened cannot have been sent over an earlier one.
    if (dup) assert.ok(published.at < this.connectedAt, `${what}: never sent before`);
    const before = this.held.get(id);
    if (before !== undefined) {
      assert.notEqual(before.connection, this.connections, `${what}: the id stands for ${before.body}`);
      const same = before.qos === qos && before.body === body;
      assert.ok(same, `${what}: the id stands for ${before.body}`);
      assert.ok(dup, `${what}: sent again`);
    }
    const out = [...this.held.values()].filter(({ connection }) => connection === this.connections).length;
    assert.ok(out < this.receiveMaximum, `${what}: ${out + 1} are out, ${this.receiveMaximum} may be`);
    const again = qos === 2 && before?.qos === 2;
    this.held.set(id, { qos, body, connection: this.connections });
    this.seen.add(body);
    if (!again) this.taken.push({ qos, topic, body, connection: this.connections, life: this.restarts });
    this.later({ type: qos === 1 ? 4 : 5, id });
  }

  private later(answer: Answer): void {
    if (this.lazy) this.due.push(answer);
    else this.say(answer);
  }

  private say({ type, id }: Answer): void {
    if (type !== 5) this.held.delete(id);
    this.peer?.send(packet(type << 4, u16(id)));
  }

  private complete(id: number): void {
    const at = this.sending.findIndex((each) => each.id === id);
    if (at !== -1) this.sending.splice(at, 1);
    this.sendMore();
  }

  private sendMore(): void {
    while (this.peer !== null && this.ready && this.queued.length > 0 && this.sending.length < WINDOW) {
      const { qos, topic, body } = this.queued.shift()!;
      let id = 0;
      if (qos > 0) {
        while (this.sending.some((each) => each.id === this.nextId)) this.nextId = (this.nextId % 65_535) + 1;
        id = this.nextId;
        this.nextId = (this.nextId % 65_535) + 1;
        this.sending.push({ id, qos, topic, body, received: false });
      }
      this.book.sent(this.options.clientId, topic, qos, body);
      this.peer.send(this.publishPacket(topic, body, qos, id, false));
    }
  }

  private publishPacket(topic: string, body: string, qos: QoS, id: number, dup: boolean): Buffer {
    if (this.options.v5) return publish5(topic, body, { qos, id, dup });
    const bytes = publish3(topic, Buffer.from(body), qos, id);
    if (dup) bytes[0] = bytes[0]! | 8;
    return bytes;
  }
}

function subscribe3(filters: readonly [string, number][]): Buffer {
  return packet(0x82, u16(1), ...filters.map(([filter, qos]) => Buffer.concat([text(filter), Buffer.from([qos])])));
}
