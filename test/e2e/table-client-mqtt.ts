// MQTT 3.1.1 in the notation of the cross-protocol tables. Lines: topic, qos, retain and dup if set, body.

import assert from 'node:assert/strict';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { openMqtt, readMqttPublish } from '../../support/raw-mqtt.ts';
import * as mqtt from '../../support/wire/mqtt.ts';
import { bodyOf, bodyText, type Line, lineOf, spacedLine, type TableClient, type Watcher } from './table-client.ts';

export class MqttTableClient implements TableClient {
  private readonly port: number;
  private readonly publisher: RawClient;
  private watchers: number;

  private constructor(port: number, publisher: RawClient) {
    this.port = port;
    this.publisher = publisher;
    this.watchers = 0;
  }

  static async open(port: number): Promise<MqttTableClient> {
    return new MqttTableClient(port, await openMqtt(await tcp(port), 'publisher'));
  }

  line(text: string): Line {
    return spacedLine(text);
  }

  async publish(lines: readonly Line[]): Promise<void> {
    const { publisher } = this;
    const qos = Number(lineOf(lines, 'qos', '0')) as mqtt.QoS;
    const retain = lineOf(lines, 'retain', '0') === '1';
    publisher.send(mqtt.publish(lineOf(lines, 'topic', 'parts'), bodyOf(lines), qos, 1, retain));
    if (qos === 0) publisher.send(mqtt.pingreq());
    const answer = (await publisher.take())[0]! >> 4;
    assert.equal(answer, [mqtt.PACKET.pingresp, mqtt.PACKET.puback, mqtt.PACKET.pubrec][qos]);
    if (qos < 2) return;
    publisher.send(mqtt.acknowledgement(mqtt.PACKET.pubrel, 1));
    assert.equal((await publisher.take())[0]! >> 4, mqtt.PACKET.pubcomp);
  }

  /** With a persistent session, which ends when the watcher is closed. */
  async watch(address: readonly Line[]): Promise<Watcher> {
    const clientId = `watcher-${++this.watchers}`;
    const connect = async (clean: boolean) => openMqtt(await tcp(this.port), clientId, { clean });
    let peer = await connect(false);
    peer.send(mqtt.subscribe(1, lineOf(address, 'topic', '#'), 2));
    assert.equal((await peer.take())[0]! >> 4, mqtt.PACKET.suback);
    const next = async (): Promise<Map<string, string>> => {
      const { qos, retain, dup, topic, id, body } = readMqttPublish(await peer.take());
      if (qos === 1) peer.send(mqtt.acknowledgement(mqtt.PACKET.puback, id));
      if (qos === 2) {
        peer.send(mqtt.acknowledgement(mqtt.PACKET.pubrec, id));
        assert.equal((await peer.take())[0]! >> 4, mqtt.PACKET.pubrel);
        peer.send(mqtt.acknowledgement(mqtt.PACKET.pubcomp, id));
      }
      const seen = new Map([
        ['topic', topic],
        ['qos', String(qos)],
        ['body', bodyText(body)],
      ]);
      if (retain) seen.set('retain', '1');
      if (dup) seen.set('dup', '1');
      return seen;
    };
    return {
      next,
      nextAgain: async () => {
        await peer.take();
        await peer.close();
        peer = await connect(false);
        return next();
      },
      close: async () => {
        await peer.close();
        await (await connect(true)).close();
      },
    };
  }

  close(): Promise<void> {
    return this.publisher.close();
  }
}
