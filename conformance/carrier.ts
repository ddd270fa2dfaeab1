// What carries a protocol's bytes: a TCP connection as it is, or (websocket.ts) the messages of a WebSocket.

import { connect, type Socket } from 'node:net';
import type { CheckContext } from './check.ts';

/** Told what comes. `failed`: the peer broke the rules of the carrier itself. */
export interface CarrierSink {
  data(bytes: Buffer): void;
  ended(): void;
  failed(error: Error): void;
}

export interface Carrier {
  readonly socket: Socket;
  /** Bytes of the protocol; one message where the carrier has messages. */
  send(bytes: Buffer): void;
  attach(sink: CarrierSink): void;
}

/** A connection that goes away with the check. */
export async function dial(context: CheckContext, host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  context.after(() => {
    socket.destroy();
  });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  // A reset is an end as well: malformed bytes may be answered by either.
  socket.on('error', () => {});
  return socket;
}

export class TcpCarrier implements Carrier {
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  attach(sink: CarrierSink): void {
    this.socket.on('data', (chunk: Buffer) => sink.data(chunk));
    this.socket.on('end', () => sink.ended());
    this.socket.on('close', () => sink.ended());
  }
}
