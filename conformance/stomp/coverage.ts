// For each statement of statements.ts the checks that show it, in every version that has it, or why no client can
// observe it. A name that ends in `*` means every check with that prefix. A test fails on a statement that is missing
// here, on one without a check in its version, and on checks without a statement.

import { by, type Coverage, unseen } from '../coverage.ts';
import { STOMP_CHECKS } from './checks.ts';
import { RULES, statementId } from './statements.ts';

const CLIENT = unseen('a duty of clients: nothing that a broker does shows it');
const CHOICE = unseen('leaves the choice to the broker: whatever a client sees is allowed');

/** By the statement's id without its version; checks without version and transport. */
const BY_RULE: Readonly<Record<string, Coverage>> = {
  'frames.structure': by('frame.structure frame.command.none'),
  'frames.no-headers': by('frame.no-headers'),
  'frames.eol-lf': by('frame.structure'),
  'frames.eol-crlf': by('frame.crlf frame.crlf.connect frame.crlf.mixed'),
  'frames.cr': by('frame.cr.value'),
  'frames.cr-within': by('frame.cr.within'),
  'frames.eols': by('frame.eols* frame.crlf.between'),
  'frames.case': by('frame.case.*'),
  'frames.commands': by('frame.command.*'),
  'frames.unknown': CHOICE,
  'frames.header': by('frame.header.no-colon frame.header.no-name'),
  'frames.header.empty-value': by('frame.header.empty-value'),
  'frames.header.colon': by('frame.header.colon'),
  'frames.stream': by('frame.split.* frame.joined frame.joined.connect'),

  'encoding.utf8': by('header.utf8 header.utf8.destination'),
  'encoding.ascii': CLIENT,
  'encoding.decode': by('header.escape.n.* header.escape.c.* header.escape.backslash.* header.escape.decoded.*'),
  'encoding.decode.r': by('header.escape.r.*'),
  'encoding.encode': by('header.escape.encoded.* header.escape.subscription message.versions'),
  'encoding.undefined': by('header.escape.undefined.*'),
  'encoding.undefined.r': by('header.escape.undefined.r'),
  'encoding.connect': by('header.escape.connect'),
  'encoding.none': by('header.escape.none message.versions'),
  'encoding.trim': by('header.spaces.*'),

  'body.allowed': unseen('what a broker does with a body of another frame is not said'),
  'body.subscribe': by('body.subscribe-ignored'),
  'content-length.read': by('body.length* body.octets body.eols body.large'),
  'content-length.nul': by('body.length.no-nul'),
  'content-length.none': by('body.no-length*'),
  'content-length.any-frame': by('body.length.any-frame'),
  'content-length.present': by('body.message-length error.content-length'),
  'content-length.nul-present': by('body.message-length.nul'),
  'content-type.present': by('body.message-type error.content-type'),
  'content-type.mime': by('error.content-type'),
  'content-type.absent': by('body.octets'),
  'content-type.charset': CLIENT,
  'content-type.utf8': by('body.utf8'),
  'receipt.any': by('receipt.*'),
  'receipt.connect': unseen('what a broker does with a receipt of CONNECT is not said'),
  repeated: by('header.repeated.*'),
  limits: by('limit.*'),
  lingering: by('connect.lingering'),

  'connect.connected': by('connect.connected connect.lingering connect.twice'),
  'connect.rejected': by('connect.login.*'),
  'connect.rejected.silent': by('connect.login.refused'),
  'connect.first': by('connect.first connect.first.refused'),
  'connect.stomp': by('connect.stomp'),
  'connect.stomp.must': by('connect.stomp'),
  'connect.client-headers': CLIENT,
  'connect.host': by('connect.host.*'),
  'connected.version': by('connect.connected'),
  'connected.session': by('connect.session'),
  'connected.session.unique': by('connect.session.unique'),
  'connected.server': by('connect.server'),
  'negotiation.absent': by('connect.version.none connect.connected'),
  'negotiation.highest': by(
    'connect.version.held connect.twice connect.version.all connect.version.descending connect.version.two connect.version.gap connect.version.newer connect.version.only-old',
  ),
  'negotiation.mismatch': by('connect.version.mismatch connect.version.mismatch.list'),
  'negotiation.mismatch.must': by('connect.version.mismatch connect.version.mismatch.list'),

  'heart-beat.header': by('heart-beat.header heart-beat.malformed'),
  'heart-beat.absent': by('heart-beat.absent heart-beat.unwanted'),
  'heart-beat.client': by('heart-beat.kept heart-beat.any-data'),
  'heart-beat.server': by('heart-beat.sent'),
  'heart-beat.eol': by('heart-beat.sent'),
  'heart-beat.dead': by('heart-beat.missed'),
  'heart-beat.margin': by('heart-beat.tolerant'),

  'send.destination': by('send.no-destination send.refused.*'),
  'send.delivered': by('send.delivered send.invalid-destination'),
  'send.transaction': by('transaction.commit transaction.send.*'),
  'send.headers': by('send.headers*'),
  'send.refused': by('send.no-destination send.invalid-destination send.refused.* error.closes.send'),
  'subscribe.destination': by(
    'subscribe.delivered subscribe.no-destination subscribe.invalid-destination subscribe.refused.receipt subscribe.id.local',
  ),
  'subscribe.refused': by('subscribe.invalid-destination subscribe.refused.receipt error.closes.subscribe'),
  'subscribe.id': by('subscribe.no-id'),
  'subscribe.id.optional': by('subscribe.without-id subscribe.id'),
  'subscribe.id.unique': by('subscribe.id.duplicate subscribe.id.local subscribe.same-destination'),
  'subscribe.selector': CHOICE,
  'subscribe.ack': by('subscribe.ack.*'),
  'subscribe.ack.auto': by('subscribe.ack.default subscribe.ack.auto'),
  'subscribe.ack.client': by('ack.needed ack.needed.lost disconnect.requeues error.gives-back'),
  'subscribe.ack.cumulative': by('ack.cumulative ack.cumulative.subscription'),
  'subscribe.ack.individual': by('ack.individual'),
  unsubscribe: by('unsubscribe.ends unsubscribe.others unsubscribe.id-reuse'),
  'unsubscribe.id': by('unsubscribe.no-id unsubscribe.unknown'),
  'unsubscribe.id-or-destination': by('unsubscribe.destination unsubscribe.neither'),
  'ack.consumed': by('ack.consumed ack.other-connection'),
  'ack.id': by('ack.no-id ack.unknown'),
  'ack.subscription': unseen('a message-id names its message, so a broker may do without the subscription'),
  'ack.transaction': by('ack.transaction ack.transaction.*'),
  nack: by('nack.individual nack.no-id nack.unknown nack.transaction'),
  'nack.scope': by('nack.individual nack.cumulative'),
  'begin.transaction': by('transaction.begin.unnamed transaction.local'),
  'begin.atomic': by(
    'transaction.before-commit transaction.send-and-ack transaction.two transaction.fails-whole transaction.overflows-whole',
  ),
  'begin.unique': by('transaction.begin.twice'),
  'begin.aborted': by('transaction.disconnect transaction.lost'),
  commit: by('transaction.commit transaction.commit.* transaction.empty transaction.again'),
  abort: by('transaction.abort transaction.abort.*'),
  disconnect: by('disconnect.end disconnect.silent'),
  'disconnect.receipt': by('disconnect.processed'),
  'disconnect.last': CLIENT,

  'message.destination': by('message.destination'),
  'message.destination.same': by('message.destination.*'),
  'message.id': by('message.id message.id.unique message.id.servers'),
  'message.subscription': by('message.subscription subscribe.id'),
  'message.ack': by('message.ack* ack.message-id ack.id.unique'),
  'message.body': by('message.body'),
  'receipt.processed': by('receipt.*'),
  'receipt.cumulative': by('receipt.cumulative'),
  'receipt.continue': by('send.processed send.processed.lost'),
  'error.message': by('error.message'),
  'error.body': CHOICE,
  'error.closes': by('error.closes.* error.last'),
  'error.related': by('error.receipt-id*'),

  'websocket.accept': by('websocket.accept'),
  'websocket.request': by('websocket.version websocket.no-key'),
  'websocket.subprotocol': by('websocket.subprotocol.several websocket.subprotocol.unknown'),
  'websocket.masks': by('websocket.bad.unmasked'),
  'websocket.reserved': by('websocket.bad.reserved-bit websocket.bad.opcode'),
  'websocket.length': by('websocket.large'),
  'websocket.fragments': by('websocket.fragments* websocket.bad.continuation websocket.bad.interleaved'),
  'websocket.control': by('websocket.bad.control-*'),
  'websocket.ping': by('websocket.ping websocket.pong'),
  'websocket.close': by('websocket.close websocket.closed-in-order websocket.requeues'),
  'websocket.utf8': by('websocket.bad.utf8 websocket.text.binary-body'),

  'rabbitmq.web-stomp.subprotocol': by('websocket.subprotocol websocket.subprotocol.none'),
  'rabbitmq.web-stomp.kinds': by('websocket.text websocket.binary websocket.text.answered websocket.beside-tcp'),
  'rabbitmq.web-stomp.stream': by('websocket.many-frames websocket.many-messages websocket.mixed websocket.empty'),
  'rabbitmq.queue': by('destination.queue.kept destination.queue.shared'),
  'rabbitmq.queue.names': by('destination.queue.slash* destination.queue.no-name'),
  'rabbitmq.topic': by('destination.topic.all destination.topic.not-kept destination.topic.twice'),
  'rabbitmq.topic.patterns': by('destination.topic.star destination.topic.hash'),
  'rabbitmq.exchange': by('destination.exchange.direct destination.exchange.topic destination.exchange.no-key'),
  'rabbitmq.exchange.refused': by('destination.exchange.missing.* destination.exchange.default'),
  'rabbitmq.amq-queue': by('destination.amq-queue destination.amq-queue.missing'),
  'rabbitmq.temp-queue': by('destination.temp-queue destination.temp-queue.same destination.temp-queue.local'),
  'rabbitmq.temp-queue.only-reply-to': by(
    'destination.temp-queue.send destination.temp-queue.subscribe destination.reply-to.queue',
  ),
  'rabbitmq.durable': by('durable.kept durable.no-id durable.shared'),
  'rabbitmq.durable.end': by('durable.unsubscribed durable.unsubscribed.not'),
  'rabbitmq.queue-name': by('durable.queue-name'),
  'rabbitmq.prefetch': by('prefetch.*'),
  'rabbitmq.nack': by('nack.requeue nack.requeue.* nack.dead-letter nack.cumulative'),
  'rabbitmq.redelivered': by('redelivered.lost nack.requeue'),
  'rabbitmq.properties': by('property.*'),
  'rabbitmq.properties.checked': by('property.user-id.other property.priority.invalid property.expiration.invalid'),
  'rabbitmq.expiration': by('property.expired'),
  'rabbitmq.persistent': by('persistent.* durable.restart receipt.queued'),
  'rabbitmq.arguments': by('argument.*'),
  'rabbitmq.cancel': by('queue.deleted'),
  'rabbitmq.permissions': by('permission.*'),
  'rabbitmq.order': by('send.order transaction.order'),
};

/** The prefixes of a check's id before its rule, for every version and transport. */
const PREFIX = /^stomp\.(?:ws\.)?/;

/** The ids of a version's checks that a name means; without a match, an id that does not exist. */
function ofVersion(version: string, name: string): string[] {
  const wanted = name.replace('*', '');
  const ids = STOMP_CHECKS.map(({ id }) => id).filter((id) => {
    const rule = id.replace(PREFIX, '').slice(version.length + 1);
    if (!id.replace(PREFIX, '').startsWith(`${version}.`)) return false;
    return name.endsWith('*') ? rule.startsWith(wanted) : rule === name;
  });
  return ids.map((id) => id.slice('stomp.'.length));
}

/** The checks of a version for these names. A name may have checks in other versions only, but not all of them. */
function inVersion(coverage: Coverage, version: string): Coverage {
  if (!('checks' in coverage)) return coverage;
  const ids = coverage.checks.split(' ').flatMap((name) => ofVersion(version, name));
  return by(ids.join(' '));
}

export const COVERAGE: Readonly<Record<string, Coverage>> = Object.fromEntries(
  RULES.flatMap(({ id, versions }) => {
    const coverage = BY_RULE[id];
    if (coverage === undefined) return [];
    return versions.map((version) => [
      statementId(version, id),
      inVersion(coverage, statementId(version, '').slice(0, -1)),
    ]);
  }),
);

/** Names without a check in any version, and rules without a statement, which the lists by version cannot report. */
export function strayNames(): string[] {
  const rules = new Set(STOMP_CHECKS.map(({ id }) => id.replace(PREFIX, '').replace(/^v1\d\./, '')));
  const known = new Set(RULES.map(({ id }) => id));
  const names = Object.values(BY_RULE).flatMap((each) => ('checks' in each ? each.checks.split(' ') : []));
  const exists = (name: string): boolean =>
    name.endsWith('*') ? [...rules].some((rule) => rule.startsWith(name.slice(0, -1))) : rules.has(name);
  return [...names.filter((name) => !exists(name)), ...Object.keys(BY_RULE).filter((id) => !known.has(id))];
}
