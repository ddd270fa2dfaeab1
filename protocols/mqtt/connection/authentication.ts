// Enhanced authentication (MQTT 5 §4.12): CONNECT names a method, and AUTH packets carry its messages until the client is
// authenticated or refused. The core's port to the authenticator (src/auth/) implements the methods. Used by handshake.ts.

import type { AuthenticationExchange, Identity } from '../../../src/core/ports/authorization.ts';
import type { AccessControl } from '../../../src/core/session/access-control.ts';
import type { AuthRequest } from '../packet/control.ts';
import { ConnectRefused, MalformedPacket } from '../packet/errors.ts';
import { REASON } from '../packet/reason-codes.ts';

const NO_DATA = Buffer.alloc(0);

/** One authentication exchange. */
export class Authentication {
  readonly method: string;
  private readonly exchange: AuthenticationExchange;

  /** Throws ConnectRefused for an unknown method. */
  constructor(method: string, access: AccessControl, loopback: boolean) {
    const exchange = access.exchange(method, loopback);
    if (exchange === null) {
      throw new ConnectRefused(REASON.badAuthenticationMethod, `authentication method '${method}' is not known`);
    }
    this.method = method;
    this.exchange = exchange;
  }

  /** Passes the client's data on and resolves to the answer, the last one with an identity. Rejects with ConnectRefused. */
  async step(data: Buffer | null): Promise<{ readonly data: Buffer; readonly identity: Identity | null }> {
    const step = await this.exchange.step(data ?? NO_DATA);
    if ('refused' in step) throw new ConnectRefused(REASON.notAuthorized, `login refused: ${step.refused}`);
    return step;
  }

  /** Checks method and reason code of an AUTH packet [MQTT-4.12.0-2] [MQTT-4.12.0-5]. Throws MalformedPacket. */
  require({ method, reason }: AuthRequest, expected: number): void {
    if (method !== this.method) {
      throw new MalformedPacket('an AUTH with another authentication method', REASON.protocolError);
    }
    if (reason !== expected) throw new MalformedPacket(`an AUTH with reason code ${reason} here`, REASON.protocolError);
  }
}
