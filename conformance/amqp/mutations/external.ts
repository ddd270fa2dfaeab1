// Mutations of login by certificate.

import { type AmqpMutation, altersAnswer, altersRequest, breaks } from './breaking.ts';
import { methodPacket } from './packets.ts';

export const EXTERNAL_MUTATIONS: readonly AmqpMutation[] = [
  altersAnswer('external.not-offered', 'does not offer EXTERNAL', 'connection.start', ({ mechanisms }) => ({
    mechanisms: mechanisms.replace('EXTERNAL', '').trim(),
  })),
  altersAnswer('external.always-offered', 'offers EXTERNAL without a certificate', 'connection.start', (args) => ({
    mechanisms: `${args.mechanisms} EXTERNAL`,
  })),
  altersRequest('external.refused', 'does not take EXTERNAL', 'connection.start-ok', ({ mechanism }) => {
    return mechanism === 'EXTERNAL' ? { mechanism: 'NONE' } : null;
  }),
  altersRequest('external.only', 'takes nothing but EXTERNAL', 'connection.start-ok', ({ mechanism }) => {
    return mechanism === 'EXTERNAL' ? null : { mechanism: 'NONE' };
  }),
  breaks('external.anybody', 'lets who says EXTERNAL in as its administrator', (_link, _talk, { user, password }) => ({
    fromClient(packet) {
      if (packet.method?.name !== 'connection.start-ok' || packet.method.args.mechanism !== 'EXTERNAL') return [packet];
      const response = `\0${user}\0${password}`;
      return [methodPacket(0, 'connection.start-ok', { ...packet.method.args, mechanism: 'PLAIN', response })];
    },
  })),
];
