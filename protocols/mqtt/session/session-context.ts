// What sessions act with beside the context of the front-end: the store of their packet ids, the groups of shared
// subscriptions, and the retained messages. Made once by front-end.ts; connections have the smaller context.

import type { MqttContext } from '../context.ts';
import type { RetainedMessages } from '../retained/retained.ts';
import type { PacketStore } from './packet-store.ts';
import type { SharedGroups } from './shared-groups.ts';
import type { WaitingWills } from './waiting-wills.ts';

export interface SessionContext extends MqttContext {
  readonly packets: PacketStore;
  readonly groups: SharedGroups;
  readonly retainedMessages: RetainedMessages;
  readonly waitingWills: WaitingWills;
}
