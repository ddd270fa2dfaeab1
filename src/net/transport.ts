// What a front-end sees of a connection, whatever carries it (TCP, TLS, WebSocket), and what the carrier wants from
// the front-end. The implementations are socket-transport.ts and websocket-transport.ts.

import type { HttpCredentials } from './http-credentials.ts';
import type { MessageKind } from './message-kind.ts';
import type { Outbox } from './outbox.ts';

/** Who the peer is by its verified TLS certificate. */
export interface ClientCertificate {
  /** The subject's CN; empty where it has none. */
  readonly commonName: string;
  /** The whole subject, most specific first: `CN=device-7,O=Plant`. */
  readonly subject: string;
  /** As Node gives it: `DNS:a.example, IP Address:10.0.0.1`; empty where there is none. */
  readonly alternativeNames: string;
  readonly fingerprint256: string;
}

export interface Transport {
  readonly outbox: Outbox;
  /** Address and port of the peer: `127.0.0.1:4711`, `[::1]:4711`. */
  readonly peer: string;
  readonly local: string;
  /** Whether the peer is on this machine, by its address. */
  readonly loopback: boolean;
  /** What the peer's address counts as where a limit is for each (peer-address.ts). */
  readonly address: string;
  /** Whether the connection has ended, as far as is known: the end of a paused connection is not noticed. */
  readonly gone: boolean;
  readonly secure: boolean;
  /** Null without TLS, and where the client gave none that our CA signed. */
  readonly clientCertificate: ClientCertificate | null;
  /** Who the WebSocket's upgrade says it is, where the configuration lets it say so; else null. */
  readonly httpCredentials: HttpCredentials | null;
  /** The WebSocket subprotocol that was agreed on; empty where there is none. */
  readonly subprotocol: string;
  /** Kind of the WebSocket messages that go out from now on. Means nothing to a byte stream. */
  messageKind: MessageKind;
  /** Kind of the WebSocket message that the last `data` came from. */
  readonly lastMessageKind: MessageKind;
  /** Whether input is awaited: not paused. Where it is not, the peer's silence says nothing. */
  readonly reading: boolean;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** No `data` is called until `resume`. Effective at once, also within `data`. Called by the read gate only. */
  pause(): void;
  /** `data` may be called again, from a later tick of the event loop. */
  resume(): void;
  /** Flushes, says goodbye, and is gone after the linger time at the latest. No `data` any more. */
  end(): void;
  /** Gone now; what was not sent is lost. `closed` follows. */
  destroy(): void;
  /**
   * A fault of ours, perhaps in the middle of a frame: the connection ends. What was not sent is dropped, and where what
   * was sent ends with a whole frame the client is told (`sayFault`). `closed` follows, from a later tick.
   */
  fault(): void;
}

export interface TransportHandler {
  /**
   * Input. The chunk belongs to the handler: it may keep a reference and may write to it, but a small remainder should
   * be copied, since a chunk can be 64 KiB. Throwing ends this connection (`fault`) and only this one.
   */
  data(chunk: Buffer): void;
  /** The outbox became writable again. */
  drained(): void;
  /** Writes to the outbox what the client is told of a fault of ours, whole frames. False: nothing can be told. */
  sayFault(): boolean;
  /** Called exactly once, last. The error is null where the connection was closed in order. */
  closed(error: Error | null): void;
}

/** Makes the handler of a new connection. Throwing refuses the connection. */
export type Accept = (transport: Transport) => TransportHandler;
