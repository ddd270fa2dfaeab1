// Every limit of the MQTT front-end, with its name and default. The configuration may change each; a counter or a log line
// shows that one was reached.

export interface MqttLimits {
  /** Largest packet that a connected client may send, fixed header not counted. */
  readonly packetBytes: number;
  /** Largest CONNECT: the most that a client can make us buffer before it has logged in. */
  readonly connectBytes: number;
  /** MQTT 5 properties of one packet: for a consumer of another protocol each becomes a header. */
  readonly propertyBytes: number;
  readonly clientIdBytes: number;
  readonly topicBytes: number;
  readonly topicLevels: number;
  /** One more is answered with SUBACK 0x80 or 0x97; a packet that names more (and more than 1,024) ends its connection. */
  readonly subscriptionsPerSession: number;
  /** Unacknowledged QoS 1 and 2 deliveries to one client, whatever receive maximum it announces. */
  readonly receiveMaximum: number;
  /** Unacknowledged QoS 1 and 2 publishes of an MQTT 5 client: the receive maximum that CONNACK announces. */
  readonly publishMaximum: number;
  /** QoS 2 publishes of one client without PUBREL; one more closes its connection. */
  readonly unreleased: number;
  /** Topic aliases of one connection, each way. */
  readonly topicAliases: number;
  /** Longest session expiry, seconds; 4,294,967,295: as the client asks. */
  readonly sessionExpirySeconds: number;
  /** Messages in one session's queue, their bytes, and what happens to one more. */
  readonly sessionMessages: number;
  readonly sessionBytes: number;
  readonly sessionOverflow: Overflow;
  /** Longest keep-alive, seconds; sent to MQTT 5 clients that ask for more or none. 0: no limit. */
  readonly keepAliveSeconds: number;
  /** Memory of wills whose clients are away; beyond it a will is published without its delay. */
  readonly waitingWillBytes: number;
  /** Retained messages of one virtual host, and the bytes of their topics and bodies. One more is not retained. */
  readonly retainedMessages: number;
  readonly retainedBytes: number;
}

export const DEFAULT_MQTT_LIMITS: MqttLimits = Object.freeze({
  packetBytes: 16 * 1024 * 1024,
  connectBytes: 256 * 1024,
  propertyBytes: 128 * 1024,
  clientIdBytes: 1024,
  topicBytes: 4096,
  topicLevels: 128,
  subscriptionsPerSession: 10_000,
  receiveMaximum: 256,
  publishMaximum: 1024,
  unreleased: 10_000,
  topicAliases: 64,
  sessionExpirySeconds: 0xffff_ffff,
  sessionMessages: 1_000_000,
  sessionBytes: 1024 * 1024 * 1024,
  sessionOverflow: 'drop-head',
  keepAliveSeconds: 0,
  waitingWillBytes: 64 * 1024 * 1024,
  retainedMessages: 1_000_000,
  retainedBytes: 256 * 1024 * 1024,
});

/** What happens to one message too many in a session's queue: the oldest is dropped, or the new one refused. */
export type Overflow = 'drop-head' | 'refuse';

/** Those whose hits are counted, by their keys in the configuration (limit-hits.ts). */
export const MQTT_COUNTED_LIMITS = [
  'mqtt.packetBytes',
  'mqtt.connectBytes',
  'mqtt.propertyBytes',
  'mqtt.clientIdBytes',
  'mqtt.topicBytes',
  'mqtt.topicLevels',
  'mqtt.subscriptionsPerSession',
  'mqtt.publishMaximum',
  'mqtt.topicAliases',
  'mqtt.unreleased',
  'mqtt.waitingWillBytes',
  'mqtt.retainedMessages',
  'mqtt.retainedBytes',
] as const satisfies readonly `mqtt.${keyof MqttLimits}`[];
export type MqttCountedLimit = (typeof MQTT_COUNTED_LIMITS)[number];
