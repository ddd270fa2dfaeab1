// Carries AMQP in binary WebSocket messages, as a byte stream like that of a socket.

import { Duplex } from 'node:stream';
import type { CarrierSink } from '../../carrier.ts';
import type { CheckContext } from '../../check.ts';
import { type UpgradeOptions, WebSocketClient } from '../../websocket.ts';

/** The subprotocol that browsers offer. */
const SUBPROTOCOL = 'amqp';

export class WebSocketStream extends Duplex implements CarrierSink {
  readonly client: WebSocketClient;

  constructor(client: WebSocketClient) {
    super({ emitClose: true });
    this.client = client;
    client.attach(this);
  }

  /** Closed when the check ends. */
  static async open(context: CheckContext, options: UpgradeOptions = {}): Promise<WebSocketStream> {
    return new WebSocketStream(await WebSocketClient.open(context, { subprotocols: [SUBPROTOCOL], ...options }));
  }

  data(): void {
    for (const { kind, payload } of this.client.messages.splice(0)) {
      if (kind === 'binary') this.push(payload);
      else this.failed(new Error('a text message from a broker of AMQP'));
    }
  }

  ended(): void {
    if (!this.readableEnded && !this.destroyed) this.push(null);
  }

  failed(error: Error): void {
    this.emit('violation', error);
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.client.message('binary', bytes);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.client.socket.destroy();
    done(error);
  }
}
