// All mutations of STOMP and of its WebSocket transport, with the checks that each must fail.

import type { Mutation, Packet } from '../../mutations/mutation.ts';
import { type MutationSet, mutationSet } from '../../mutations/set.ts';
import { DELIVERY_MUTATIONS } from './delivery.ts';
import { FAULTS, type Fault, Gateway, WITHHOLDING } from './gateway.ts';
import { STOMP_NAMES } from './names.ts';
import { STOMP_FORMAT } from './packets.ts';
import { SESSION_MUTATIONS } from './session.ts';

const FAULT = 'websocket.';

const OF_FRAMES = mutationSet('stomp', STOMP_FORMAT, [...SESSION_MUTATIONS, ...DELIVERY_MUTATIONS], STOMP_NAMES);

const OF_WEBSOCKET = (Object.entries(FAULTS) as [Fault, string][]).map(
  ([fault, breaks]): Pick<Mutation<Packet>, 'id' | 'breaks' | 'withholds'> => {
    return { id: `${FAULT}${fault}`, breaks, withholds: WITHHOLDING.includes(fault) };
  },
);

export const STOMP_MUTATIONS: MutationSet = {
  ...OF_FRAMES,
  mutations: [...OF_FRAMES.mutations, ...OF_WEBSOCKET],
  /** Mutations of STOMP run in front of the broker's TCP port, even for checks over WebSocket. */
  async proxy(mutation, endpoint) {
    const fault = mutation?.startsWith(FAULT) ? (mutation.slice(FAULT.length) as Fault) : null;
    const tcp = await OF_FRAMES.proxy(fault === null ? mutation : null, endpoint);
    const gateway = new Gateway(fault, tcp.endpoint, '/stomp');
    await gateway.listen();
    return {
      endpoint: { ...tcp.endpoint, webSocket: gateway.address },
      get acted() {
        return tcp.acted || gateway.acted;
      },
      acting: Promise.race([tcp.acting, gateway.acting]),
      relent: () => tcp.relent(),
      async stop() {
        await gateway.stop();
        await tcp.stop();
      },
    };
  },
};
