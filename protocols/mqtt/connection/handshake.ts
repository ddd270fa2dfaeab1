// The packets before CONNACK: CONNECT, and the AUTH packets of enhanced authentication (MQTT 5 §4.12); also the AUTH packets
// of a later re-authentication. An error is answered with a CONNACK, if the version has a code for it, and the connection
// closes. Called by connection.ts.

import { BrokerError } from '../../../src/core/errors.ts';
import type { Identity } from '../../../src/core/ports/authorization.ts';
import { countLimit } from '../../../src/core/ports/limit-hits.ts';
import type { MqttContext } from '../context.ts';
import { auth, type ConnackProperties } from '../packet/answers.ts';
import type { ConnectRequest } from '../packet/connect-packet.ts';
import type { AuthRequest } from '../packet/control.ts';
import { ConnectRefused, loginReasonOf, MalformedPacket } from '../packet/errors.ts';
import { NEXT, type Next } from '../packet/framer.ts';
import { LARGEST_PACKET_BYTES, LEVEL, PACKET } from '../packet/packet-types.ts';
import { REASON, type Reason } from '../packet/reason-codes.ts';
import { Authentication } from './authentication.ts';
import { type OpenedSession, type OpeningConnection, openSession } from './opening.ts';

/** What the handshake needs of its connection. */
export interface HandshakeConnection extends OpeningConnection {
  readonly level: number;
  /** The protocol level is known: from now on a refusal can be answered. */
  announced(level: number): void;
  /** The CONNECT is well-formed: adopts its limits (receive maximum, maximum packet size, aliases). */
  accepts(request: ConnectRequest): void;
  /** The client is accepted: sends CONNACK. `proof` is the last data of enhanced authentication. */
  open(request: ConnectRequest, opened: OpenedSession, proof: Buffer | null): void;
  /** Sends a CONNACK with a failure and closes. */
  refuse(reason: Reason, why: string): void;
  /** Pauses input until `work` is done. */
  suspend(work: Promise<void>): Next;
  /** Writes a packet. Throws MalformedPacket if it is over the client's maximum packet size. */
  send(packet: Buffer): void;
}

export class Handshake {
  private readonly connection: HandshakeConnection;
  private readonly context: MqttContext;
  /** The authentication method; null: user name and password. */
  private method: string | null;
  /** The CONNECT while its authentication exchange runs. */
  private request: ConnectRequest | null;
  /** The authentication exchange in progress. */
  private exchange: Authentication | null;

  constructor(connection: HandshakeConnection, context: MqttContext) {
    this.connection = connection;
    this.context = context;
    this.method = null;
    this.request = null;
    this.exchange = null;
  }

  /** A packet before CONNACK: first CONNECT, then AUTH. Throws MalformedPacket if the version has no answer for the error. */
  packet(buffer: Buffer, start: number, body: number, end: number): Next {
    try {
      if (this.request !== null) return this.connection.suspend(this.proceed(buffer, start, body, end));
      requireConnect(buffer[start]!);
      this.connection.announced(levelOf(buffer, body, end));
      return this.connection.suspend(this.begin(this.context.codecs.connects.read(buffer, body, end)));
    } catch (error) {
      const answered = error instanceof MalformedPacket && this.connection.level === LEVEL.v5;
      if (!answered && !(error instanceof ConnectRefused)) throw error;
      countLimit(this.context.meters.limitHits, error);
      this.connection.refuse(error.reason, error.message);
      return NEXT.stop;
    }
  }

  /** An AUTH packet after CONNACK starts or continues a re-authentication (§4.12.1). Rejects to close the connection. */
  async reauthenticate(request: AuthRequest): Promise<void> {
    const { connection, method } = this;
    if (method === null) throw new MalformedPacket('AUTH of a client that named no method', REASON.protocolError);
    const begins = this.exchange === null;
    const exchange = (this.exchange ??= this.authentication(method));
    exchange.require(request, begins ? REASON.reAuthenticate : REASON.continueAuthentication);
    const { data, identity } = await exchange.step(request.data);
    if (connection.isClosed()) return;
    if (identity !== null) {
      this.exchange = null;
      if (identity.user !== connection.core.identity.user) {
        throw new ConnectRefused(REASON.notAuthorized, 'the client authenticated again as somebody else');
      }
    }
    this.context.turn.begin();
    connection.send(auth(identity === null ? REASON.continueAuthentication : REASON.success, method, data));
  }

  /** The properties of CONNACK (§3.2.2.3). `serverKeepAlive` is in seconds; null: as the client asked. */
  connackProperties(
    request: ConnectRequest,
    { assigned, expirySeconds }: OpenedSession,
    clientId: string,
    serverKeepAlive: number | null,
    proof: Buffer | null,
  ): ConnackProperties {
    const { limits } = this.context;
    const properties: ConnackProperties = {
      receiveMaximum: limits.publishMaximum,
      topicAliasMaximum: limits.topicAliases,
    };
    if (limits.packetBytes < LARGEST_PACKET_BYTES - 5) properties.maximumPacketSize = limits.packetBytes;
    if (expirySeconds !== request.expirySeconds) properties.sessionExpiryInterval = expirySeconds;
    if (assigned !== null) properties.assignedClientIdentifier = assigned;
    if (serverKeepAlive !== null) properties.serverKeepAlive = serverKeepAlive;
    if (request.wantsResponseInformation) {
      const topic = `responses/${encodeURIComponent(clientId)}`;
      if (topic.length <= limits.topicBytes) properties.responseInformation = topic;
    }
    if (this.method !== null) properties.authenticationMethod = this.method;
    if (proof !== null && proof.length > 0) properties.authenticationData = proof;
    return properties;
  }

  private begin(request: ConnectRequest): Promise<void> {
    const { authenticationMethod: method } = request;
    this.connection.accepts(request);
    if (method === null) return this.connect(request, null, null);
    this.method = method;
    this.exchange = this.authentication(method);
    this.request = request;
    return this.authenticate(request.authenticationData);
  }

  private proceed(buffer: Buffer, start: number, body: number, end: number): Promise<void> {
    if (buffer[start]! >> 4 !== PACKET.auth) {
      throw new MalformedPacket('a packet before CONNACK that is no AUTH', REASON.protocolError);
    }
    const packet = this.context.codecs.control.auth(buffer, start, body, end);
    this.exchange!.require(packet, REASON.continueAuthentication);
    return this.authenticate(packet.data);
  }

  private async authenticate(data: Buffer | null): Promise<void> {
    const { connection } = this;
    try {
      const step = await this.exchange!.step(data);
      if (connection.isClosed()) return;
      if (step.identity !== null) {
        this.exchange = null;
        await this.connect(this.request!, step.identity, step.data);
        return;
      }
      this.context.turn.begin();
      connection.send(auth(REASON.continueAuthentication, this.method!, step.data));
    } catch (error) {
      if (!(error instanceof ConnectRefused || error instanceof MalformedPacket)) throw error;
      connection.refuse(error.reason, error.message);
    }
  }

  private async connect(request: ConnectRequest, identity: Identity | null, proof: Buffer | null): Promise<void> {
    const { connection } = this;
    try {
      const opened = await openSession(request, identity, connection, this.context);
      this.request = null;
      if (opened !== null && !connection.isClosed()) connection.open(request, opened, proof);
    } catch (error) {
      countLimit(this.context.meters.limitHits, error);
      if (error instanceof ConnectRefused) connection.refuse(error.reason, error.message);
      else if (error instanceof BrokerError) connection.refuse(loginReasonOf(error.kind), error.message);
      else throw error;
    }
  }

  private authentication(method: string): Authentication {
    return new Authentication(method, this.context.access, this.connection.transport.loopback);
  }
}

/** Throws MalformedPacket if a packet's first byte is not that of CONNECT. */
export function requireConnect(firstByte: number): void {
  if (firstByte >> 4 !== PACKET.connect) throw new MalformedPacket('the first packet is not CONNECT [MQTT-3.1.0-1]');
  if ((firstByte & 15) !== 0) throw new MalformedPacket('reserved flags of CONNECT [MQTT-2.2.2-2]');
}

/**
 * The protocol level of a CONNECT that was not validated yet. An unknown version counts as 3.1.1, whose CONNACK all
 * clients understand.
 */
function levelOf(buffer: Buffer, body: number, end: number): number {
  if (end - body < 3) return LEVEL.v3_1_1;
  const at = body + 2 + buffer.readUInt16BE(body);
  if (at >= end) return LEVEL.v3_1_1;
  // Without the bit that marks a bridge.
  const level = buffer[at]! & 0x7f;
  return level === LEVEL.v3_1 || (level === LEVEL.v5 && at === body + 6) ? level : LEVEL.v3_1_1;
}
