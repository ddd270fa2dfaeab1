// Every bound of the MQTT front-end, with its name and default. The configuration may change each; a counter or a log
// line tells when one was hit.

export interface MqttLimits {
  /** Largest packet that a connected client may send, fixed header not counted. */
  readonly packetBytes: number;
  /** Largest CONNECT: a stranger makes us hold no more than this. */
  readonly connectBytes: number;
  /** Properties of one packet: a consumer of another protocol makes us turn each of them into a header. */
  readonly propertyBytes: number;
  readonly clientIdBytes: number;
  readonly topicBytes: number;
  readonly topicLevels: number;
  /** One more is answered with SUBACK 0x80 or 0x97; a packet that names more (and more than 1,024) ends its connection. */
  readonly subscriptionsPerSession: number;
  /** QoS 1 and 2 deliveries that may be out unacknowledged with one client, whatever it allows itself. */
  readonly receiveMaximum: number;
  /** QoS 1 and 2 publishes of an MQTT 5 client that may wait for their acknowledgement: what CONNACK announces. */
  readonly publishMaximum: number;
  /** QoS 2 publishes of one client whose PUBREL has not come; one more closes its connection. */
  readonly unreleased: number;
  /** Topic aliases of one connection, each way. */
  readonly topicAliases: number;
  /** Longest that a session outlives its connection, seconds; 4,294,967,295: as long as the client says. */
  readonly sessionExpirySeconds: number;
  /** Messages that wait for one session, their bytes, and what happens to one more. */
  readonly sessionMessages: number;
  readonly sessionBytes: number;
  readonly sessionOverflow: Overflow;
  /** Longest keep-alive, seconds; MQTT 5 clients that ask for more (or none) are told. 0: any. */
  readonly keepAliveSeconds: number;
  /** Retained messages of one virtual host, and the bytes of their topics and bodies. One more is not kept. */
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
  retainedMessages: 1_000_000,
  retainedBytes: 256 * 1024 * 1024,
});

/** What happens to one message too many in a session's queue: the oldest goes, or the new one is refused. */
export type Overflow = 'drop-head' | 'refuse';
