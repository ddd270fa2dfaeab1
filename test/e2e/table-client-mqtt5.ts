// MQTT 5.0 in the notation of the cross-protocol tables. Lines are those of 3.1.1 and the properties by their names in
// the specification. All user properties are on one line, as a JSON array of pairs in wire order.

import assert from 'node:assert/strict';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { rawMqtt } from '../../support/raw-mqtt.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import * as v5 from '../../support/wire/mqtt5.ts';
import { bodyOf, bodyText, type Line, lineOf, spacedLine, type TableClient, type Watcher } from './table-client.ts';

/** A watcher's session lives until the watcher is closed. */
const NEVER = 0xffff_ffff;

export class Mqtt5TableClient implements TableClient {
  private readonly port: number;
  private readonly publisher: RawClient;
  private watchers: number;

  private constructor(port: number, publisher: RawClient) {
    this.port = port;
    this.publisher = publisher;
    this.watchers = 0;
  }

  static async open(port: number): Promise<Mqtt5TableClient> {
    return new Mqtt5TableClient(port, await connected(port, 'publisher-5', true));
  }

  line(text: string): Line {
    return spacedLine(text);
  }

  async publish(lines: readonly Line[]): Promise<void> {
    const { publisher } = this;
    const qos = Number(lineOf(lines, 'qos', '0'));
    const retain = lineOf(lines, 'retain', '0') === '1';
    const properties = propertiesOf(lines);
    publisher.send(v5.publish5(lineOf(lines, 'topic', 'parts'), bodyOf(lines), { qos, id: 1, retain, properties }));
    if (qos === 0) publisher.send(mqtt.pingreq());
    const answer = await publisher.take();
    assert.equal(answer[0]! >> 4, [mqtt.PACKET.pingresp, mqtt.PACKET.puback, mqtt.PACKET.pubrec][qos]);
    if (qos < 2) return;
    publisher.send(mqtt.acknowledgement(mqtt.PACKET.pubrel, 1));
    assert.equal((await publisher.take())[0]! >> 4, mqtt.PACKET.pubcomp);
  }

  async watch(address: readonly Line[]): Promise<Watcher> {
    const clientId = `watcher-5-${++this.watchers}`;
    let peer = await connected(this.port, clientId, false);
    peer.send(v5.subscribe5(1, [], [lineOf(address, 'topic', '#'), 2]));
    assert.equal((await peer.take())[0]! >> 4, mqtt.PACKET.suback);
    const next = async (): Promise<Map<string, string>> => {
      const { seen, qos, id } = linesOf(await peer.take());
      if (qos === 1) peer.send(mqtt.acknowledgement(mqtt.PACKET.puback, id));
      if (qos === 2) {
        peer.send(mqtt.acknowledgement(mqtt.PACKET.pubrec, id));
        assert.equal((await peer.take())[0]! >> 4, mqtt.PACKET.pubrel);
        peer.send(mqtt.acknowledgement(mqtt.PACKET.pubcomp, id));
      }
      return seen;
    };
    return {
      next,
      nextAgain: async () => {
        await peer.take();
        await peer.close();
        peer = await connected(this.port, clientId, false);
        return next();
      },
      close: async () => {
        await peer.close();
        await (await connected(this.port, clientId, true)).close();
      },
    };
  }

  close(): Promise<void> {
    return this.publisher.close();
  }
}

async function connected(port: number, clientId: string, clean: boolean): Promise<RawClient> {
  const peer = rawMqtt(await tcp(port));
  peer.send(v5.connect5({ clientId, clean, properties: clean ? [] : [v5.p.sessionExpiry(NEVER)] }));
  const connack = await peer.take();
  assert.deepEqual([connack[0], connack[3]], [mqtt.PACKET.connack << 4, 0]);
  return peer;
}

function propertiesOf(lines: readonly Line[]): Buffer[] {
  const properties: Buffer[] = [];
  for (const [name, value] of lines) {
    switch (name) {
      case 'payload-format':
        properties.push(v5.p.payloadFormat(Number(value)));
        break;
      case 'message-expiry':
        properties.push(v5.p.messageExpiry(Number(value)));
        break;
      case 'content-type':
        properties.push(v5.p.contentType(value));
        break;
      case 'response-topic':
        properties.push(v5.p.responseTopic(value));
        break;
      case 'correlation-data':
        properties.push(v5.p.correlationData(bodyOf([['body', value]])));
        break;
      case 'user-properties':
        for (const [key, text] of JSON.parse(value) as [string, string][]) properties.push(v5.p.user(key, text));
    }
  }
  return properties;
}

function linesOf(packet: Buffer): { seen: Map<string, string>; qos: number; id: number } {
  assert.equal(packet[0]! >> 4, mqtt.PACKET.publish, packet.toString('hex'));
  const qos = (packet[0]! >> 1) & 3;
  let at = 1;
  const variable = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = packet[at++]!;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  const bytes = (): Buffer => {
    const length = packet.readUInt16BE(at);
    at += 2 + length;
    return packet.subarray(at - length, at);
  };
  variable();
  const seen = new Map([['topic', bytes().toString()]]);
  const id = qos === 0 ? 0 : packet.readUInt16BE(at);
  if (qos > 0) at += 2;
  const user: [string, string][] = [];
  for (const end = variable() + at; at < end; ) {
    const identifier = packet[at++]!;
    switch (identifier) {
      case 1:
        seen.set('payload-format', String(packet[at++]));
        break;
      case 2:
        seen.set('message-expiry', String(packet.readUInt32BE(at)));
        at += 4;
        break;
      case 3:
        seen.set('content-type', bytes().toString());
        break;
      case 8:
        seen.set('response-topic', bytes().toString());
        break;
      case 9:
        seen.set('correlation-data', bodyText(Buffer.from(bytes())));
        break;
      case 38:
        user.push([bytes().toString(), bytes().toString()]);
        break;
      default:
        assert.fail(`property ${identifier} in a delivery`);
    }
  }
  if (user.length > 0) seen.set('user-properties', JSON.stringify(user));
  seen.set('qos', String(qos));
  seen.set('body', bodyText(packet.subarray(at)));
  if ((packet[0]! & 1) !== 0) seen.set('retain', '1');
  if ((packet[0]! & 8) !== 0) seen.set('dup', '1');
  return { seen, qos, id };
}
