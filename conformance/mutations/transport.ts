// What a proxy's connections are made of, on both of its sides: TCP, or TLS with a client's certificate.

import { connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { Endpoint, TlsAddress } from '../check.ts';

export interface Transport {
  createServer(accept: (client: Socket) => void): Server;
  /** To the broker, for a client that is there. */
  connect(to: Endpoint, client: Socket): Socket;
}

export const TCP: Transport = {
  createServer: (accept) => createServer({ noDelay: true }, accept),
  connect: ({ host, port }) => connect({ host, port, noDelay: true }),
};

/** Shows the broker the certificate where the client has shown one. */
export function tlsTransport({ ca, client: { certificate: cert, key } }: TlsAddress): Transport {
  return {
    createServer: (accept) => createTlsServer({ ca, cert, key, requestCert: true, rejectUnauthorized: false }, accept),
    connect({ host, port }, client) {
      const shown = (client as TLSSocket).authorized;
      return tlsConnect({ host, port, ca, ...(shown ? { cert, key } : {}) });
    },
  };
}
