// Which connection holds which client id, and the persistent sessions that this process has seen. One client id is one
// session, and one connection at a time holds it: whoever comes later takes it over (MQTT 3.1.1 §3.1.4).

import type { MqttSession } from './session.ts';

/** A connection that holds a client id. */
export interface Holder {
  /** Another connection takes the client id: let go of the session at once and close. Resolves when that is done. */
  takenOver(): Promise<void>;
}

export class Sessions {
  private readonly holders: Map<string, Holder>;
  private readonly persistent: Map<string, MqttSession>;

  constructor() {
    this.holders = new Map();
    this.persistent = new Map();
  }

  /** Gives the client id to `holder`. Resolves when the connection that had it is out of its way. */
  async claim(vhost: string, clientId: string, holder: Holder): Promise<void> {
    const key = keyOf(vhost, clientId);
    const before = this.holders.get(key);
    this.holders.set(key, holder);
    await before?.takenOver();
  }

  /** The holder is gone. */
  release(vhost: string, clientId: string, holder: Holder): void {
    const key = keyOf(vhost, clientId);
    if (this.holders.get(key) === holder) this.holders.delete(key);
  }

  /** The persistent session of a client id, as far as this process knows it. */
  get(vhost: string, clientId: string): MqttSession | null {
    return this.persistent.get(keyOf(vhost, clientId)) ?? null;
  }

  keep(vhost: string, session: MqttSession): void {
    this.persistent.set(keyOf(vhost, session.clientId), session);
  }

  forget(vhost: string, clientId: string): void {
    this.persistent.delete(keyOf(vhost, clientId));
  }
}

function keyOf(vhost: string, clientId: string): string {
  return `${vhost}\u0000${clientId}`;
}
