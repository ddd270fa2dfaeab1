// The transport of a protocol's bytes: a TCP connection, or the messages of a WebSocket (websocket.ts).

import { connect, type Socket } from 'node:net';
import type { CheckContext } from './check.ts';

/** Gets the received bytes. `failed`: the peer violated the rules of the transport. */
export interface CarrierSink {
  data(bytes: Buffer): void;
  ended(): void;
  failed(error: Error): void;
}

export interface Carrier {
  readonly socket: Socket;
  /** Sends bytes of the protocol, as one message if the transport has messages. */
  send(bytes: Buffer): void;
  attach(sink: CarrierSink): void;
}

/** A TCP connection that is closed when the check ends. */
export async function dial(context: CheckContext, host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  context.after(() => {
    socket.destroy();
  });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  // A broker may answer malformed bytes with a reset, which counts as an end.
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
