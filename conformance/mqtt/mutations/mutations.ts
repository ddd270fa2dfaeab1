// All mutations of MQTT, by subject, with the checks that each must fail.

import { startProxy } from '../../mutations/proxy.ts';
import type { MutationSet } from '../../mutations/set.ts';
import { sameBroker } from '../mqtt-check.ts';
import type { MqttMutation } from './breaking.ts';
import { CONNECT_MUTATIONS } from './connect.ts';
import { acceptance, isAcceptance } from './leniency.ts';
import { MESSAGE_MUTATIONS } from './messages.ts';
import { MQTT_NAMES } from './names.ts';
import { MQTT_FORMAT } from './packets.ts';
import { SITUATION_MUTATIONS } from './situations.ts';
import { SUBSCRIPTION_MUTATIONS } from './subscriptions.ts';
import { startWebSocketProxy, WEBSOCKET_MUTATIONS } from './websocket.ts';
import { WILL_MUTATIONS } from './wills.ts';

const NAMED = new Set(Object.values(MQTT_NAMES).flatMap((names) => names.split(' ')));
const MUTATIONS: readonly MqttMutation[] = [
  ...CONNECT_MUTATIONS,
  ...MESSAGE_MUTATIONS,
  ...SUBSCRIPTION_MUTATIONS,
  ...SITUATION_MUTATIONS,
  ...WILL_MUTATIONS,
  ...[...NAMED].filter(isAcceptance).map(acceptance),
];

export const MQTT_MUTATIONS: MutationSet = {
  protocol: 'mqtt',
  mutations: [...MUTATIONS, ...WEBSOCKET_MUTATIONS],
  names: MQTT_NAMES,
  async proxy(id, endpoint) {
    const mutation = MUTATIONS.find((each) => each.id === id);
    const overWebSocket = WEBSOCKET_MUTATIONS.some((each) => each.id === id);
    if (id !== null && mutation === undefined && !overWebSocket) throw new Error(`there is no mutation ${id} of mqtt`);
    const proxy = overWebSocket
      ? await startWebSocketProxy(id, endpoint)
      : await startProxy(MQTT_FORMAT, mutation ?? null, endpoint);
    // The real broker is probed for its versions, because a mutation could falsify the answer.
    await sameBroker(endpoint, proxy.endpoint);
    return proxy;
  },
};
