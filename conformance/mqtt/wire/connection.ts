// The checks' MQTT connection. It sends any packet, legal or not, and returns every packet received. Messages and
// answers wait in two lists, because a server may send a message at any time, even before an answer. A packet that a
// server may never send (before CONNACK, after DISCONNECT, above the client's maximum packet size or receive maximum)
// fails the call that waits.

import assert from 'node:assert/strict';
import { Conversation } from '../../conversation.ts';
import type { Text } from './bytes.ts';
import type { Line } from './line.ts';
import {
  type ConnectOptions,
  decode,
  encodeAck,
  encodeConnect,
  encodePublish,
  encodeReason,
  encodeSubscribe,
  encodeUnsubscribe,
  firstPacket,
  frame,
  hex,
  LEVEL,
  type Level,
  type Packet,
  type PublishOptions,
  type SubscriptionOptions,
  type TypeName,
} from './packets.ts';
import { type Properties, type Property, property } from './properties.ts';

/** Bytes of a packet that are shown in the notes of a failure. */
const SHOWN = 48;

export class MqttConnection extends Conversation {
  readonly version: Level;
  readonly line: Line;
  /** The CONNACK received, or null. */
  connack: Packet | null;
  clientId: string;
  private readonly note: (line: string) => void;
  private readonly messages: Packet[];
  private readonly answers: Packet[];
  /** Topic aliases that the server has set. */
  private readonly aliases: Map<number, string>;
  /** Packet identifiers of messages that the client has not acknowledged. */
  private readonly unacknowledged: Set<number>;
  private limits: { receiveMaximum: number; maximumPacketSize: number; topicAliasMaximum: number };
  private bytes: Buffer;
  private disconnected: boolean;
  private lastId: number;

  constructor(version: Level, line: Line, signal: AbortSignal, note: (line: string) => void) {
    super(signal);
    this.version = version;
    this.line = line;
    this.connack = null;
    this.clientId = '';
    this.note = note;
    this.messages = [];
    this.answers = [];
    this.aliases = new Map();
    this.unacknowledged = new Set();
    this.limits = { receiveMaximum: 65_535, maximumPacketSize: Number.POSITIVE_INFINITY, topicAliasMaximum: 0 };
    this.bytes = Buffer.alloc(0);
    this.disconnected = false;
    this.lastId = 0;
    line.listen(
      (chunk) => this.data(chunk),
      () => this.finish(),
    );
  }

  raw(bytes: Uint8Array): void {
    this.note(`→ ${shown(Buffer.from(bytes))}`);
    this.line.write(bytes);
  }

  sendConnect(options: ConnectOptions): void {
    const properties = options.properties instanceof Uint8Array ? [] : (options.properties ?? []);
    const said = properties.filter((one): one is Property => !(one instanceof Uint8Array));
    this.limits = {
      // 0 is a violation, not a limit.
      receiveMaximum: property(said, 'receiveMaximum') || 65_535,
      maximumPacketSize: property(said, 'maximumPacketSize') || Number.POSITIVE_INFINITY,
      topicAliasMaximum: property(said, 'topicAliasMaximum') ?? 0,
    };
    this.raw(encodeConnect(this.version, options));
  }

  /** Expects a CONNACK that accepts the connection. */
  async expectAccepted(): Promise<Packet> {
    const connack = await this.expect('CONNACK');
    if (connack.reasons[0] !== 0) throw new Error(`expected CONNACK 0x00, got ${hex(connack.reasons[0]!)}`);
    return connack;
  }

  /** A packet identifier that this client has not used. */
  nextId(): number {
    return ++this.lastId;
  }

  /** Sends without waiting for an answer. Chooses a packet identifier if the QoS needs one and none is given. */
  sendPublish(options: PublishOptions): number {
    const { qos = 0, packetId = qos > 0 ? this.nextId() : undefined } = options;
    this.raw(encodePublish(this.version, packetId === undefined ? options : { ...options, packetId }));
    return packetId ?? 0;
  }

  /** Publishes and completes the handshake of the QoS. Resolves with PUBACK, PUBREC, or null at QoS 0. */
  async publish(options: PublishOptions): Promise<Packet | null> {
    const packetId = this.sendPublish(options);
    if ((options.qos ?? 0) === 0) return null;
    if (options.qos === 1) return this.expectAck('PUBACK', packetId);
    const pubrec = await this.expectAck('PUBREC', packetId);
    this.ack('PUBREL', packetId);
    await this.expectAck('PUBCOMP', packetId);
    return pubrec;
  }

  ack(
    type: 'PUBACK' | 'PUBREC' | 'PUBREL' | 'PUBCOMP',
    packetId: number,
    reason?: number,
    properties?: Properties,
  ): void {
    if (type === 'PUBACK' || type === 'PUBCOMP' || (type === 'PUBREC' && (reason ?? 0) >= 0x80)) {
      this.unacknowledged.delete(packetId);
    }
    this.raw(encodeAck(type, packetId, reason, properties));
  }

  sendSubscribe(subscriptions: readonly SubscriptionOptions[], properties: Properties = []): number {
    const packetId = this.nextId();
    this.raw(encodeSubscribe(this.version, packetId, subscriptions, properties));
    return packetId;
  }

  async subscribe(subscriptions: readonly SubscriptionOptions[], properties: Properties = []): Promise<Packet> {
    const packetId = this.sendSubscribe(subscriptions, properties);
    const suback = await this.expect('SUBACK');
    assert.equal(suback.packetId, packetId, 'the packet identifier of SUBACK');
    return suback;
  }

  sendUnsubscribe(filters: readonly Text[], properties: Properties = []): number {
    const packetId = this.nextId();
    this.raw(encodeUnsubscribe(this.version, packetId, filters, properties));
    return packetId;
  }

  async unsubscribe(filters: readonly Text[], properties: Properties = []): Promise<Packet> {
    const packetId = this.sendUnsubscribe(filters, properties);
    const unsuback = await this.expect('UNSUBACK');
    assert.equal(unsuback.packetId, packetId, 'the packet identifier of UNSUBACK');
    return unsuback;
  }

  async ping(): Promise<void> {
    this.raw(frame('PINGREQ'));
    await this.expect('PINGRESP');
  }

  /** Sends DISCONNECT and waits until the connection ends. */
  async disconnect(reason?: number, properties?: Properties): Promise<void> {
    this.raw(encodeReason('DISCONNECT', reason, properties));
    await this.until(() => this.finished, 'the end of the connection');
  }

  /** Breaks the connection without DISCONNECT. */
  cut(): void {
    this.note('→ the connection is cut');
    this.line.cut();
  }

  /** The next packet that is not a PUBLISH; PUBREL counts as an answer. */
  async receive(): Promise<Packet> {
    await this.until(() => this.answers.length > 0, 'an answer');
    return this.answers.shift()!;
  }

  /** The next answer, which must have this type. */
  async expect(type: TypeName): Promise<Packet> {
    await this.until(() => this.answers.length > 0, type);
    const next = this.answers.shift()!;
    if (next.type !== type) throw new Error(`expected ${type}, got ${described(next)}`);
    return next;
  }

  /** The next answer, which must acknowledge this packet. */
  async expectAck(type: TypeName, packetId: number): Promise<Packet> {
    const ack = await this.expect(type);
    assert.equal(ack.packetId, packetId, `the packet identifier of ${type}`);
    return ack;
  }

  /** The next message, not acknowledged. Its payload must be `payload`, if given. */
  async message(payload?: string): Promise<Packet> {
    await this.until(() => this.messages.length > 0, payload === undefined ? 'a message' : `message '${payload}'`);
    const message = this.messages.shift()!;
    if (payload !== undefined) assert.equal(message.payload.toString(), payload, 'the payload of the message');
    return message;
  }

  /** The next message, with the handshake of its QoS completed. */
  async delivery(payload?: string): Promise<Packet> {
    const message = await this.message(payload);
    await this.accept(message);
    return message;
  }

  /** Completes the handshake of a message. */
  async accept({ qos, packetId }: Packet): Promise<void> {
    if (qos === 1) this.ack('PUBACK', packetId);
    if (qos < 2) return;
    this.ack('PUBREC', packetId);
    await this.expectAck('PUBREL', packetId);
    this.ack('PUBCOMP', packetId);
  }

  /**
   * The server closes the connection. In 5.0 it may first send DISCONNECT, or CONNACK if none was sent, with one of
   * these codes; in 3.1.1 it sends nothing. A server that ignored the violation would answer the PINGREQ sent after it.
   */
  async expectClosed(codes: readonly number[] = [], ask = true): Promise<Packet | null> {
    if (ask && this.connack !== null) this.line.write(frame('PINGREQ'));
    const goesOn = ({ type, reasons }: Packet): boolean => {
      return type === 'PINGRESP' || (type === 'CONNACK' && reasons[0] === 0);
    };
    await this.until(() => this.finished || this.answers.some(goesOn), 'the end of the connection');
    const said = this.answers.shift();
    if (said === undefined) return null;
    if (said.type !== 'DISCONNECT' && said.type !== 'CONNACK')
      throw new Error(`expected the end, got ${described(said)}`);
    if (said.type === 'CONNACK' && this.version !== LEVEL.v5)
      throw new Error(`expected the end, got ${described(said)}`);
    const [reason] = said.reasons;
    assert.ok(reason! >= 0x80, `the connection ends with reason ${hex(reason!)}`);
    if (codes.length > 0) {
      assert.ok(
        codes.includes(reason!),
        `the connection ends with ${hex(reason!)}, not ${codes.map(hex).join(' or ')}`,
      );
    }
    await this.until(() => this.finished, 'the end of the connection');
    return said;
  }

  /** The server sends DISCONNECT with one of these codes and closes, as 5.0 recommends. */
  async expectDisconnect(...codes: number[]): Promise<Packet> {
    const said = await this.expectClosed(codes);
    if (said === null) throw new Error(`expected DISCONNECT ${codes.map(hex).join(' or ')}, got the end alone`);
    return said;
  }

  /** The server refuses with one of these codes in CONNACK, sends nothing else, and closes. */
  async expectRefused(...codes: number[]): Promise<Packet> {
    const connack = await this.expect('CONNACK');
    const [reason] = connack.reasons;
    assert.ok(codes.includes(reason!), `CONNACK says ${hex(reason!)}, not ${codes.map(hex).join(' or ')}`);
    assert.equal(connack.sessionPresent, false, 'session present of a refusal');
    await this.until(() => this.finished, 'the end of the connection');
    this.expectNothing();
    return connack;
  }

  /** Waits for the end without sending anything. */
  async expectEnd(): Promise<void> {
    await this.until(() => this.finished, 'the end of the connection');
  }

  /** Fails if a packet was received and not read. */
  expectNothing(): void {
    this.requireUnfailed();
    const [unexpected] = [...this.messages, ...this.answers];
    if (unexpected !== undefined) throw new Error(`expected nothing, got ${described(unexpected)}`);
  }

  /** The server answers PINGREQ and has sent nothing else before. */
  async expectSilence(): Promise<void> {
    await this.ping();
    this.expectNothing();
  }

  /** Whether an unread answer exists. */
  get hasAnswer(): boolean {
    return this.answers.length > 0;
  }

  /** Number of unread messages. */
  get waitingMessages(): number {
    return this.messages.length;
  }

  private data(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    try {
      for (let next = firstPacket(this.bytes); next !== null; next = firstPacket(this.bytes)) {
        this.bytes = this.bytes.subarray(next.size);
        this.note(`← ${shown(Buffer.concat([Buffer.of(next.first), next.body]))}`);
        this.received(this.decoded(next));
      }
    } catch (error) {
      this.fail(error as Error);
    }
    this.wake();
  }

  /** A server that does not know the version refuses it in the format of another version. */
  private decoded({ first, body, size }: { first: number; body: Buffer; size: number }): Packet {
    const refusal = this.connack === null && first === 0x20 && body[1] !== 0;
    const language = body.length === 2 ? LEVEL.v3 : LEVEL.v5;
    return decode(refusal ? language : this.version, first, body, size);
  }

  private received(packet: Packet): void {
    if (this.disconnected) throw new Error(`a ${packet.type} after DISCONNECT [MQTT-3.14.4-1]`);
    if (packet.size > this.limits.maximumPacketSize) {
      throw new Error(`a packet of ${packet.size} bytes beyond ${this.limits.maximumPacketSize} [MQTT-3.1.2-24]`);
    }
    if (this.connack === null) {
      if (packet.type === 'CONNACK') this.connack = packet;
      else if (packet.type !== 'AUTH') throw new Error(`a ${packet.type} before CONNACK [MQTT-3.2.0-1]`);
    } else if (packet.type === 'CONNACK') throw new Error('a second CONNACK [MQTT-3.2.0-2]');
    if (packet.type === 'DISCONNECT') this.disconnected = true;
    if (packet.type === 'PUBLISH') this.messages.push(this.checkedMessage(packet));
    else this.answers.push(packet);
  }

  /** Fails if the topic, alias or packet identifier violates the client's limits. */
  private checkedMessage(packet: Packet): Packet {
    const { qos, packetId } = packet;
    const alias = property(packet.properties, 'topicAlias');
    let { topic } = packet;
    if (alias !== undefined) {
      if (alias > this.limits.topicAliasMaximum) {
        throw new Error(`topic alias ${alias} beyond ${this.limits.topicAliasMaximum} [MQTT-3.1.2-26]`);
      }
      if (topic === '') topic = this.aliases.get(alias) ?? '';
      else this.aliases.set(alias, topic);
    }
    if (topic === '' || /[+#]/.test(topic)) throw new Error(`a message with topic '${topic}' [MQTT-3.3.2-2]`);
    if (qos > 0) {
      if (this.unacknowledged.has(packetId)) throw new Error(`identifier ${packetId} is in use [MQTT-2.2.1-4]`);
      this.unacknowledged.add(packetId);
      if (this.unacknowledged.size > this.limits.receiveMaximum) {
        throw new Error(`more than ${this.limits.receiveMaximum} unacknowledged messages [MQTT-3.3.4-9]`);
      }
    }
    return { ...packet, topic };
  }

  protected override finish(): void {
    if (!this.finished) this.note('← the end');
    super.finish();
  }
}

export function described({ type, packetId, reasons, topic, payload }: Packet): string {
  const id = packetId === 0 ? '' : ` ${packetId}`;
  if (type === 'PUBLISH') return `PUBLISH${id} '${topic}' '${payload.subarray(0, 40)}'`;
  return `${type}${id} ${reasons.map(hex).join(' ')}`.trimEnd();
}

function shown(bytes: Buffer): string {
  const head = bytes.subarray(0, SHOWN);
  const text = head.toString('latin1').replace(/[^ -~]/g, '·');
  return `${bytes.length} bytes ${head.toString('hex')}${bytes.length > SHOWN ? '…' : ''} ${text}`;
}
