// The registry of client connections of all protocols: the management API lists them, a graceful stop closes them, and
// backpressure holds those that publish.

import type { FieldTable } from '../message/field-table.ts';

/** What the management API and the log show of a connection. Never contains a secret. */
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
  /** MQTT client id, STOMP session, AMQP connection name; null if there is none. */
  readonly name: string | null;
}

export interface ClientConnection {
  readonly id: number;
  info(): ConnectionInfo;
  /**
   * Publishing is held back: a connection that publishes stops reading its socket. With `alarm` (memory, full disk) it
   * also notifies the client if the protocol can; without, it is flow control that ends within milliseconds. May be
   * called again while held, when flow control becomes an alarm.
   */
  block(reason: string, alarm: boolean): void;
  unblock(): void;
  /** The broker stops, or an operator closes the connection: tell the client why, flush, close. */
  shutdown(reason: string): void;
}

/** Why publishing is held back. */
export interface Hold {
  readonly reason: string;
  readonly alarm: boolean;
  /** Whether the disk is the reason: nothing that writes more should begin. */
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

  /** Why publishing is held back now, or null. */
  get held(): Hold | null {
    return this.current;
  }

  /** Adds a connection. While publishing is held back it is held at once. */
  add(connection: ClientConnection): void {
    this.connections.set(connection.id, connection);
    if (this.current !== null) connection.block(this.current.reason, this.current.alarm);
  }

  remove(connection: ClientConnection): void {
    this.connections.delete(connection.id);
  }

  /** Holds or releases (null) all connections that publish. */
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
