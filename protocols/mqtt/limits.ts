// Every bound of the MQTT front-end, with its name and default. The configuration may change each; a counter or a log
// line tells when one was hit.

export interface MqttLimits {
  /** Largest packet that a connected client may send, fixed header not counted. */
  readonly packetBytes: number;
  /** Largest CONNECT: a stranger makes us hold no more than this. */
  readonly connectBytes: number;
  readonly clientIdBytes: number;
  readonly topicBytes: number;
  readonly topicLevels: number;
  /** One more is answered with SUBACK 0x80. */
  readonly subscriptionsPerSession: number;
  /** QoS 1 deliveries that may be out unacknowledged with one client. */
  readonly receiveMaximum: number;
  /** QoS 2 publishes of one client whose PUBREL has not come; one more closes its connection. */
  readonly unreleased: number;
  /** Retained messages of one virtual host, and the bytes of their topics and bodies. One more is not kept. */
  readonly retainedMessages: number;
  readonly retainedBytes: number;
}

export const DEFAULT_MQTT_LIMITS: MqttLimits = Object.freeze({
  packetBytes: 16 * 1024 * 1024,
  connectBytes: 256 * 1024,
  clientIdBytes: 1024,
  topicBytes: 4096,
  topicLevels: 128,
  subscriptionsPerSession: 10_000,
  receiveMaximum: 256,
  unreleased: 10_000,
  retainedMessages: 1_000_000,
  retainedBytes: 256 * 1024 * 1024,
});
