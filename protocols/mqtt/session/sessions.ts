// Which connection holds which client id, and the persistent sessions. One client id is one session, and one connection
// at a time holds it: whoever comes later takes it over (MQTT 3.1.1 §3.1.4).

import type { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import { MqttSession, type SessionRegistry } from './session.ts';
import type { SessionContext } from './session-context.ts';
import { isShared, sessionOf } from './session-queue.ts';
import { recordFromJson, type SessionRecord } from './session-record.ts';

/** A connection that holds a client id. */
export interface ClientIdHolder {
  /** Another connection takes the client id: let go of the session at once and close. Resolves when that is done. */
  takenOver(): Promise<void>;
}

export class Sessions implements SessionRegistry {
  private readonly context: SessionContext;
  private readonly holders: Map<string, ClientIdHolder>;
  private readonly persistent: Map<string, MqttSession>;

  /** Connections that took a client id, since the start. */
  claims: number;

  constructor(context: SessionContext) {
    this.context = context;
    this.claims = 0;
    this.holders = new Map();
    this.persistent = new Map();
  }

  /** Gives the client id to `holder`. Resolves when the connection that had it is out of its way. */
  async claim(vhost: string, clientId: string, holder: ClientIdHolder): Promise<void> {
    const key = keyOf(vhost, clientId);
    this.claims++;
    const before = this.holders.get(key);
    this.holders.set(key, holder);
    await before?.takenOver();
  }

  /** The holder is gone. */
  release(vhost: string, clientId: string, holder: ClientIdHolder): void {
    const key = keyOf(vhost, clientId);
    if (this.holders.get(key) === holder) this.holders.delete(key);
  }

  /** Client ids that are connected. */
  get connected(): number {
    return this.holders.size;
  }

  /** Persistent sessions whose clients are away. */
  get disconnected(): number {
    let away = 0;
    for (const key of this.persistent.keys()) if (!this.holders.has(key)) away++;
    return away;
  }

  /** Whether no connection that came later took the client id. */
  holds(vhost: string, clientId: string, holder: ClientIdHolder): boolean {
    return this.holders.get(keyOf(vhost, clientId)) === holder;
  }

  /** The persistent session of a client id, or null. */
  get(vhost: string, clientId: string): MqttSession | null {
    return this.persistent.get(keyOf(vhost, clientId)) ?? null;
  }

  /** Makes a session; a persistent one is found here until it ends. */
  create(host: VirtualHost, clientId: string, persistent: boolean): MqttSession {
    const session = new MqttSession(host, clientId, persistent, this.context, this);
    if (persistent) this.persistent.set(keyOf(host.name, clientId), session);
    return session;
  }

  /** The session ended. */
  forget(session: MqttSession): void {
    const key = keyOf(session.host.name, session.clientId);
    if (this.persistent.get(key) === session) this.persistent.delete(key);
  }

  /** Takes up what an earlier start left in these virtual hosts. Called once, when the definitions are recovered. */
  recover(hosts: Iterable<VirtualHost>): void {
    const { packets, definitions, groups } = this.context;
    const records = new Map<string, SessionRecord>();
    for (const { name, value } of definitions.all('session')) {
      records.set(keyOf(name[0]!, name[1]!), recordFromJson(value));
    }
    const byId = new Map<number, MqttSession>();
    const queueIds = new Set<number>();
    for (const host of hosts) {
      for (const queue of [...host.queues.values()]) {
        const clientId = sessionOf(queue);
        if (clientId === null) continue;
        const session = this.create(host, clientId, true);
        byId.set(queue.id, session);
        session.recover(records.get(keyOf(host.name, clientId)) ?? null, queue);
        records.delete(keyOf(host.name, clientId));
      }
      // Groups without a member that outlived the broker.
      for (const queue of [...host.queues.values()]) {
        if (!isShared(queue)) continue;
        if (groups.of(queue).members.size === 0) groups.end(host, queue);
      }
      for (const { id } of host.queues.values()) queueIds.add(id);
    }
    for (const key of records.keys()) definitions.remove('session', key.split('\u0000'));
    for (const { name, value } of [...definitions.all('retained-selection')]) {
      const [vhost, clientId, filter] = name as [string, string, string];
      const known = this.get(vhost, clientId)?.recoverSelection(filter, value) === true;
      if (!known) definitions.remove('retained-selection', name);
    }
    const strangers = new Set<number>();
    for (const { sessionId, packetId, state, queueId, seq } of packets.all()) {
      const session = byId.get(sessionId);
      if (session === undefined) strangers.add(sessionId);
      else if (state === 'received') session.recoverReceived(packetId);
      // Whose queue is gone will not come again: all that is left of it is to end the exchange.
      else session.recoverSent(packetId, state === 'released' || !queueIds.has(queueId), queueId, seq);
    }
    for (const sessionId of strangers) packets.drop(sessionId);
  }
}

function keyOf(vhost: string, clientId: string): string {
  return `${vhost}\u0000${clientId}`;
}
