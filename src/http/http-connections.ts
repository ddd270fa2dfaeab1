// The connections of the HTTP servers, bounded in number. At the bound a new connection takes the place of one that waits
// for its client: it has sent nothing, or half a request, does not read its answer, or is kept alive. It is taken from
// the address that has the most, and there the one that was quiet the longest, so that whoever opens few connections,
// such as a health check, keeps them until they are answered. A connection whose request is being answered is not closed.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';
import { addressGroup } from '../net/peer-address.ts';

/** Requests that a client may send ahead of their answers. Each costs memory as long as the client reads none. */
const MOST_REQUESTS_AHEAD = 4;

/** One connection. */
interface Client {
  readonly name: string;
  readonly socket: Socket;
  readonly group: string;
  /** The response that is not sent yet, the last of them; null: none. */
  response: ServerResponse | null;
  request: IncomingMessage | null;
}

export class HttpConnections {
  private readonly most: number;
  private readonly refused: () => void;
  private readonly clients: Map<string, Client>;
  /** By address, the client that was quiet the longest first. */
  private readonly groups: Map<string, Set<Client>>;
  /** Responses that are not sent yet, by the socket on which their requests came. */
  private readonly ahead: WeakMap<Socket, number>;

  /** `refused` is called for each connection that is closed because of a bound. */
  constructor(most: number, refused: () => void) {
    this.most = most;
    this.refused = refused;
    this.clients = new Map();
    this.groups = new Map();
    this.ahead = new WeakMap();
  }

  get size(): number {
    return this.clients.size;
  }

  /** Watches a server for HTTP, or for HTTP over TLS (whose requests come over another socket object). */
  watch(server: Server): void {
    server.on('connection', (socket: Socket) => this.opened(socket));
  }

  /** Before a request is handled. False: it is not to be handled; its connection was closed. */
  admit(request: IncomingMessage, response: ServerResponse): boolean {
    const { socket } = request;
    if (socket.destroyed) return false;
    const ahead = (this.ahead.get(socket) ?? 0) + 1;
    if (ahead > MOST_REQUESTS_AHEAD) {
      this.refused();
      socket.destroy();
      return false;
    }
    this.ahead.set(socket, ahead);
    const client = this.clients.get(nameOf(socket));
    if (client !== undefined) {
      client.request = request;
      client.response = response;
      this.wasActive(client);
    }
    response.once('close', () => {
      this.ahead.set(socket, this.ahead.get(socket)! - 1);
      if (client?.response !== response) return;
      client.request = null;
      client.response = null;
      this.wasActive(client);
    });
    return true;
  }

  private opened(socket: Socket): void {
    if (this.size >= this.most) {
      this.refused();
      const quiet = this.quietest();
      if (quiet === null) {
        socket.destroy();
        return;
      }
      this.forget(quiet);
      quiet.socket.destroy();
    }
    const name = nameOf(socket);
    const client: Client = {
      name,
      socket,
      group: addressGroup(socket.remoteAddress ?? ''),
      response: null,
      request: null,
    };
    this.clients.set(name, client);
    let group = this.groups.get(client.group);
    if (group === undefined) {
      group = new Set();
      this.groups.set(client.group, group);
    }
    group.add(client);
    socket.once('close', () => this.forget(client));
  }

  /** Of the address with the most connections, the one that waits the longest for its client; null: none does. */
  private quietest(): Client | null {
    const groups = [...this.groups.values()].sort((a, b) => b.size - a.size);
    for (const group of groups) {
      for (const client of group) if (waitsForClient(client)) return client;
    }
    return null;
  }

  private wasActive(client: Client): void {
    const group = this.groups.get(client.group);
    if (group?.delete(client) === true) group.add(client);
  }

  private forget(client: Client): void {
    if (this.clients.get(client.name) === client) this.clients.delete(client.name);
    const group = this.groups.get(client.group);
    group?.delete(client);
    if (group?.size === 0) this.groups.delete(client.group);
  }
}

/** Whether the broker has nothing to do for a connection until its client reads or sends. */
function waitsForClient({ request, response }: Client): boolean {
  return request === null || response === null || response.writableEnded || !request.complete;
}

/** A TLS socket and the socket below it have the same ends. */
function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localPort}`;
}
