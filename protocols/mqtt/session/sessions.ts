// The registry of client ids: which connection has each, and the persistent session of each. A client id has one session
// and at most one connection; a later connection takes it over (MQTT 3.1.1 §3.1.4). Made by front-end.ts; called by
// connection/opening.ts and, for the counts, by sys-topics.ts.

import type { VirtualHost } from '../../../src/core/vhost/virtual-host.ts';
import { MqttSession, type SessionRegistry } from './session.ts';
import type { SessionContext } from './session-context.ts';
import { isShared, sessionOf } from './session-queue.ts';
import { recordFromJson, type SessionRecord } from './session-record.ts';

/** A connection that has claimed a client id. */
export interface ClientIdHolder {
  /** The user that has logged in, or null. */
  readonly user: string | null;
  /** Another connection claims the client id: detach from the session and close at once. Resolves when done. */
  takenOver(): Promise<void>;
}

export class Sessions implements SessionRegistry {
  private readonly context: SessionContext;
  private readonly holders: Map<string, ClientIdHolder>;
  private readonly persistent: Map<string, MqttSession>;

  /** Claims of client ids since the start. */
  claims: number;

  constructor(context: SessionContext) {
    this.context = context;
    this.claims = 0;
    this.holders = new Map();
    this.persistent = new Map();
  }

  /** Gives the client id to `holder`. Resolves when the connection that had it before has closed. */
  async claim(vhost: string, clientId: string, holder: ClientIdHolder): Promise<void> {
    const key = keyOf(vhost, clientId);
    this.claims++;
    const before = this.holders.get(key);
    this.holders.set(key, holder);
    await before?.takenOver();
  }

  /** The user whose connection or session has that client id; null: it is free. */
  userOf(vhost: string, clientId: string): string | null {
    const key = keyOf(vhost, clientId);
    return this.holders.get(key)?.user ?? this.persistent.get(key)?.user ?? null;
  }

  /** The holder has closed. */
  release(vhost: string, clientId: string, holder: ClientIdHolder): void {
    const key = keyOf(vhost, clientId);
    if (this.holders.get(key) === holder) this.holders.delete(key);
  }

  /** Client ids that are connected. */
  get connected(): number {
    return this.holders.size;
  }

  /** Persistent sessions without a connection. */
  get disconnected(): number {
    let away = 0;
    for (const key of this.persistent.keys()) if (!this.holders.has(key)) away++;
    return away;
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

  /** Restores the sessions of these virtual hosts from the store. Called once, after the definitions are recovered. */
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
      // Delete the queues of groups whose members' sessions are gone.
      for (const queue of [...host.queues.values()]) {
        if (!isShared(queue)) continue;
        if (groups.of(queue).members.size === 0) groups.delete(host, queue);
      }
      for (const { id } of host.queues.values()) queueIds.add(id);
    }
    for (const key of records.keys()) definitions.remove('session', key.split('\u0000'));
    for (const { name, value } of [...definitions.all('retained-selection')]) {
      const [vhost, clientId, filter] = name as [string, string, string];
      const known = this.get(vhost, clientId)?.recoverSelection(filter, value) === true;
      if (!known) definitions.remove('retained-selection', name);
    }
    const unknownIds = new Set<number>();
    for (const { sessionId, packetId, state, queueId, seq } of packets.all()) {
      const session = byId.get(sessionId);
      if (session === undefined) unknownIds.add(sessionId);
      else if (state === 'received') session.recoverReceived(packetId);
      // If the entry's queue is gone, the message cannot be sent again: only the release of the id is left to do.
      else session.recoverSent(packetId, state === 'released' || !queueIds.has(queueId), queueId, seq);
    }
    for (const sessionId of unknownIds) packets.drop(sessionId);
  }
}

function keyOf(vhost: string, clientId: string): string {
  return `${vhost}\u0000${clientId}`;
}
