// The mutations that must fail each check of MQTT. A key is a check id without its version, because a mutation breaks a
// rule in all versions. A key that ends in `*` covers every check with that prefix that has no entry of its own; the
// longest match wins. `accepts` is the mutation that ignores the violation of this very rule and no other
// (leniency.ts).

import type { Names } from '../../mutations/set.ts';
import { MQTT_CHECKS } from '../checks.ts';
import { acceptanceOf } from './leniency.ts';

const TABLE: Names = {
  'connect.*': 'accepts',

  'connect.accepted': 'connack.second connack.late connack.flags connack.session-present',

  'connect.early': 'pieces.one-each',
  'connect.level': 'accepts connack.refused-otherwise connack.refused-with-session',
  'connect.payload-order': 'will.payload will.topic client-id.cut',

  'connect.client-id.allowed': 'client-id.22 client-id.two',
  'connect.client-id.long': 'client-id.long-otherwise',
  'connect.client-id.empty': 'client-id.one',
  'connect.client-id.empty.unclean':
    'accepts connect.refused-silently connack.refused-otherwise connack.refused-with-session',
  'connect.client-id.assigned': 'client-id.one connack.not-assigned',
  'connect.client-id.assigned.unclean': 'connack.not-assigned connack.no-session',
  'connect.client-id.not-assigned': 'connack.assigned',
  'connect.rejected.ignored': 'connect.refused-heard message.payload message.lost accepts.connect.level',
  'connect.login.wrong-password': 'connack.refused-otherwise connect.refused-silently',
  'connect.takeover': 'takeover.ignored',
  'connect.takeover.reason': 'takeover.other-reason disconnect.unsaid',
  'connect.takeover.session': 'session.lost connack.no-session takeover.ignored',
  'connect.in-pieces': 'pieces.first',
  'connect.keep-alive': 'keep-alive.hasty keep-alive.ignored',
  'connect.keep-alive.kept': 'keep-alive.by-ping-only',
  'connect.keep-alive.zero': 'keep-alive.never-off',
  'connect.user-properties': 'connect.one-user-property',
  'connect.response-information': 'connack.response-information',
  'connect.response-information.asked': 'connack.same-response-information message.lost',
  'connect.auth.unknown-method.code':
    'connack.refused-otherwise connect.refused-silently accepts.connect.auth.unknown-method',
  'connect.auth.none': 'connack.authentication-method',

  'connect.problem-information': 'ack.explained ack.user-property',
  'connect.qos-of-server': 'connack.maximum-qos suback.unknown-code',
  'connect.properties-small': 'connack.explained accepts.connect.auth.unknown-method',
  'connect.extension.utf8-client-id': 'session.lost takeover.ignored',

  'auth.accepted': 'auth.unknown-reason auth.other-method auth.method-unsaid auth.unproved',
  'auth.wrong': 'auth.anybody',
  'auth.small': 'auth.explained',
  'auth.interrupted': 'accepts',
  'auth.other-reason': 'accepts',
  'auth.other-method': 'accepts',
  'auth.again': 'auth.unknown-reason auth.other-method',
  'auth.again.wrong': 'auth.again.anybody',
  'auth.again.other-method': 'accepts',

  'session.new': 'connack.session-present',
  'session.resumed': 'session.lost connack.no-session publish.lost',
  'session.resumed.broken': 'session.lost-when-broken session.lost connack.no-session',
  'session.queued': 'session.not-queued message.dup message.swapped',
  'session.clean': 'session.kept connack.session-present',
  'session.clean.not-kept': 'session.kept connack.session-present',
  'session.client-id': 'client-id.folded client-id.cut session.lost',
  'session.while-connected': 'session.dropped-on-subscribe message.lost',
  'session.expiry.while-connected': 'session.dropped-on-subscribe message.lost',
  'session.expiry.passed': 'session.expiry-ignored session.lost',
  'session.expiry.never': 'session.never-is-zero',
  'session.expiry.renewed': 'session.expiry-ignored',
  'session.expiry.at-goodbye': 'disconnect.tidied disconnect.unheard',
  'session.expiry.raised': 'accepts',
  'session.restart': 'session.lost connack.no-session',
  'session.restart.dup': 'message.dup',

  'will.violation': 'will.lost-to-violation accepts.malformed.connack',
  'will.takeover': 'will.lost-at-takeover',
  'will.keep-alive': 'will.lost-to-silence',
  'will.empty': 'will.empty-lost',
  'will.delay.session-ends': 'will.lost-with-connection',
  'will.delay.session-expires': 'will.lost-with-session',
  'will.delay.new-session': 'will.lost-to-new-session',
  'will.published': 'will.lost will.topic will.payload',
  'will.qos': 'will.qos message.qos0',
  'will.goodbye': 'disconnect.broken',
  'will.none': 'disconnect.broken will.kept',
  'will.once': 'will.kept',
  'will.retain.no': 'will.retained',
  'will.retain.yes': 'will.not-retained message.retain message.no-retain',
  'will.disconnect-with-will': 'disconnect.tidied will.lost-to-goodbye-with-will',
  'will.disconnect-with-error': 'disconnect.tidied will.lost-to-error',
  'will.properties': 'will.properties will.user-properties properties.lost',
  'will.delay': 'will.delay will.lost',
  'will.delay.reconnected': 'will.delay',
  'will.expiry': 'will.expiry expiry.unsaid',

  'publish.qos0': 'puback.for-qos0 message.qos1 message.dup-qos0 message.retain message.lost',
  'publish.qos1': 'puback.lost ack.identifier message.qos0 message.dup message.twice',
  'publish.qos2': 'pubrec.lost pubcomp.lost ack.identifier',
  'publish.qos2.out': 'pubrel.lost message.dup message.qos0 message.twice message.identifier-zero',
  'publish.identifiers': 'message.same-identifier message.identifier-zero',
  'publish.qos1.again': 'publish.same-identifier puback.lost',
  'publish.dup.independent': 'message.dup-as-it-came',
  'publish.qos2.once': 'qos2.again pubrec.lost',
  'publish.qos2.once.reconnected': 'qos2.again session.lost',
  'publish.qos2.released': 'publish.same-identifier',
  'publish.pubrel.unknown': 'pubcomp.of-known ack.identifier',
  'publish.pubrel.reconnected': 'pubcomp.of-known',
  'publish.resent.qos1': 'message.no-dup message.other-identifier session.lost',
  'publish.resent.qos2': 'message.no-dup message.other-identifier session.lost',
  'publish.resent.pubrel': 'pubrel.not-resent session.lost',
  'publish.takeover': 'message.no-dup message.other-identifier session.lost pubrel.lost qos2.again takeover.ignored',
  'publish.resent.order': 'message.swapped session.lost',
  'publish.not-resent': 'message.impatient',
  'publish.minimum-qos': 'message.qos0 subscribe.qos2',
  'publish.order.*': 'message.swapped message.lost',
  'publish.topic.matches': 'message.topic filter.widened',
  'publish.payload': 'message.payload message.payload-text',
  'publish.topic.bom': 'message.topic-normalised publish.topic-normalised',
  'publish.topic.unchanged': 'message.topic-normalised publish.topic-normalised message.topic-folded filter.folded',
  'publish.topic.long': 'message.topic-cut',
  'publish.*': 'accepts',
  'publish.not-authorised': 'login.administrator',
  'publish.no-subscriber': 'ack.refused ack.unknown-reason',
  'publish.acks.long': 'ack.short-only pubrel.lost pubcomp.lost',
  'publish.refused.qos1': 'refusal.ignored',
  'publish.refused.qos2': 'refusal.ignored',

  'properties.*': 'accepts',
  'properties.payloadFormatIndicator': 'properties.format-altered properties.lost',
  'properties.contentType': 'properties.content-type properties.content-type-altered',
  'properties.responseTopic': 'properties.response-topic-altered properties.lost',
  'properties.correlationData': 'properties.correlation-altered properties.lost',
  'properties.user': 'user-properties.sorted user-properties.unique user-properties.added properties.lost',
  'properties.user.queued': 'user-properties.sorted properties.content-type-altered properties.lost',
  'properties.request-response': 'response-topic.lost properties.correlation-altered',
  'expiry.left': 'expiry.whole expiry.unsaid expiry.ignored',
  'expiry.sent': 'expiry.unsaid expiry.made-up expiry.ignored',
  'expiry.passed': 'expiry.ignored',
  'expiry.started': 'message.expired-when-sent session.lost',
  'expiry.received': 'pubcomp.expired',
  'alias.in': 'alias.lost',
  'alias.unknown': 'accepts',
  'alias.beyond': 'accepts',
  'alias.connection': 'alias.kept accepts.alias.unknown',
  'alias.not-forwarded': 'alias.unasked message.topic',
  'alias.out': 'alias.of-another',
  'alias.out.reconnected': 'alias.unasked message.topic',

  'receive-maximum.*': 'receive-maximum.ignored receive-maximum.by-one',
  'receive-maximum.pubrec': 'receive-maximum.until-pubrec receive-maximum.by-one',
  'receive-maximum.resent': 'receive-maximum.resumed',
  'receive-maximum.qos0': 'receive-maximum.ignored pingresp.lost puback.lost suback.lost unsuback.lost',
  'receive-maximum.zero': 'accepts',
  'receive-maximum.in': 'pubrec.lost pubcomp.lost puback.lost',
  'receive-maximum.in.beyond': 'accepts disconnect.other-reason disconnect.unsaid',
  'maximum-packet-size.*': 'maximum-packet-size.ignored',
  'maximum-packet-size.exact': 'maximum-packet-size.by-one',
  'maximum-packet-size.queued': 'maximum-packet-size.resumed',
  'maximum-packet-size.zero': 'accepts',
  'maximum-packet-size.acks': 'ack.explained',
  'maximum-packet-size.disconnect': 'disconnect.explained accepts.publish.topic.hash',
  'maximum-packet-size.in': 'accepts',

  'retained.sent': 'retain.lost message.no-retain message.qos0',
  'retained.qos': 'subscribe.qos2 message.qos0',
  'retained.replaced': 'retain.first retain.lost',
  'retained.replaced.qos0': 'retain.first',
  'retained.live': 'message.retain',
  'retained.wildcards': 'retain.lost filter.widened filter.no-wildcards filter.hash-needs-level',
  'retained.deleted': 'retain.undeleted message.retain',
  'retained.flag-needed': 'retain.always retain.lost',
  'retained.outlives-session': 'retain.bound-to-client',
  'retained.subscribed-again': 'subscribe.not-replaced message.no-retain',
  'retained.dollar': 'message.dollar',
  'retained.handling.new-only': 'subscribe.retain-handling subscribe.no-retained',
  'retained.handling.session': 'subscribe.retain-handling',
  'retained.handling.never': 'subscribe.retain-handling',
  'retained.handling.always': 'subscribe.no-retained subscribe.not-replaced',
  'retained.as-published': 'subscribe.retain-as-published subscribe.always-as-published message.no-retain',
  'retained.as-published.new': 'message.no-retain subscribe.no-retained',
  'retained.properties': 'properties.lost user-properties.sorted user-properties.unique',
  'retained.expiry': 'expiry.ignored',
  'retained.expiry.left': 'expiry.whole expiry.unsaid',
  'retained.shared': 'shared.everybody',
  'retained.resent.qos1': 'message.no-dup message.other-identifier message.no-retain session.lost',
  'retained.resent.qos2': 'message.no-dup message.other-identifier retain.lost session.lost',
  'retained.resent.pubrel': 'pubrel.lost session.lost',
  'retained.pending': 'session.lost retain.lost',
  'retained.restart': 'retain.lost',

  'subscribe.suback': 'suback.lost ack.identifier',
  'subscribe.codes': 'suback.reversed suback.short suback.unknown-code suback.more',
  'subscribe.several': 'subscribe.first',
  'subscribe.filter.plain': 'filter.taken.plain filter.widened',
  'subscribe.filter.hash': 'filter.no-wildcards filter.hash-needs-level message.topic',
  'subscribe.filter.plus': 'filter.taken.plus filter.no-wildcards',
  'subscribe.filter.plus-middle': 'filter.taken.plus-middle filter.no-wildcards',
  'subscribe.filter.plus-first': 'filter.taken.plus-first filter.no-wildcards',
  'subscribe.filter.plus-hash': 'filter.taken.plus-hash filter.no-wildcards filter.hash-needs-level',
  'subscribe.filter.only-plus': 'filter.taken.only-plus filter.no-wildcards',
  'subscribe.filter.two-plus': 'filter.taken.two-plus filter.no-wildcards',
  'subscribe.filter.empty-levels': 'filter.taken.empty-levels filter.trimmed',
  'subscribe.filter.leading-wildcard': 'filter.leading-wildcard',
  'subscribe.filter.dollar': 'message.dollar',
  'subscribe.filter.sys': 'subscribe.sys',
  'subscribe.bad.hash-behind-text': 'accepts.subscribe.bad.hash-attached',
  'subscribe.bad.plus-before-text': 'accepts.subscribe.bad.plus-attached',

  'subscribe.replaced': 'subscribe.not-replaced message.twice',
  'subscribe.replaced.nothing-lost': 'message.lost suback.lost',
  'subscribe.overlapping': 'message.qos0 message.twice',
  'subscribe.each-client': 'message.to-one',
  'subscribe.*': 'accepts',
  'unsubscribe.unsuback': 'unsuback.lost ack.identifier',
  'unsubscribe.none': 'unsuback.lost',
  'unsubscribe.stops': 'unsubscribe.ignored',
  'unsubscribe.exact': 'unsubscribe.matching',
  'unsubscribe.several': 'unsubscribe.ignored',
  'unsubscribe.in-flight': 'message.no-dup message.other-identifier session.lost',
  'unsubscribe.*': 'accepts',
  'subscribe.not-authorised': 'login.administrator ack.done suback.other-refusal',
  'subscribe.no-local': 'subscribe.no-local',
  'subscribe.no-local.client-id': 'subscribe.no-local',
  'subscribe.identifier': 'subscribe.identifier message.made-up-identifier',
  'subscribe.identifier.overlapping': 'subscribe.identifier message.first-identifier',
  'subscribe.identifier.replaced': 'subscribe.not-replaced subscribe.identifier',
  'subscribe.identifier.session': 'subscribe.identifier session.lost',

  'subscribe.user-properties': 'suback.unknown-code unsuback.none',

  'shared.once': 'shared.everybody message.lost',
  'shared.spread': 'shared.one-takes-all',
  'shared.identifier': 'subscribe.identifier message.made-up-identifier',
  'shared.too-large': 'maximum-packet-size.ignored message.lost',
  'shared.qos1.session-ends': 'message.to-one',
  'shared.groups': 'shared.one-group message.lost',
  'shared.wildcards': 'shared.no-wildcards message.topic',
  'shared.leaves': 'unsubscribe.ignored unsuback.success unsuback.none',
  'shared.qos': 'shared.qos0',
  'shared.qos2.reconnected': 'pubrel.not-resent session.lost',
  'shared.qos2.session-ends': 'shared.held-over message.lost',
  'shared.refused': 'shared.held-over message.lost',
  'shared.no-local': 'accepts',
  'shared.bad.*': 'accepts',

  'malformed.*': 'accepts',

  'malformed.pieces': 'pieces.first pieces.one-each',

  ping: 'pingresp.lost',
  'disconnect.closed': 'disconnect.answered disconnect.unheard',
  'disconnect.published': 'disconnect.hasty',
  'disconnect.long-form': 'disconnect.broken',
  'disconnect.reason':
    'disconnect.unknown-reason disconnect.session-expiry disconnect.not-last accepts.publish.topic.hash',
  'disconnect.reason.said': 'disconnect.unsaid disconnect.other-reason accepts.publish.topic.hash',
  'disconnect.reason.malformed': 'disconnect.unsaid disconnect.other-reason accepts.malformed.flags.disconnect',

  'websocket.subprotocol': 'websocket.no-subprotocol',
  'websocket.binary': 'websocket.text-sent',
  'websocket.text': 'websocket.text-taken',
  'websocket.split': 'websocket.aligned',
  'websocket.joined': 'websocket.aligned',
  'websocket.will': 'websocket.goodbye',

  'connack.reserved': 'connack.session-present',
  session: 'session.not-queued session.lost',
  publish: 'message.qos0 puback.lost pubrec.lost',
  retained: 'retain.lost message.no-retain',
  will: 'will.lost disconnect.broken',
  redelivered: 'message.no-dup message.other-identifier session.lost',
  neighbours: 'takeover.ignored message.lost',
};

/** Entries of one version only. */
const OWN: Names = {
  'v3.shared.leaves': 'unsubscribe.ignored',
  'v31.connect.accepted': 'connack.second connack.late connack.flags connack.refused-always',
  'v5.connect.flags.password-without-user': 'connect.password-needs-user',
  'v5.subscribe.each-client': 'message.to-one subscribe.always-no-local',
  'v5.publish.not-authorised': 'login.administrator ack.done',
  'v31.connect.client-id.23': 'client-id.22',
  'v31.connect.client-id.empty': 'accepts connack.refused-otherwise connect.refused-silently',
  'v31.connect.client-id.long': 'accepts connack.refused-otherwise connect.refused-silently',
  'v5.connect.level': 'accepts connack.refused-otherwise connack.refused-with-session',
  'v5.unsubscribe.none': 'unsuback.lost unsuback.success',
  'v5.unsubscribe.exact': 'unsuback.success',
  'v5.unsubscribe.several': 'unsuback.success suback.short',
};

export const MQTT_NAMES: Names = expanded();

/** The mutations by check id. An entry that matches no check is kept, so that the test reports it. */
function expanded(): Names {
  const names = new Map<string, string>();
  const unused = new Set(Object.keys(TABLE));
  for (const check of MQTT_CHECKS) {
    const id = check.id.slice('mqtt.'.length);
    const rule = id.slice(id.indexOf('.') + 1);
    const line = lineOf(rule);
    if (line !== undefined) unused.delete(line);
    const named = OWN[id] ?? (line === undefined ? undefined : TABLE[line]);
    if (named === undefined) continue;
    names.set(id, named.replace(/(?<!\S)accepts(?!\S)/, acceptanceOf(rule)));
  }
  return Object.fromEntries([
    ...Object.entries(OWN).filter(([id]) => !names.has(id)),
    ...names,
    ...[...unused].map((line) => [line, TABLE[line]!] as const),
  ]);
}

/** The entry of this rule, or the one with the longest matching prefix. */
function lineOf(rule: string): string | undefined {
  if (rule in TABLE) return rule;
  const lines = Object.keys(TABLE).filter((line) => line.endsWith('*') && rule.startsWith(line.slice(0, -1)));
  return lines.sort((a, b) => b.length - a.length)[0];
}
