// An MQTT 5 client with a persistent session on a raw socket. It publishes and receives at QoS 2 as the specification
// requires of a client (§4.3.3), whatever the broker does, and reconnects until it is stopped. What it keeps between
// connections is what a device would keep in flash.

import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { rawMqtt } from '../../support/raw-mqtt.ts';
import { PACKET } from '../../support/wire/mqtt.ts';
import { connect5, p, packet, publish5, subscribe5, u16 } from '../../support/wire/mqtt5.ts';

/** One publish in flight. */
interface Sending {
  readonly id: number;
  readonly topic: string;
  readonly body: string;
  /** Whether PUBREC was received. */
  received: boolean;
}

export interface ExactOptions {
  readonly port: number;
  readonly clientId: string;
  /** The filter to subscribe to at QoS 2 when the session begins; null for none. */
  readonly filter: string | null;
  readonly window: number;
  /** Its receive maximum; unlimited by default. */
  readonly receiveMaximum?: number;
}

const NEVER = 0xffff_ffff;
const RETRY_MS = 20;

export class ExactClient {
  /** Bodies by topic, in the order in which the application got them. */
  readonly taken: Map<string, string[]>;
  takenCount: number;
  /** Number of connections, and of packets that were resent. */
  connections: number;
  repeated: number;
  private readonly options: ExactOptions;
  private readonly queued: { topic: string; body: string }[];
  private readonly sending: Sending[];
  /** Ids of messages received and not released yet. */
  private readonly held: Set<number>;
  private nextId: number;
  private peer: RawClient | null;
  private began: boolean;
  private ending: boolean;
  private running: Promise<void>;

  constructor(options: ExactOptions) {
    this.taken = new Map();
    this.takenCount = 0;
    this.connections = 0;
    this.repeated = 0;
    this.options = options;
    this.queued = [];
    this.sending = [];
    this.held = new Set();
    this.nextId = 1;
    this.peer = null;
    this.began = false;
    this.ending = false;
    this.running = this.run();
  }

  /** Publishes in flight. */
  get open(): number {
    return this.queued.length + this.sending.length;
  }

  get ready(): boolean {
    return this.began;
  }

  publish(topic: string, body: string): void {
    this.queued.push({ topic, body });
    this.sendMore();
  }

  async end(): Promise<void> {
    this.ending = true;
    await this.peer?.close();
    await this.running;
  }

  /** Breaks the connection without DISCONNECT. */
  async drop(): Promise<void> {
    await this.peer?.close();
  }

  private async run(): Promise<void> {
    while (!this.ending) {
      try {
        const peer = rawMqtt(await tcp(this.options.port));
        await this.converse(peer);
        await peer.close();
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
      }
      this.peer = null;
      if (!this.ending) await delay(RETRY_MS);
    }
  }

  private async converse(peer: RawClient): Promise<void> {
    const { clientId, filter, receiveMaximum = 0xffff } = this.options;
    const properties = [p.sessionExpiry(NEVER), p.receiveMaximum(receiveMaximum)];
    peer.send(connect5({ clientId, clean: !this.began && filter === null, properties }));
    const connack = await peer.next();
    if (connack === null) return;
    assert.equal(connack[3], 0, `CONNACK ${connack.toString('hex')}`);
    this.connections++;
    if (this.began) assert.equal(connack[2], 1, `the session of ${clientId} is gone`);
    if (!this.began && filter !== null) {
      peer.send(subscribe5(1, [], [filter, 2]));
      const suback = await peer.next();
      if (suback === null) return;
      assert.equal(suback[0]! >> 4, PACKET.suback);
    }
    this.began = true;
    this.peer = peer;
    for (const { id, topic, body, received } of this.sending) {
      if (received) peer.send(packet(0x62, u16(id)));
      else peer.send(publish5(topic, body, { qos: 2, id, dup: true }));
    }
    this.sendMore();
    for (let unit = await peer.next(); unit !== null; unit = await peer.next()) this.packet(peer, unit);
  }

  private packet(peer: RawClient, unit: Buffer): void {
    switch (unit[0]! >> 4) {
      case PACKET.publish:
        this.take(peer, unit);
        break;
      case PACKET.pubrel: {
        const id = unit.readUInt16BE(2);
        this.held.delete(id);
        peer.send(packet(0x70, u16(id)));
        break;
      }
      case PACKET.pubrec: {
        const id = unit.readUInt16BE(2);
        const sending = this.sending.find((each) => each.id === id);
        assert.ok(sending !== undefined, `PUBREC of ${id}, which is not under way`);
        assert.ok(unit.length === 4 || unit[4]! < 0x80, `PUBREC ${unit.toString('hex')}`);
        sending.received = true;
        peer.send(packet(0x62, u16(id)));
        break;
      }
      case PACKET.pubcomp: {
        const at = this.sending.findIndex(({ id }) => id === unit.readUInt16BE(2));
        if (at !== -1) this.sending.splice(at, 1);
        this.sendMore();
        break;
      }
      default:
        assert.fail(`packet ${unit.toString('hex')}`);
    }
  }

  private take(peer: RawClient, unit: Buffer): void {
    let at = 1;
    while (unit[at++]! >= 0x80);
    const length = unit.readUInt16BE(at);
    const topic = unit.toString('utf8', at + 2, at + 2 + length);
    at += 2 + length;
    const id = unit.readUInt16BE(at);
    assert.equal(unit[0]! & 6, 4, 'a delivery that is not QoS 2');
    assert.equal(unit[at + 2], 0, 'a delivery with properties');
    const body = unit.toString('utf8', at + 3);
    if (this.held.has(id)) {
      this.repeated++;
      assert.equal(unit[0]! & 8, 8, `message ${body} came again under its id without DUP`);
    } else {
      this.held.add(id);
      const bodies = this.taken.get(topic);
      if (bodies === undefined) this.taken.set(topic, [body]);
      else bodies.push(body);
      this.takenCount++;
    }
    peer.send(packet(0x50, u16(id)));
  }

  private sendMore(): void {
    while (this.peer !== null && this.sending.length < this.options.window && this.queued.length > 0) {
      const { topic, body } = this.queued.shift()!;
      while (this.sending.some(({ id }) => id === this.nextId)) this.nextId = (this.nextId % 65_535) + 1;
      const id = this.nextId;
      this.nextId = (this.nextId % 65_535) + 1;
      this.sending.push({ id, topic, body, received: false });
      this.peer.send(publish5(topic, body, { qos: 2, id }));
    }
  }
}
