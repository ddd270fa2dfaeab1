// All mutations of AMQP 0-9-1, by subject, with the checks that each must fail.

import { type MutationSet, mutationSet } from '../../mutations/set.ts';
import { tlsTransport } from '../../mutations/transport.ts';
import type { AmqpMutation } from './breaking.ts';
import { CONNECTION_MUTATIONS } from './connection.ts';
import { CONSUME_MUTATIONS } from './consume.ts';
import { CONTENT_MUTATIONS } from './content.ts';
import { EXCHANGE_MUTATIONS } from './exchange.ts';
import { EXTERNAL_MUTATIONS } from './external.ts';
import { FRAMING_MUTATIONS } from './framing.ts';
import { AMQP_NAMES } from './names.ts';
import { AMQP_FORMAT } from './packets.ts';
import { PUBLISH_MUTATIONS } from './publish.ts';
import { QUEUE_MUTATIONS } from './queue.ts';
import { QUEUE_KIND_MUTATIONS } from './queue-kinds.ts';
import { ROUTING_MUTATIONS } from './routing.ts';
import { WEBSOCKET_FORMAT, WEBSOCKET_MUTATIONS } from './websocket.ts';

const MUTATIONS: readonly AmqpMutation[] = [
  ...CONNECTION_MUTATIONS,
  ...EXTERNAL_MUTATIONS,
  ...FRAMING_MUTATIONS,
  ...EXCHANGE_MUTATIONS,
  ...QUEUE_MUTATIONS,
  ...QUEUE_KIND_MUTATIONS,
  ...ROUTING_MUTATIONS,
  ...PUBLISH_MUTATIONS,
  ...CONSUME_MUTATIONS,
  ...CONTENT_MUTATIONS,
];

const OF_FRAMES = mutationSet('amqp', AMQP_FORMAT, MUTATIONS, AMQP_NAMES);
const OF_WEBSOCKET = mutationSet('amqp', WEBSOCKET_FORMAT, WEBSOCKET_MUTATIONS, AMQP_NAMES);

export const AMQP_MUTATIONS: MutationSet = {
  ...OF_FRAMES,
  mutations: [...OF_FRAMES.mutations, ...OF_WEBSOCKET.mutations],
  /** Mutations of WebSocket and of certificates run in front of those ports, all others in front of TCP. */
  async proxy(mutation, endpoint) {
    const { webSocket, tls } = endpoint;
    const at = mutation?.startsWith('ws.') ? webSocket : mutation?.startsWith('external.') ? tls : undefined;
    if (at === undefined) return OF_FRAMES.proxy(mutation, endpoint);
    const reached = { ...endpoint, host: at.host, port: at.port };
    const proxy = await (at === tls
      ? OF_FRAMES.proxy(mutation, reached, tlsTransport(tls))
      : OF_WEBSOCKET.proxy(mutation, reached));
    const { host, port } = proxy.endpoint;
    return {
      endpoint: {
        ...endpoint,
        ...(at === tls ? { tls: { ...tls, host, port } } : { webSocket: { ...webSocket!, host, port } }),
      },
      get acted() {
        return proxy.acted;
      },
      acting: proxy.acting,
      relent: () => proxy.relent(),
      stop: () => proxy.stop(),
    };
  },
};
