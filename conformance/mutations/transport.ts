// The transport of a proxy's connections on both sides: TCP, or TLS with a client certificate.

import { connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { Endpoint, TlsAddress } from '../check.ts';

export interface Transport {
  createServer(accept: (client: Socket) => void): Server;
  /** Connects to the broker for a connected client. */
  connect(to: Endpoint, client: Socket): Socket;
}

export const TCP: Transport = {
  createServer: (accept) => createServer({ noDelay: true }, accept),
  connect: ({ host, port }) => connect({ host, port, noDelay: true }),
};

/** Presents the certificate to the broker if the client has presented one. */
export function tlsTransport({ ca, client: { certificate: cert, key } }: TlsAddress): Transport {
  return {
    createServer: (accept) => createTlsServer({ ca, cert, key, requestCert: true, rejectUnauthorized: false }, accept),
    connect({ host, port }, client) {
      const shown = (client as TLSSocket).authorized;
      return tlsConnect({ host, port, ca, ...(shown ? { cert, key } : {}) });
    },
  };
}
