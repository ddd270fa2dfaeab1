// A device that subscribes over MQTT at QoS 1 with a persistent session (MQTT.js, which reconnects by itself), and the
// ledger of its deliveries. After its PUBACKs it publishes a progress message. When that is acknowledged, every earlier
// PUBACK of the same connection is on the broker's disk.

import mqtt, { type IPublishPacket, type MqttClient } from 'mqtt';
import type { Delivery } from './account.ts';
import type { Watch } from './watch.ts';
import { PROGRESS } from './worker.ts';

const AGAIN_MS = 50;

export class Subscriber {
  readonly deliveries: Delivery[];
  readonly clientId: string;
  connections: number;
  private readonly client: MqttClient;
  private readonly watch: Watch;
  private acked: Delivery[];
  private recording: boolean;

  private constructor(port: number, clientId: string, watch: Watch) {
    this.deliveries = [];
    this.clientId = clientId;
    this.connections = 0;
    this.watch = watch;
    this.acked = [];
    this.recording = false;
    const login = { username: 'guest', password: 'guest', clientId, clean: false };
    this.client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { ...login, reconnectPeriod: AGAIN_MS });
    // The broker is down.
    this.client.on('error', () => {});
    // Not the `connect` event, which comes after the first redeliveries.
    this.client.on('packetreceive', (packet) => {
      if (packet.cmd !== 'connack') return;
      if (this.connections > 0 && !packet.sessionPresent)
        this.watch.fail(new Error(`the session of ${clientId} is lost`));
      this.connections++;
      this.acked = [];
      this.recording = false;
      this.watch.tick();
    });
    // Not the `message` event, which comes before the PUBACK is sent.
    this.client.handleMessage = (packet, done) => {
      const delivery = this.take(packet);
      done();
      this.acknowledged(delivery);
    };
  }

  /** Resolves when the broker has acknowledged the subscription. */
  static async open(port: number, clientId: string, filter: string, watch: Watch): Promise<Subscriber> {
    const subscriber = new Subscriber(port, clientId, watch);
    await subscriber.client.subscribeAsync(filter, { qos: 1 });
    return subscriber;
  }

  /** Whether all its acknowledgements are on the broker's disk. */
  get settled(): boolean {
    return this.acked.length === 0 && !this.recording;
  }

  async end(): Promise<void> {
    await this.client.endAsync(true);
  }

  private take(packet: IPublishPacket): Delivery {
    const delivery: Delivery = {
      routingKey: packet.topic,
      body: packet.payload.toString(),
      redelivered: packet.dup,
      connection: this.connections,
      state: 'out',
    };
    this.deliveries.push(delivery);
    return delivery;
  }

  private acknowledged(delivery: Delivery): void {
    delivery.state = 'acked';
    this.acked.push(delivery);
    this.watch.tick();
    if (!this.recording) this.record();
  }

  private record(): void {
    const { connections, acked } = this;
    this.acked = [];
    this.recording = true;
    this.client.publish(`${PROGRESS}/${this.clientId}`, `${this.deliveries.length}`, { qos: 1 }, (error) => {
      if (error || connections !== this.connections) return;
      for (const each of acked) each.state = 'durable';
      this.recording = false;
      this.watch.tick();
      if (this.acked.length > 0) this.record();
    });
  }
}
