// A device that publishes over MQTT at QoS 1. MQTT.js reconnects and resends unacknowledged messages by itself.

import mqtt, { type MqttClient } from 'mqtt';
import type { Sent } from './account.ts';
import type { Outgoing } from './outgoing.ts';

const AGAIN_MS = 50;

export interface MqttPublisherOptions {
  readonly port: number;
  readonly topic: string;
  readonly outgoing: Outgoing;
}

export class MqttPublisher {
  private readonly options: MqttPublisherOptions;
  private readonly client: MqttClient;
  private readonly byBody: Map<string, Sent>;

  constructor(options: MqttPublisherOptions) {
    this.options = options;
    this.byBody = new Map();
    const { port, outgoing } = options;
    const login = { username: 'guest', password: 'guest', clientId: 'device', clean: false };
    this.client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { ...login, reconnectPeriod: AGAIN_MS });
    // The broker is down.
    this.client.on('error', () => {});
    this.client.on('connect', () => this.go());
    this.client.on('close', () => outgoing.interrupt());
    this.client.on('packetsend', (packet) => {
      if (packet.cmd === 'publish') this.byBody.get(packet.payload.toString())!.sendings++;
    });
  }

  async end(): Promise<void> {
    await this.client.endAsync(true);
  }

  private go(): void {
    const { topic, outgoing } = this.options;
    for (let sent = outgoing.next(); sent !== null; sent = outgoing.next()) {
      const next = sent;
      this.byBody.set(next.body, next);
      this.client.publish(topic, next.body, { qos: 1 }, (error) => {
        if (error) return;
        outgoing.confirm(next);
        this.go();
      });
    }
  }
}
