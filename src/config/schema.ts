// The configuration: one TypeBox schema that gives the type, the defaults, the bounds and the words of every key. The
// loader, the flags, `trivium help` and the table in README.md are all derived from it. Sections hold keys, keys hold
// leaves: two levels, never more, so that `amqp.port`, `--amqp-port` and `TRIVIUM_AMQP_PORT` are one name.

import { type Static, Type } from 'typebox';

const KIB = 1024;
const MIB = 1024 * KIB;

/** A TCP port; 0 takes any free one; `off` (false) opens no listener. */
const port = (standard: number | false, description: string) =>
  Type.Union([Type.Integer({ minimum: 0, maximum: 65_535 }), Type.Literal(false)], { default: standard, description });

const count = (standard: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: standard, minimum, maximum, description });

/** A number of bytes; text and YAML may say `64MiB`. */
const bytes = (standard: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: standard, minimum, maximum, unit: 'bytes', description });

const flag = (standard: boolean, description: string) => Type.Boolean({ default: standard, description });

const text = (standard: string, description: string) => Type.String({ default: standard, minLength: 1, description });

/** A path or a name that may be absent (null). */
const file = (description: string) =>
  Type.Union([Type.String({ minLength: 1 }), Type.Null()], { default: null, description });

/** Text that is never printed or logged. */
const secret = (standard: string, description: string) =>
  Type.String({ default: standard, minLength: 1, secret: true, description });

const names = (standard: string[], description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { default: standard, description });

const oneOf = <Value extends string>(standard: NoInfer<Value>, values: readonly Value[], description: string) =>
  Type.Unsafe<Value>(Type.Enum([...values], { default: standard, description }));

const section = <Properties extends Record<string, Type.TSchema>>(properties: Properties, description: string) =>
  Type.Object(properties, { additionalProperties: false, description });

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export const ConfigSchema = Type.Object(
  {
    host: text('0.0.0.0', 'Address that every listener binds to.'),
    port: port(
      false,
      'One port for everything beside the others: AMQP, MQTT, STOMP, WebSocket and HTTP, and each over TLS once `tls.certificateFile` is given.',
    ),
    dataDir: text('./data', 'Directory of the store. One broker at a time may use it.'),
    store: oneOf('lmdb', ['lmdb', 'memory'], 'Where durable things live; `memory` forgets everything at exit.'),
    log: section(
      {
        level: oneOf('info', LOG_LEVELS, 'Least severe level that is logged.'),
        format: oneOf('auto', ['auto', 'json', 'pretty'], '`auto` is pretty on a terminal and JSON elsewhere.'),
      },
      'Logging',
    ),
    amqp: section(
      {
        port: port(5672, 'AMQP 0-9-1.'),
        tlsPort: port(5671, 'AMQP 0-9-1 over TLS; opens once `tls.certificateFile` is given.'),
        frameMaxBytes: bytes(128 * KIB, 4096, 16 * MIB, 'Largest frame that is offered in `connection.tune`.'),
        channelMax: count(2047, 1, 65_535, 'Channels of one connection.'),
        heartbeatSeconds: count(60, 0, 65_535, 'Heartbeat that is offered in `connection.tune`; 0 offers none.'),
        consumersPerChannel: count(65_536, 1, 10_000_000, 'Consumers of one channel.'),
        transactionOperations: count(100_000, 1, 10_000_000, 'Publishes and acks that one uncommitted `tx` may hold.'),
        transactionBytes: bytes(
          64 * MIB,
          64 * KIB,
          4096 * MIB,
          'Bytes that uncommitted `tx` of one connection may hold.',
        ),
        certificateLogin: oneOf(
          'common_name',
          ['common_name', 'distinguished_name', 'off'],
          'What of a verified client certificate is the user that `EXTERNAL` logs in.',
        ),
      },
      'AMQP 0-9-1',
    ),
    mqtt: section(
      {
        port: port(1883, 'MQTT.'),
        tlsPort: port(8883, 'MQTT over TLS; opens once `tls.certificateFile` is given.'),
        vhost: text('/', 'Virtual host of a user name that names none (`vhost:user` does).'),
        anonymous: oneOf(
          'loopback',
          ['off', 'loopback', 'everywhere'],
          'From where a client without a user name is let in as `auth.defaultUser`: from nowhere, from this machine, from everywhere.',
        ),
        certificateLogin: oneOf(
          'off',
          ['common_name', 'distinguished_name', 'off'],
          'What of a verified client certificate is the user of a client that gives no user name.',
        ),
        exchange: text('amq.topic', 'Topic exchange that MQTT publishes to and subscribes on.'),
        packetBytes: bytes(16 * MIB, 1 * KIB, 268_435_455, 'Largest packet of a connected client.'),
        connectBytes: bytes(256 * KIB, 1 * KIB, 16 * MIB, 'Largest CONNECT packet: what a stranger can make us hold.'),
        propertyBytes: bytes(128 * KIB, 1 * KIB, 268_435_455, 'MQTT 5 properties of one packet.'),
        clientIdBytes: bytes(1024, 23, 65_535, 'Longest client id.'),
        topicBytes: bytes(4096, 64, 65_535, 'Longest topic name or filter.'),
        topicLevels: count(128, 1, 65_535, 'Levels of a topic name or filter.'),
        subscriptionsPerSession: count(10_000, 1, 10_000_000, 'Subscriptions of one session.'),
        receiveMaximum: count(256, 1, 65_535, 'QoS 1 and 2 messages that are out with one client at a time.'),
        publishMaximum: count(1024, 1, 65_535, 'QoS 1 and 2 publishes of an MQTT 5 client that may be unacknowledged.'),
        topicAliases: count(64, 0, 65_535, 'Topic aliases of one MQTT 5 connection, each way.'),
        sessionExpirySeconds: count(
          4_294_967_295,
          0,
          4_294_967_295,
          'Longest that a session outlives its connection; 4294967295: as long as its client says.',
        ),
        sessionMessages: count(
          1_000_000,
          1,
          1_000_000_000,
          'Messages that wait for one session (or shared subscription).',
        ),
        sessionBytes: bytes(1024 * MIB, 64 * KIB, 1024 * 1024 * MIB, 'Bytes of their bodies.'),
        sessionOverflow: oneOf(
          'drop-head',
          ['drop-head', 'refuse'],
          'What is too much: the oldest message goes, or the new one is refused (MQTT 5: reason code 0x97).',
        ),
        keepAliveSeconds: count(0, 0, 65_535, 'Longest keep-alive that an MQTT 5 client may have; 0: any.'),
        refusedPublish: oneOf(
          'close',
          ['close', 'drop'],
          'What a publish without permission does up to 3.1.1: it ends the connection, or is acknowledged and dropped.',
        ),
        overflowedPublish: oneOf(
          'close',
          ['close', 'drop'],
          'What a publish that a full queue refuses does up to 3.1.1: it ends the connection, or is acknowledged and dropped.',
        ),
        sysIntervalSeconds: count(
          10,
          0,
          86_400,
          'How often the topics below `$SYS` are brought up to date; 0: there are none.',
        ),
        serverReference: file('Where MQTT 5 clients are sent when the broker stops (`host:port`).'),
        unreleased: count(10_000, 1, 65_535, 'QoS 2 publishes of one client that wait for their PUBREL.'),
        retainedMessages: count(1_000_000, 0, 100_000_000, 'Retained messages of one virtual host.'),
        retainedBytes: bytes(256 * MIB, 0, 64 * 1024 * MIB, 'Bytes of their topics and bodies.'),
      },
      'MQTT',
    ),
    stomp: section(
      {
        port: port(61_613, 'STOMP over TCP.'),
        tlsPort: port(61_614, 'STOMP over TLS; opens once `tls.certificateFile` is given.'),
        anonymous: flag(false, 'Whether a client without login is let in as `auth.defaultUser`.'),
        maxHeaders: count(256, 8, 65_535, 'Header lines of one frame.'),
        maxHeaderBytes: bytes(64 * KIB, 1 * KIB, 16 * MIB, 'Command and header lines of one frame.'),
        maxSubscriptions: count(4096, 1, 10_000_000, 'Subscriptions of one connection.'),
        maxTransactions: count(64, 1, 65_535, 'Open transactions of one connection.'),
        maxTransactionOperations: count(100_000, 1, 10_000_000, 'Operations that they hold.'),
        maxTransactionBytes: bytes(64 * MIB, 64 * KIB, 4096 * MIB, 'Bytes that they hold.'),
        minHeartBeatMs: count(1000, 10, 600_000, 'Shortest heart-beat that the broker promises and asks for.'),
      },
      'STOMP',
    ),
    ws: section(
      {
        port: port(15_674, 'WebSocket: `/stomp` (and `/ws`), `/mqtt`, `/amqp`.'),
        tlsPort: port(15_673, 'WebSocket over TLS; opens once `tls.certificateFile` is given.'),
        origins: names(
          ['same'],
          'Origins whose pages may connect; `same`: those of the broker itself, and in browsers on its own machine those of `localhost`; `*`: all.',
        ),
        basicAuth: flag(
          false,
          "Whether HTTP Basic credentials of the upgrade log a STOMP client in, in place of CONNECT's.",
        ),
        compression: flag(false, 'Whether messages are compressed where the client offers it (permessage-deflate).'),
        inflatedBytes: bytes(4 * MIB, 64 * KIB, 512 * MIB, 'What one compressed message may inflate to.'),
        authCookie: file('Name of a cookie of the upgrade that does the same; it holds base64 of `user:password`.'),
      },
      'WebSocket',
    ),
    http: section(
      {
        port: port(15_672, 'Management API under `/api`, `/metrics`, `/health/*`.'),
        tlsPort: port(15_671, 'The same over TLS; opens once `tls.certificateFile` is given.'),
        pageSizeMax: count(500, 1, 10_000, 'Items of one page of a list.'),
        metricsAuthenticated: flag(false, 'Whether `/metrics` asks for a user with a monitoring tag.'),
      },
      'HTTP',
    ),
    tls: section(
      {
        certificateFile: file('Certificate chain in PEM. With it the TLS listeners open.'),
        keyFile: file('Private key of the certificate in PEM.'),
        caFile: file('Authorities in PEM that client certificates are checked against.'),
        requireClientCertificate: flag(false, 'Mutual TLS: whether clients must show a certificate of `tls.caFile`.'),
      },
      'TLS',
    ),
    auth: section(
      {
        defaultUser: text('guest', 'Administrator that is made at first start, when there are no users.'),
        defaultPassword: secret('guest', 'Password of that user.'),
        loopbackUsers: names(['guest'], 'Users that may connect from this machine only.'),
      },
      'Users',
    ),
    limits: section(
      {
        connections: count(65_536, 1, 10_000_000, 'Client connections of each listener.'),
        unauthenticatedMs: count(10_000, 100, 600_000, 'Time in which a new connection must have logged in.'),
        slowReaderTimeoutMs: count(
          60_000,
          0,
          86_400_000,
          'A reader that takes nothing for so long is closed; 0: never.',
        ),
        lingerMs: count(3000, 100, 60_000, 'Time that a closing connection has to take its last bytes.'),
        messageBytes: bytes(128 * MIB, 1 * KIB, 512 * MIB, 'Largest message body.'),
        unackedPerChannel: count(
          65_536,
          1,
          10_000_000,
          'Deliveries without prefetch that may be out on one channel before delivery pauses.',
        ),
        outboxHighBytes: bytes(
          1 * MIB,
          64 * KIB,
          256 * MIB,
          'Unsent bytes of a connection at which delivery pauses; it is not read either when answers add as many.',
        ),
        outboxLowBytes: bytes(256 * KIB, 1 * KIB, 256 * MIB, 'Unsent bytes at which it goes on.'),
        queueWindowEntries: count(32_768, 64, 10_000_000, 'Messages that one queue keeps in memory at its head.'),
        queueWindowBytes: bytes(4 * MIB, 64 * KIB, 1024 * MIB, 'Their bytes; the rest of a backlog is on disk.'),
        memoryHighBytes: bytes(
          256 * MIB,
          8 * MIB,
          1024 * 1024 * MIB,
          'Bytes of messages at which publishers are held.',
        ),
        memoryLowBytes: bytes(192 * MIB, 1 * MIB, 1024 * 1024 * MIB, 'Bytes of messages at which they go on.'),
        uncommittedHighBytes: bytes(2 * MIB, 1 * MIB, 4096 * MIB, 'Bytes before commit at which publishers are held.'),
        uncommittedLowBytes: bytes(1 * MIB, 64 * KIB, 4096 * MIB, 'Bytes before commit at which they go on.'),
        queuesPerVhost: count(200_000, 1, 100_000_000, 'Queues of one virtual host.'),
        exchangesPerVhost: count(100_000, 1, 100_000_000, 'Exchanges of one virtual host.'),
        bindingsPerVhost: count(2_000_000, 1, 1_000_000_000, 'Bindings of one virtual host.'),
        passwordHashes: count(2, 1, 16, 'Passwords that are hashed at the same time (16 MiB and a thread each).'),
        passwordCost: count(14, 10, 17, 'Cost of a new password hash; each step doubles its time and memory.'),
        passwordQueue: count(4096, 1, 1_000_000, 'Logins that wait for a hash before more are refused.'),
      },
      'Limits',
    ),
  },
  { additionalProperties: false },
);

/** The configuration with every key present. */
export type Config = Static<typeof ConfigSchema>;

/** What callers may give: any part of it. */
export type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]?: DeepPartial<T[K]> }
    : T;
export type PartialConfig = DeepPartial<Config>;
