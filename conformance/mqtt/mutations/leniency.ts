// Mutations that ignore exactly one violation: the proxy answers the illegal packet as if it were well-formed and does
// not forward it. There is one for each rule that the judge knows and a check tests.

import { frame, LEVEL, type Level } from '../wire/packets.ts';
import { breaks, type MqttMutation, type Talk } from './breaking.ts';
import { Judge } from './judge.ts';
import { type MqttPacket, packetOf, writeAnswer } from './packets.ts';

/** Prefix of these mutations' names. */
const ACCEPTS = 'accepts.';

/** Rules whose well-formed packet gets no answer: the connection ends, or the packet is not complete yet. */
const SILENT = [
  'malformed.length.five-bytes',
  'malformed.flags.disconnect',
  'malformed.twice.disconnect.reasonString',
  'malformed.reason.disconnect',
  'session.expiry.raised',
];

export const acceptanceOf = (rule: string): string => `${ACCEPTS}${rule}`;
export const isAcceptance = (id: string): boolean => id.startsWith(ACCEPTS);

/** The mutation with this name. */
export function acceptance(id: string): MqttMutation {
  const rule = id.slice(ACCEPTS.length);
  return breaks(
    id,
    `passes over what breaks the rule of ${rule}`,
    () => null,
    (talk) => {
      const judge = new Judge();
      return {
        fromClient(packet) {
          if (judge.client(packet) !== rule) return [packet];
          judge.forget();
          const { toBroker, toClient } = asIfWellFormed(packet, talk, judge);
          talk.link.toClient(...toClient);
          return toBroker;
        },
        fromBroker(packet) {
          judge.broker(packet);
          return [packet];
        },
      };
    },
    { withholds: SILENT.includes(rule) },
  );
}

/** Changes nothing, and collects the rules that clients break. */
export function observing(broken: Set<string>): MqttMutation {
  return breaks(
    'none',
    'does as the broker behind does',
    () => null,
    () => {
      const judge = new Judge();
      return {
        fromClient(packet) {
          const rule = judge.client(packet);
          if (rule !== null) broken.add(rule);
          return [packet];
        },
        fromBroker(packet) {
          judge.broker(packet);
          return [packet];
        },
      };
    },
  );
}

interface Done {
  readonly toBroker: readonly MqttPacket[];
  readonly toClient: readonly MqttPacket[];
}

function asIfWellFormed(packet: MqttPacket, { version }: Talk, judge: Judge): Done {
  const { type, body, flags } = packet;
  const answered = (...toClient: readonly MqttPacket[]): Done => ({ toBroker: [], toClient });
  const packetId = type === 'PUBLISH' ? publishedAs(body) : body.length < 2 ? 1 : body.readUInt16BE(0) || 1;
  const answer = { packetId, reasons: [0], properties: [] };
  switch (type) {
    case 'CONNECT':
      return answered(accepted(body[6] === LEVEL.v5 ? LEVEL.v5 : LEVEL.v3));
    case 'AUTH':
      return judge.authenticating ? answered(accepted(LEVEL.v5)) : answered();
    case 'PUBLISH': {
      const qos = (flags >> 1) & 3;
      if (qos === 0 || qos === 3) return answered();
      return answered(writeAnswer(qos === 1 ? 'PUBACK' : 'PUBREC', answer, version));
    }
    case 'SUBSCRIBE':
      return answered(writeAnswer('SUBACK', answer, version));
    case 'UNSUBSCRIBE':
      return answered(writeAnswer('UNSUBACK', answer, version));
    case 'PUBREL':
      return answered(writeAnswer('PUBCOMP', answer, version));
    case 'PINGREQ':
      return answered(...(judge.authenticating ? [] : [packetOf(frame('PINGRESP'))]));
    case 'DISCONNECT':
      return judge.connected ? { toBroker: [packetOf(frame('DISCONNECT'))], toClient: [] } : answered();
    default:
      return answered();
  }
}

const accepted = (version: Level): MqttPacket => {
  return writeAnswer('CONNACK', { packetId: 0, reasons: [0], properties: [] }, version);
};

/** The packet identifier of a PUBLISH, or 1 if it has none. */
function publishedAs(body: Buffer): number {
  const at = body.length < 2 ? 0 : 2 + body.readUInt16BE(0);
  return at + 2 <= body.length ? body.readUInt16BE(at) || 1 : 1;
}
