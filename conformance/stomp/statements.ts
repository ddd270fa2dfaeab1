// The normative statements of STOMP 1.0, 1.1 and 1.2, paraphrased, by section of the specification, with the versions
// that have them; then the requirements of RFC 6455 for a server (websocket.…) and RabbitMQ's documented extensions
// (rabbitmq.…). 1.0 does not use the keyword MUST: its descriptions of a server are binding. coverage.ts names the
// checks that show each.

import { BINDS, type Binds, type Statement } from '../coverage.ts';
import { VERSIONS, type Version } from './wire/frames.ts';

const { must, should, may, extension } = BINDS;

const ALL = VERSIONS;
const V10: readonly Version[] = ['1.0'];
const V11: readonly Version[] = ['1.1'];
const V12: readonly Version[] = ['1.2'];
const SINCE_11: readonly Version[] = ['1.1', '1.2'];
const UNTIL_11: readonly Version[] = ['1.0', '1.1'];

/** A statement of each of these versions. */
export interface VersionedStatement {
  readonly id: string;
  readonly versions: readonly Version[];
  readonly binds: Binds;
  readonly words: string;
}

const LIST: readonly (readonly [string, readonly Version[], Binds, string])[] = [
  ['frames.structure', ALL, must, 'a frame is a command, headers, an empty line, a body and NUL'],
  ['frames.no-headers', ALL, must, 'a frame may have no headers'],
  ['frames.eol-lf', ALL, must, 'a line ends in LF'],
  ['frames.eol-crlf', V12, must, 'a line may end in CR LF'],
  ['frames.cr', UNTIL_11, must, 'a CR is no part of the end of a line'],
  ['frames.cr-within', V12, must, 'names and values of headers contain no CR'],
  ['frames.eols', ALL, must, 'NUL may be followed by ends of line'],
  ['frames.case', ALL, must, 'commands and header names are case sensitive'],
  ['frames.commands', ALL, must, 'there is a closed list of commands for clients and one for servers'],
  ['frames.unknown', SINCE_11, may, 'a server answers to a command it does not know with ERROR'],
  ['frames.header', ALL, must, 'a header is a name of at least one octet, a colon and a value'],
  ['frames.header.empty-value', SINCE_11, must, 'a value may be empty'],
  ['frames.header.colon', V10, must, 'a value may contain colons'],
  ['frames.stream', ALL, must, 'frames go over a stream: where it is cut means nothing'],

  ['encoding.utf8', SINCE_11, must, 'commands and headers are UTF-8'],
  ['encoding.ascii', V10, must, 'headers are ASCII'],
  ['encoding.decode', SINCE_11, must, '\\n, \\c and \\\\ in headers are translated'],
  ['encoding.decode.r', V12, must, '\\r in headers is translated'],
  ['encoding.encode', SINCE_11, must, 'the reverse is done when headers are written'],
  ['encoding.undefined', SINCE_11, must, 'an undefined escape is a fatal error'],
  ['encoding.undefined.r', V11, must, '\\r is undefined'],
  ['encoding.connect', SINCE_11, must, 'CONNECT and CONNECTED are not escaped'],
  ['encoding.none', V10, must, 'nothing is escaped'],
  ['encoding.trim', SINCE_11, must, 'headers are never trimmed or padded'],

  ['body.allowed', SINCE_11, must, 'only SEND, MESSAGE and ERROR have a body'],
  ['body.subscribe', V10, must, 'the body of SUBSCRIBE is ignored'],
  ['content-length.read', ALL, must, 'content-length octets are read, whatever NULs are among them'],
  ['content-length.nul', ALL, must, 'the frame ends in NUL behind them'],
  ['content-length.none', ALL, must, 'without content-length the first NUL ends the body'],
  ['content-length.any-frame', SINCE_11, may, 'any frame has a content-length'],
  ['content-length.present', ALL, should, 'MESSAGE and ERROR with a body have a content-length'],
  ['content-length.nul-present', ALL, must, 'a frame whose body has NULs has a content-length'],
  ['content-type.present', SINCE_11, should, 'MESSAGE and ERROR with a body have a content-type'],
  ['content-type.mime', V12, must, 'a content-type is a MIME type'],
  ['content-type.absent', SINCE_11, should, 'a body without content-type is a blob'],
  ['content-type.charset', SINCE_11, should, 'an encoding other than UTF-8 is said'],
  ['content-type.utf8', SINCE_11, must, 'servers support UTF-8'],
  ['receipt.any', ALL, must, 'any frame of a client but CONNECT may ask for a receipt'],
  ['receipt.connect', ALL, may, 'CONNECT does not ask for a receipt'],
  ['repeated', SINCE_11, should, 'of repeated headers the first is used'],
  ['limits', SINCE_11, should, 'who exceeds a limit gets an ERROR and is disconnected'],
  ['lingering', SINCE_11, must, 'servers support clients that connect and disconnect rapidly'],

  ['connect.connected', ALL, must, 'a connection that is accepted is answered with CONNECTED'],
  ['connect.rejected', SINCE_11, should, 'a connection that is rejected is answered with ERROR, and the end'],
  ['connect.rejected.silent', V10, must, 'who is not let in is not connected'],
  ['connect.first', ALL, must, 'the first frame is CONNECT'],
  ['connect.stomp', V11, should, 'STOMP is handled as CONNECT is'],
  ['connect.stomp.must', V12, must, 'STOMP is handled as CONNECT is'],
  ['connect.client-headers', SINCE_11, must, 'clients send accept-version and host'],
  ['connect.host', SINCE_11, may, 'an unknown virtual host is rejected, or the default one is taken'],
  ['connected.version', SINCE_11, must, 'CONNECTED has a version'],
  ['connected.session', V10, must, 'CONNECTED has a session'],
  ['connected.session.unique', ALL, must, 'a session identifies the session'],
  ['connected.server', SINCE_11, must, 'server is a name, perhaps a version, perhaps comments'],
  ['negotiation.absent', SINCE_11, must, 'a client without accept-version speaks 1.0'],
  ['negotiation.highest', SINCE_11, must, 'the highest version that both know is used for the rest of the session'],
  ['negotiation.mismatch', V11, should, 'where there is none the answer is ERROR with the versions that there are'],
  ['negotiation.mismatch.must', V12, must, 'where there is none the answer is ERROR with the versions that there are'],

  ['heart-beat.header', SINCE_11, must, 'heart-beat is two numbers'],
  ['heart-beat.absent', SINCE_11, must, 'no heart-beat header is 0,0'],
  ['heart-beat.client', SINCE_11, must, 'clients beat as was agreed on, and any data is a beat'],
  ['heart-beat.server', SINCE_11, must, 'servers beat as was agreed on'],
  ['heart-beat.eol', SINCE_11, must, 'who has nothing to send sends an end of line'],
  ['heart-beat.dead', SINCE_11, may, 'who is not heard of is taken for dead'],
  ['heart-beat.margin', SINCE_11, should, 'receivers are tolerant'],

  ['send.destination', ALL, must, 'SEND requires a destination'],
  ['send.delivered', ALL, must, 'SEND sends a message to a destination'],
  ['send.transaction', ALL, must, 'SEND may be part of a transaction'],
  ['send.headers', SINCE_11, must, 'headers of the user are passed through in MESSAGE'],
  ['send.refused', SINCE_11, must, 'a SEND that cannot be processed is answered with ERROR, and the end'],
  ['subscribe.destination', ALL, must, 'SUBSCRIBE requires a destination, whose messages come from then on'],
  ['subscribe.refused', SINCE_11, must, 'a subscription that cannot be created is answered with ERROR, and the end'],
  ['subscribe.id', SINCE_11, must, 'SUBSCRIBE requires an id'],
  ['subscribe.id.optional', V10, must, 'SUBSCRIBE may have an id, and its MESSAGEs then name it'],
  ['subscribe.id.unique', SINCE_11, must, 'different subscriptions of a connection have different ids'],
  ['subscribe.selector', UNTIL_11, may, 'servers support a selector'],
  ['subscribe.ack', ALL, must, 'ack is auto, client or (since 1.1) client-individual, and auto where it is absent'],
  ['subscribe.ack.auto', ALL, must, 'with auto a message is consumed when it is sent'],
  ['subscribe.ack.client', ALL, must, 'with client a message that is not acknowledged is not consumed'],
  [
    'subscribe.ack.cumulative',
    SINCE_11,
    must,
    'with client an ACK is for all messages of the subscription up to its own',
  ],
  ['subscribe.ack.individual', SINCE_11, must, 'with client-individual an ACK is for its own message'],
  ['unsubscribe', ALL, must, 'after UNSUBSCRIBE no messages come from the subscription'],
  ['unsubscribe.id', SINCE_11, must, 'UNSUBSCRIBE requires the id of a subscription that there is'],
  ['unsubscribe.id-or-destination', V10, must, 'UNSUBSCRIBE requires an id or a destination'],
  ['ack.consumed', ALL, must, 'ACK acknowledges a message, by its message-id or (in 1.2) its ack header'],
  ['ack.id', ALL, must, 'ACK requires the id of a message'],
  ['ack.subscription', V11, must, 'ACK requires the id of the subscription'],
  ['ack.transaction', ALL, should, 'ACK may be part of a transaction'],
  ['nack', SINCE_11, must, 'NACK tells that a message was not consumed; what becomes of it is the server’s affair'],
  ['nack.scope', SINCE_11, must, 'NACK is for one message, or with client for all up to it'],
  ['begin.transaction', ALL, must, 'BEGIN requires a transaction'],
  ['begin.atomic', ALL, must, 'sends and acknowledgements of a transaction are processed atomically'],
  ['begin.unique', SINCE_11, must, 'different transactions of a connection have different names'],
  ['begin.aborted', SINCE_11, must, 'DISCONNECT or the loss of the connection aborts transactions'],
  ['commit', ALL, must, 'COMMIT requires a transaction, and commits it'],
  ['abort', ALL, must, 'ABORT requires a transaction, and rolls it back'],
  ['disconnect', ALL, must, 'DISCONNECT ends the session gracefully'],
  ['disconnect.receipt', SINCE_11, should, 'the receipt of DISCONNECT says that all was received'],
  ['disconnect.last', SINCE_11, must, 'clients send nothing behind DISCONNECT'],

  ['message.destination', ALL, must, 'MESSAGE has a destination'],
  ['message.destination.same', V12, should, 'it is the one of the SEND'],
  ['message.id', ALL, must, 'MESSAGE has a unique message-id'],
  ['message.subscription', SINCE_11, must, 'MESSAGE has the id of its subscription'],
  ['message.ack', V12, must, 'MESSAGE that has to be acknowledged has an ack header'],
  ['message.body', ALL, must, 'the body is that of the message'],
  ['receipt.processed', ALL, must, 'RECEIPT says that a frame was processed, with its receipt and no body'],
  ['receipt.cumulative', V12, must, 'RECEIPT says that all frames before it were received'],
  ['receipt.continue', V12, should, 'what was received is processed though its client disconnects'],
  ['error.message', ALL, should, 'ERROR has a message header'],
  ['error.body', ALL, may, 'ERROR has a body'],
  ['error.closes', V12, must, 'the connection ends just behind ERROR'],
  ['error.related', SINCE_11, should, 'ERROR identifies the frame that it is about, by its receipt-id'],

  ['websocket.accept', V12, must, 'the handshake is answered with the digest of the key'],
  ['websocket.request', V12, must, 'a handshake that is none, or of another version, is refused'],
  ['websocket.subprotocol', V12, must, 'only a subprotocol that was offered is chosen'],
  ['websocket.masks', V12, must, 'frames of clients without mask are refused'],
  ['websocket.reserved', V12, must, 'reserved bits and opcodes are refused'],
  ['websocket.length', V12, must, 'lengths have 7, 16 or 64 bits'],
  ['websocket.fragments', V12, must, 'messages come in fragments, with control frames between them'],
  ['websocket.control', V12, must, 'control frames are short and in one piece'],
  ['websocket.ping', V12, must, 'ping is answered with pong, and pong is not answered'],
  ['websocket.close', V12, must, 'Close is answered with Close, and comes before the end'],
  ['websocket.utf8', V12, must, 'text is UTF-8'],

  ['rabbitmq.web-stomp.subprotocol', ALL, extension, 'STOMP’s subprotocols are accepted, and none'],
  ['rabbitmq.web-stomp.kinds', ALL, extension, 'frames are text or binary messages'],
  ['rabbitmq.web-stomp.stream', V12, extension, 'messages are a stream of octets for STOMP'],
  ['rabbitmq.queue', ALL, extension, '/queue/NAME is a queue that is shared and keeps messages'],
  ['rabbitmq.queue.names', V12, extension, 'a slash within a name is %2F'],
  ['rabbitmq.topic', ALL, extension, '/topic/KEY is amq.topic, with its patterns, and keeps nothing'],
  ['rabbitmq.topic.patterns', V12, extension, '* is a word and # any of them'],
  ['rabbitmq.exchange', ALL, extension, '/exchange/NAME/KEY is any exchange'],
  ['rabbitmq.exchange.refused', V12, extension, 'an exchange is there and has a name'],
  ['rabbitmq.amq-queue', ALL, extension, '/amq/queue/NAME is a queue that is there'],
  ['rabbitmq.temp-queue', ALL, extension, '/temp-queue/NAME in reply-to is a queue of the connection'],
  ['rabbitmq.temp-queue.only-reply-to', V12, extension, 'it stands in reply-to only'],
  [
    'rabbitmq.durable',
    ALL,
    extension,
    'durable subscriptions keep messages while no subscriber is connected, and need an id',
  ],
  ['rabbitmq.durable.end', V12, extension, 'they end with an UNSUBSCRIBE that says durable'],
  ['rabbitmq.queue-name', V12, extension, 'x-queue-name names the queue of a subscription'],
  ['rabbitmq.prefetch', SINCE_11, extension, 'prefetch-count bounds what is out'],
  ['rabbitmq.nack', SINCE_11, extension, 'NACK requeues, or with requeue:false drops or dead-letters'],
  ['rabbitmq.redelivered', V12, extension, 'what comes again is marked'],
  ['rabbitmq.properties', V12, extension, 'headers that are AMQP properties are those of the message'],
  ['rabbitmq.properties.checked', V12, extension, 'user-id, priority and expiration are validated'],
  ['rabbitmq.expiration', V12, extension, 'an expiration is heeded'],
  ['rabbitmq.persistent', V12, extension, 'persistent messages survive, and a receipt says that they will'],
  ['rabbitmq.arguments', V12, extension, 'durable, auto-delete, exclusive and x- headers are those of the queue'],
  ['rabbitmq.cancel', V12, extension, 'a subscription whose queue is gone ends in ERROR'],
  ['rabbitmq.permissions', V12, extension, 'configure, write and read are checked by name'],
  ['rabbitmq.order', ALL, extension, 'messages of one sender come in their order'],
];

export const RULES: readonly VersionedStatement[] = LIST.map(([id, versions, binds, words]) => {
  return { id, versions, binds, words };
});

/** The id of a statement in one version. */
export function statementId(version: Version, id: string): string {
  return `v${version.replace('.', '')}.${id}`;
}

export const STATEMENTS: readonly Statement[] = RULES.flatMap(({ id, versions, binds, words }) =>
  versions.map((version) => ({ id: statementId(version, id), binds, words })),
);
