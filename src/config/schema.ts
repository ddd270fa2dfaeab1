// The configuration: one TypeBox schema that gives the type, default, bounds and description of every key. The
// loader, the flags, `trivium help` and the table in README.md are all derived from it. Sections hold keys, keys hold
// leaves: at most two levels, so that `amqp.port`, `--amqp-port` and `TRIVIUM_AMQP_PORT` name the same key.

import { type Static, Type } from 'typebox';

const KIB = 1024;
const MIB = 1024 * KIB;

/** A TCP port; 0 takes any free one; `off` (false) opens no listener. */
const port = (standard: number | false, description: string) =>
  Type.Union([Type.Integer({ minimum: 0, maximum: 65_535 }), Type.Literal(false)], { default: standard, description });

const count = (standard: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: standard, minimum, maximum, description });

/** A number of bytes; text and YAML accept sizes such as `64MiB`. */
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
      'One additional port for AMQP, MQTT, STOMP, WebSocket and HTTP, and for each over TLS if `tls.certificateFile` is given.',
    ),
    identity: oneOf(
      'rabbitmq',
      ['rabbitmq', 'trivium'],
      "Name that clients are told: RabbitMQ's and the version whose behaviour the broker has, because client libraries decide by it, or the broker's own.",
    ),
    dataDir: text('./data', 'Directory of the store. Only one broker at a time can use it.'),
    store: oneOf('lmdb', ['lmdb', 'memory'], 'Where durable state is stored; `memory` loses it at exit.'),
    log: section(
      {
        level: oneOf('info', LOG_LEVELS, 'Lowest level that is logged.'),
        format: oneOf('auto', ['auto', 'json', 'pretty'], '`auto` is pretty on a terminal and JSON elsewhere.'),
      },
      'Logging',
    ),
    amqp: section(
      {
        port: port(5672, 'AMQP 0-9-1.'),
        tlsPort: port(5671, 'AMQP 0-9-1 over TLS; opens if `tls.certificateFile` is given.'),
        frameMaxBytes: bytes(128 * KIB, 4096, 16 * MIB, 'Maximum frame size that `connection.tune` offers.'),
        channelMax: count(2047, 1, 65_535, 'Maximum channels of one connection.'),
        heartbeatSeconds: count(60, 0, 65_535, 'Heartbeat interval that `connection.tune` offers; 0 offers none.'),
        consumersPerChannel: count(65_536, 1, 10_000_000, 'Maximum consumers of one channel.'),
        transactionOperations: count(
          100_000,
          1,
          10_000_000,
          'Maximum publishes and acknowledgements in one uncommitted transaction.',
        ),
        transactionBytes: bytes(
          64 * MIB,
          64 * KIB,
          4096 * MIB,
          'Maximum bytes in the uncommitted transactions of one connection.',
        ),
        unfinishedBytes: bytes(
          128 * MIB,
          1 * MIB,
          64 * 1024 * MIB,
          'Maximum bytes of bodies on one connection that have begun and not ended; at least `limits.messageBytes`.',
        ),
        certificateLogin: oneOf(
          'common_name',
          ['common_name', 'distinguished_name', 'off'],
          'Field of a verified client certificate that names the user for `EXTERNAL` login.',
        ),
      },
      'AMQP 0-9-1',
    ),
    mqtt: section(
      {
        port: port(1883, 'MQTT.'),
        tlsPort: port(8883, 'MQTT over TLS; opens if `tls.certificateFile` is given.'),
        vhost: text('/', 'Virtual host of clients whose user name does not contain one (as `vhost:user` does).'),
        ignoreColonsInUsername: flag(
          false,
          'Whether a colon in a user name is a part of it, and does not separate a virtual host.',
        ),
        anonymous: oneOf(
          'loopback',
          ['off', 'loopback', 'everywhere'],
          'From which addresses a client without a user name is logged in as `auth.anonymousUser`: none, loopback only, all. `everywhere` also accepts user names that the broker does not know, with any password.',
        ),
        certificateLogin: oneOf(
          'off',
          ['common_name', 'distinguished_name', 'off'],
          'Field of a verified client certificate that names the user of a client without a user name.',
        ),
        exchange: text('amq.topic', 'Topic exchange that MQTT publishes to and subscribes on.'),
        packetBytes: bytes(16 * MIB, 1 * KIB, 268_435_455, 'Maximum size of a packet from a connected client.'),
        connectBytes: bytes(
          256 * KIB,
          1 * KIB,
          16 * MIB,
          'Maximum size of a CONNECT packet, which bounds the memory of an unauthenticated connection.',
        ),
        propertyBytes: bytes(128 * KIB, 1 * KIB, 268_435_455, 'Maximum size of the MQTT 5 properties of one packet.'),
        clientIdBytes: bytes(1024, 23, 65_535, 'Maximum length of a client id.'),
        topicBytes: bytes(4096, 64, 65_535, 'Maximum length of a topic name or filter.'),
        topicLevels: count(128, 1, 65_535, 'Maximum levels of a topic name or filter.'),
        subscriptionsPerSession: count(10_000, 1, 10_000_000, 'Maximum subscriptions of one session.'),
        receiveMaximum: count(256, 1, 65_535, 'Maximum QoS 1 and 2 deliveries in flight to one client.'),
        publishMaximum: count(1024, 1, 65_535, 'Maximum unacknowledged QoS 1 and 2 publishes of an MQTT 5 client.'),
        topicAliases: count(64, 0, 65_535, 'Maximum topic aliases of one MQTT 5 connection, in each direction.'),
        sessionExpirySeconds: count(
          4_294_967_295,
          0,
          4_294_967_295,
          'Maximum session expiry interval; 4294967295: as long as the client requests.',
        ),
        sessionMessages: count(
          1_000_000,
          1,
          1_000_000_000,
          'Maximum queued messages of one session (or shared subscription).',
        ),
        sessionBytes: bytes(1024 * MIB, 64 * KIB, 1024 * 1024 * MIB, 'Maximum bytes of their bodies.'),
        sessionOverflow: oneOf(
          'drop-head',
          ['drop-head', 'refuse'],
          'What happens at these limits: the oldest message is dropped, or the new one is refused (MQTT 5: reason code 0x97).',
        ),
        keepAliveSeconds: count(0, 0, 65_535, 'Maximum keep-alive of an MQTT 5 client; 0: no maximum.'),
        refusedPublish: oneOf(
          'close',
          ['close', 'drop'],
          'Effect of a publish without permission in 3.1 and 3.1.1: the connection is closed, or the publish is acknowledged and dropped.',
        ),
        overflowedPublish: oneOf(
          'close',
          ['close', 'drop'],
          'Effect of a publish that a full queue refuses in 3.1 and 3.1.1: the connection is closed, or the publish is acknowledged and dropped.',
        ),
        sysIntervalSeconds: count(
          10,
          0,
          86_400,
          'Interval at which the topics below `$SYS` are updated; 0: no such topics.',
        ),
        serverReference: file('Server (`host:port`) to which MQTT 5 clients are referred when the broker stops.'),
        unreleased: count(10_000, 1, 65_535, 'Maximum QoS 2 publishes of one client that wait for PUBREL.'),
        waitingWillBytes: bytes(
          64 * MIB,
          0,
          64 * 1024 * MIB,
          'Maximum memory of wills whose clients are away; beyond it a will is published without its delay.',
        ),
        retainedMessages: count(1_000_000, 0, 100_000_000, 'Maximum retained messages of one virtual host.'),
        retainedBytes: bytes(256 * MIB, 0, 64 * 1024 * MIB, 'Maximum bytes of their topics and bodies.'),
      },
      'MQTT',
    ),
    stomp: section(
      {
        port: port(61_613, 'STOMP over TCP.'),
        tlsPort: port(61_614, 'STOMP over TLS; opens if `tls.certificateFile` is given.'),
        anonymous: oneOf(
          'loopback',
          ['off', 'loopback', 'everywhere'],
          'From which addresses a client without login and passcode is logged in as `auth.anonymousUser`.',
        ),
        maxHeaders: count(256, 8, 65_535, 'Maximum header lines of one frame.'),
        maxHeaderBytes: bytes(
          64 * KIB,
          1 * KIB,
          16 * MIB,
          'Maximum bytes of the command and header lines of one frame.',
        ),
        maxSubscriptions: count(4096, 1, 10_000_000, 'Maximum subscriptions of one connection.'),
        maxTransactions: count(64, 1, 65_535, 'Maximum open transactions of one connection.'),
        maxTransactionOperations: count(100_000, 1, 10_000_000, 'Maximum operations in these transactions.'),
        maxTransactionBytes: bytes(64 * MIB, 64 * KIB, 4096 * MIB, 'Maximum bytes in these transactions.'),
        minHeartBeatMs: count(1000, 10, 600_000, 'Minimum heart-beat interval that the broker offers and requests.'),
      },
      'STOMP',
    ),
    ws: section(
      {
        port: port(15_674, 'WebSocket: `/stomp` (and `/ws`), `/mqtt`, `/amqp`.'),
        tlsPort: port(15_673, 'WebSocket over TLS; opens if `tls.certificateFile` is given.'),
        origins: names(
          ['same'],
          "Origins whose pages may connect; `same`: the broker's own origin, and `localhost` for browsers on its machine; `*`: all.",
        ),
        basicAuth: flag(
          false,
          'Whether HTTP Basic credentials of the upgrade request log a STOMP client in, instead of those in CONNECT.',
        ),
        compression: flag(false, 'Whether messages are compressed if the client offers permessage-deflate.'),
        inflatedBytes: bytes(4 * MIB, 64 * KIB, 512 * MIB, 'Maximum inflated size of one compressed message.'),
        authCookie: file(
          'Name of a cookie of the upgrade request that logs a STOMP client in; its value is base64 of `user:password`.',
        ),
      },
      'WebSocket',
    ),
    http: section(
      {
        port: port(15_672, 'Management API under `/api`, `/metrics`, `/health/*`.'),
        tlsPort: port(15_671, 'The same over TLS; opens if `tls.certificateFile` is given.'),
        pageSizeMax: count(500, 1, 10_000, 'Maximum items on one page of a list.'),
        connections: count(
          1024,
          1,
          1_000_000,
          'Maximum connections; at the limit the one that was quiet the longest is closed for a new one.',
        ),
        hosts: names(
          [],
          'Names by which the HTTP port may be called, beside addresses, the host name, names of one label and names below `localhost`, `local`, `internal`, `svc` and `home.arpa`; `*`: all.',
        ),
        metricsAuthenticated: flag(false, 'Whether `/metrics` requires a user with a monitoring tag.'),
      },
      'HTTP',
    ),
    tls: section(
      {
        certificateFile: file('Certificate chain in PEM. If given, the TLS listeners open.'),
        keyFile: file('Private key of the certificate in PEM.'),
        caFile: file('Certificate authorities in PEM that verify client certificates.'),
        requireClientCertificate: flag(
          false,
          'Mutual TLS: whether clients must present a certificate issued by an authority in `tls.caFile`.',
        ),
      },
      'TLS',
    ),
    auth: section(
      {
        defaultUser: text('guest', 'Administrator that the first start creates if there are no users.'),
        defaultPassword: secret('guest', 'Password of that user.'),
        anonymousUser: text(
          'anonymous',
          'User of clients without a user name. The first start creates it, with rights to MQTT sessions, STOMP subscriptions to topics and `amq.topic` only.',
        ),
        loopbackUsers: names(['guest'], 'Users that may connect only from this machine.'),
      },
      'Users',
    ),
    limits: section(
      {
        connections: count(65_536, 1, 10_000_000, 'Maximum client connections of each listener.'),
        connectionsPerAddress: count(16_384, 1, 10_000_000, 'Maximum client connections from one address.'),
        unauthenticatedPerAddress: count(
          8192,
          1,
          10_000_000,
          'Maximum connections of one address that have not logged in; one more takes the place of the oldest.',
        ),
        unauthenticatedMs: count(10_000, 100, 600_000, 'Time in which a new connection must log in.'),
        slowReaderTimeoutMs: count(
          60_000,
          0,
          86_400_000,
          'Time after which a connection is closed if its peer reads nothing; 0: never.',
        ),
        lingerMs: count(3000, 100, 60_000, 'Time that the peer of a closing connection has to read the last bytes.'),
        messageBytes: bytes(128 * MIB, 1 * KIB, 512 * MIB, 'Maximum size of a message body.'),
        unackedPerChannel: count(
          65_536,
          1,
          10_000_000,
          'Unacknowledged deliveries without prefetch on one channel at which delivery pauses.',
        ),
        connectionBytes: bytes(
          256 * MIB,
          1 * MIB,
          1024 * 1024 * MIB,
          'Maximum memory of one connection: unfinished messages, open transactions, unsent output, consumers.',
        ),
        userBytes: bytes(
          512 * MIB,
          1 * MIB,
          1024 * 1024 * MIB,
          'Maximum memory of all connections of one user; those that hold the most are closed.',
        ),
        unauthenticatedBytes: bytes(
          64 * MIB,
          1 * MIB,
          1024 * 1024 * MIB,
          'Maximum memory of all connections that have not logged in; those that hold the most are closed.',
        ),
        clientBytes: bytes(
          1024 * MIB,
          1 * MIB,
          1024 * 1024 * MIB,
          'Maximum memory of all client connections; those that hold the most are closed.',
        ),
        outboxHighBytes: bytes(
          1 * MIB,
          64 * KIB,
          256 * MIB,
          'Unsent bytes of a connection at which delivery pauses. If answers add as many again, the connection is not read.',
        ),
        outboxLowBytes: bytes(256 * KIB, 1 * KIB, 256 * MIB, 'Unsent bytes at which delivery resumes.'),
        queueWindowEntries: count(
          32_768,
          64,
          10_000_000,
          'Maximum messages that one queue keeps in memory at its head.',
        ),
        queueWindowBytes: bytes(
          4 * MIB,
          64 * KIB,
          1024 * MIB,
          'Maximum bytes of these messages; the rest of a backlog is on disk.',
        ),
        memoryHighBytes: bytes(
          256 * MIB,
          8 * MIB,
          1024 * 1024 * MIB,
          'Bytes of messages in memory at which publishers are blocked.',
        ),
        memoryLowBytes: bytes(
          192 * MIB,
          1 * MIB,
          1024 * 1024 * MIB,
          'Bytes of messages in memory at which publishers are unblocked.',
        ),
        processHighBytes: bytes(
          0,
          0,
          1024 * 1024 * MIB,
          'Memory of the process (heap and buffers) at which publishers are blocked and nothing new is defined, as at three quarters of the heap; 0: 60 % of the memory of the machine or container.',
        ),
        uncommittedHighBytes: bytes(2 * MIB, 1 * MIB, 4096 * MIB, 'Uncommitted bytes at which publishers are blocked.'),
        uncommittedLowBytes: bytes(
          1 * MIB,
          64 * KIB,
          4096 * MIB,
          'Uncommitted bytes at which publishers are unblocked.',
        ),
        queuesPerVhost: count(200_000, 1, 100_000_000, 'Maximum queues of one virtual host.'),
        exchangesPerVhost: count(100_000, 1, 100_000_000, 'Maximum exchanges of one virtual host.'),
        bindingsPerVhost: count(2_000_000, 1, 1_000_000_000, 'Maximum bindings of one virtual host.'),
        definitionBytesPerVhost: bytes(
          1024 * MIB,
          1 * MIB,
          1024 * 1024 * MIB,
          'Maximum memory of the queues, exchanges and bindings of one virtual host.',
        ),
        deadLetterCopies: count(
          256,
          1,
          1_000_000,
          'Maximum copies that the deaths of one message make of it; a first death may make more.',
        ),
        deadLetterDepth: count(
          32,
          1,
          10_000,
          'Maximum elements of `x-death`: a message that has died in so many queues or ways is dropped at its next death.',
        ),
        slowWorkMs: count(
          50,
          1,
          60_000,
          'Time of one piece of work above which it is counted and logged, because nobody else is served meanwhile.',
        ),
        passwordHashes: count(2, 1, 16, 'Maximum passwords hashed at the same time (16 MiB and a thread each).'),
        passwordCost: count(14, 10, 17, 'Cost of a new password hash; each step doubles its time and memory.'),
        passwordQueue: count(4096, 1, 1_000_000, 'Maximum logins that wait for a hash; more are refused.'),
        passwordQueuePerAddress: count(1024, 1, 1_000_000, 'Maximum of these from one address.'),
      },
      'Limits',
    ),
  },
  { additionalProperties: false },
);

/** The configuration with every key present. */
export type Config = Static<typeof ConfigSchema>;

/** The configuration that callers pass: any part of it. */
export type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]?: DeepPartial<T[K]> }
    : T;
export type PartialConfig = DeepPartial<Config>;
