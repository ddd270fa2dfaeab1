// MQTT for the fuzzer: hand-written conversations, and the meaning of the broker's answers.

import * as mqtt from '../../support/wire/mqtt.ts';
import * as v5 from '../../support/wire/mqtt5.ts';
import type { Frames } from './mutate.ts';
import type { FuzzProtocol, Inspection } from './protocol.ts';
import type { Random } from './random.ts';

const { PACKET } = mqtt;
const AUTH = 15;

const STATES = ['nothing', 'refused', 'connected', 'subscribed', 'publishing'] as const;

const CREDENTIALS = { user: 'guest', password: 'guest' } as const;

export const MQTT: FuzzProtocol = {
  name: 'mqtt',
  states: STATES,
  handshakeFrames: 1,
  conversations: (id) => [
    clean(id),
    persistent(id),
    retaining(id),
    unicode(id),
    wildcards(id),
    properties(id),
    kept5(id),
    shared(id),
    authenticating(id),
  ],
  lengthField: (frame) => (frame.length >= 2 ? { offset: 1, bytes: frame[1]! < 0x80 ? 1 : 2 } : null),
  randomFrame,
  inspect,
};

function clean(id: number): Frames {
  const topic = `fuzz/${id}/clean`;
  return [
    mqtt.connect(`fuzz-clean-${id}`, { ...CREDENTIALS, keepAliveSeconds: 60, will: { topic, payload: 'will' } }),
    mqtt.subscribe(1, `fuzz/${id}/#`, 1),
    mqtt.publish(topic, Buffer.from('zero'), 0, 0),
    mqtt.publish(topic, Buffer.from('one'), 1, 10),
    mqtt.publish(topic, Buffer.from('two'), 2, 11),
    mqtt.acknowledgement(PACKET.pubrel, 11),
    mqtt.pingreq(),
    mqtt.unsubscribe(2, `fuzz/${id}/#`),
    mqtt.disconnect(),
  ];
}

/** A few persistent sessions that the inputs share: one for each input would fill memory. */
const SESSIONS = 256;

/** A persistent session, whose redeliveries may be acknowledged out of order. */
function persistent(id: number): Frames {
  const topic = `fuzz/${id}/kept`;
  return [
    mqtt.connect(`fuzz-kept-${id % SESSIONS}`, { ...CREDENTIALS, clean: false }),
    mqtt.subscribe(1, topic, 1),
    mqtt.publish(topic, Buffer.from('kept'), 1, 1),
    mqtt.publish(topic, Buffer.from('kept'), 1, 2),
    mqtt.acknowledgement(PACKET.puback, 1),
    mqtt.acknowledgement(PACKET.puback, 2),
    mqtt.acknowledgement(PACKET.puback, 3),
    mqtt.unsubscribe(2, topic),
    mqtt.disconnect(),
  ];
}

function retaining(id: number): Frames {
  const topic = `fuzz/${id}/retained`;
  return [
    mqtt.connect(`fuzz-retain-${id}`, CREDENTIALS),
    mqtt.publish(topic, Buffer.from('state'), 1, 1, true),
    mqtt.subscribe(2, topic, 0),
    mqtt.publish(topic, Buffer.alloc(0), 0, 0, true),
    mqtt.disconnect(),
  ];
}

function unicode(id: number): Frames {
  const topic = `fuzz/${id}/Ä漢😀/a.b*c`;
  return [
    mqtt.connect(`fuzz-ü-${id}`, CREDENTIALS),
    mqtt.subscribe(1, topic, 1),
    mqtt.publish(topic, Buffer.alloc(5000, 'u'), 1, 1),
    mqtt.publish(topic, Buffer.alloc(0), 0, 0),
    mqtt.disconnect(),
  ];
}

function wildcards(id: number): Frames {
  return [
    mqtt.connect('', CREDENTIALS),
    mqtt.subscribe(1, `fuzz/${id}/+/x`, 0),
    mqtt.subscribe(2, `fuzz/${id}//#`, 2),
    mqtt.subscribe(3, '$SYS/#', 0),
    mqtt.publish(`fuzz/${id}//x`, Buffer.from('w'), 1, 1),
    mqtt.unsubscribe(4, 'never/subscribed'),
    mqtt.disconnect(),
  ];
}

/** MQTT 5 with every property of a message, aliases, and every acknowledgement with a reason. */
function properties(id: number): Frames {
  const topic = `fuzz/${id}/properties`;
  const { p } = v5;
  const carried = [p.payloadFormat(1), p.messageExpiry(60), p.contentType('text/plain'), p.user('k', 'v')];
  const will = { topic, payload: 'will', qos: 1, properties: [p.willDelay(1), ...carried] };
  return [
    v5.connect5({
      clientId: `fuzz-5-${id}`,
      keepAlive: 60,
      properties: [p.receiveMaximum(10), p.topicAliasMaximum(4), p.maximumPacket(10_000), p.requestResponse(1)],
      will,
    }),
    v5.subscribe5(1, [p.subscriptionId(300)], [`fuzz/${id}/#`, 2 + 8 + 0x10], [`fuzz/${id}/+`, 1]),
    v5.publish5(topic, 'zero', { properties: [...carried, p.topicAlias(1), p.responseTopic('a/b')] }),
    v5.publish5('', 'one', { qos: 1, id: 1, properties: [p.topicAlias(1), p.correlationData('c')] }),
    v5.publish5(topic, 'two', { qos: 2, id: 2, retain: true, properties: carried }),
    v5.packet(0x62, v5.u16(2), Buffer.from([0]), v5.block([p.reasonString('done')])),
    v5.reason5(0x40, 1, 0),
    v5.reason5(0x50, 2, 0x10),
    v5.reason5(0x70, 2, 0x92),
    v5.unsubscribe5(3, `fuzz/${id}/#`, 'never'),
    v5.publish5(topic, '', { retain: true }),
    v5.disconnect5(4, [p.sessionExpiry(0), p.user('why', 'not')]),
  ];
}

function kept5(id: number): Frames {
  const topic = `fuzz/${id}/kept5`;
  return [
    v5.connect5({ clientId: `fuzz-kept5-${id % SESSIONS}`, clean: false, properties: [v5.p.sessionExpiry(30)] }),
    v5.subscribe5(1, [], [topic, 2 + 4]),
    v5.subscribe5(2, [], [`${topic}/+`, 2]),
    v5.publish5(`${topic}/x`, 'exactly', { qos: 2, id: 1 }),
    mqtt.acknowledgement(PACKET.pubrec, 1),
    mqtt.acknowledgement(PACKET.pubrel, 1),
    mqtt.acknowledgement(PACKET.pubcomp, 1),
    v5.unsubscribe5(3, topic, `${topic}/+`),
    v5.disconnect5(0, [v5.p.sessionExpiry(1)]),
  ];
}

function shared(id: number): Frames {
  const filter = `$share/g${id % 16}/fuzz/${id}/shared`;
  return [
    v5.connect5({ clientId: `fuzz-shared-${id}` }),
    v5.subscribe5(1, [], [filter, 2]),
    v5.publish5(`fuzz/${id}/shared`, 'x', { qos: 2, id: 1 }),
    mqtt.acknowledgement(PACKET.pubrec, 1),
    mqtt.acknowledgement(PACKET.pubcomp, 1),
    v5.unsubscribe5(2, filter),
    v5.disconnect5(0),
  ];
}

function authenticating(id: number): Frames {
  const method = v5.p.authenticationMethod('SCRAM-SHA-256');
  return [
    v5.connect5({
      clientId: `fuzz-auth-${id}`,
      user: null,
      password: null,
      properties: [method, v5.p.authenticationData('n,,n=guest,r=fyko+d2lbbFgONRv9qkxdawL')],
    }),
    v5.auth5(0x18, [method, v5.p.authenticationData('c=biws,r=fyko,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=')]),
    v5.auth5(0x19, [method]),
    v5.disconnect5(0),
  ];
}

function randomFrame(random: Random): Buffer {
  const flags = random.chance(0.7) ? random.pick([0, 2]) : random.int(16);
  return mqtt.packet(random.int(16), flags, random.bytes(random.int(40)));
}

function inspect(answer: Buffer): Inspection {
  let state: (typeof STATES)[number] = 'nothing';
  let error: string | null = null;
  const reach = (reached: (typeof STATES)[number]) => {
    if (STATES.indexOf(reached) > STATES.indexOf(state)) state = reached;
  };
  for (let at = 0; at < answer.length; ) {
    const type = answer[at]! >> 4;
    let length = 0;
    let head = at + 1;
    for (let shift = 0; ; shift += 7) {
      if (shift > 21 || head >= answer.length) throw new Error(`no remaining length at ${at}`);
      const byte = answer[head++]!;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if (head + length > answer.length) throw new Error(`the answer ends within a packet at ${at}`);
    switch (type) {
      case PACKET.connack:
        if (at !== 0 && answer[0]! >> 4 !== AUTH) throw new Error('CONNACK is not the first packet [MQTT-3.2.0-1]');
        if (answer[head + 1] === 0) reach('connected');
        else {
          reach('refused');
          error = `CONNACK ${answer[head + 1]}`;
        }
        break;
      case PACKET.suback:
        reach('subscribed');
        break;
      case PACKET.publish:
      case PACKET.puback:
      case PACKET.pubrec:
      case PACKET.pubcomp:
        reach('publishing');
        break;
      case PACKET.pubrel:
      case PACKET.unsuback:
      case PACKET.pingresp:
      case AUTH:
        break;
      case PACKET.disconnect:
        error = `DISCONNECT ${answer[head]}`;
        break;
      default:
        throw new Error(`a broker does not send packet type ${type}`);
    }
    at = head + length;
  }
  return { state, error };
}
