// The registry of client connections, whatever their protocol: what the management API lists, what a graceful stop
// tells, and whom backpressure holds.

import type { FieldTable } from '../message/field-table.ts';

/** What the management API and the log say of a connection. Never holds a secret. */
export interface ConnectionInfo {
  /** `AMQP 0-9-1`, `MQTT 3.1.1`, `STOMP 1.2`, … */
  readonly protocol: string;
  readonly user: string | null;
  readonly vhost: string | null;
  /** Address and port of the peer. */
  readonly peer: string;
  readonly secure: boolean;
  /** Milliseconds since the epoch. */
  readonly connectedAt: number;
  readonly channels: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** `running`, `blocked`, `starting`, `closing`. */
  readonly state: string;
  readonly clientProperties: FieldTable;
  /** MQTT client id, STOMP session, AMQP connection name; null where there is none. */
  readonly name: string | null;
}

export interface ClientConnection {
  readonly id: number;
  info(): ConnectionInfo;
  /**
   * Publishing is held: a connection that publishes stops reading its socket. With `alarm` (memory, full disk) it also
   * tells the client where the protocol can; without, it is flow control that ends in milliseconds and is not worth a
   * word. May be called again while held, when flow control turns into an alarm.
   */
  block(reason: string, alarm: boolean): void;
  unblock(): void;
  /** The broker is stopping or an operator asked for it: tell the client why, flush, close. */
  shutdown(reason: string): void;
}

/** Why publishing is held. */
export interface Hold {
  readonly reason: string;
  readonly alarm: boolean;
  /** Whether it is for the disk's sake: nothing is to be begun that would write more. */
  readonly disk: boolean;
}

export class ClientConnections {
  private readonly connections: Map<number, ClientConnection>;
  private lastId: number;
  private current: Hold | null;

  constructor() {
    this.connections = new Map();
    this.lastId = 0;
    this.current = null;
  }

  nextId(): number {
    return ++this.lastId;
  }

  get size(): number {
    return this.connections.size;
  }

  /** Why publishing is held now, or null. */
  get held(): Hold | null {
    return this.current;
  }

  /** A connection that joins while publishing is held is held at once. */
  add(connection: ClientConnection): void {
    this.connections.set(connection.id, connection);
    if (this.current !== null) connection.block(this.current.reason, this.current.alarm);
  }

  remove(connection: ClientConnection): void {
    this.connections.delete(connection.id);
  }

  /** Holds or releases (null) everybody who publishes. */
  hold(hold: Hold | null): void {
    this.current = hold;
    for (const connection of this.connections.values()) {
      if (hold === null) connection.unblock();
      else connection.block(hold.reason, hold.alarm);
    }
  }

  [Symbol.iterator](): IterableIterator<ClientConnection> {
    return this.connections.values();
  }
}
