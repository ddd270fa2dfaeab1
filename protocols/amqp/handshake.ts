// The beginning of a connection, up to connection.open-ok: protocol header, start, login, tune, open (§2.2.4). A step
// may be taken once and in order; whatever else the client sends meanwhile is a violation. Its connection carries
// frames and errors for it, and goes on without it once `method` has returned a session.

import { BrokerError } from '../../src/core/errors.ts';
import type { FieldTable } from '../../src/core/message/field-table.ts';
import { ownBytes } from '../../src/core/message/own-bytes.ts';
import type { Identity } from '../../src/core/ports/authorization.ts';
import type { Session } from '../../src/core/session/session.ts';
import { certificateUser } from '../../src/net/certificate-login.ts';
import { ticksFor } from '../../src/net/ticker.ts';
import type { Transport } from '../../src/net/transport.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import type { AmqpContext } from './context.ts';
import { decodeTable } from './field-table-codec.ts';
import { connectionOpenOk, connectionStart, connectionTune, PROTOCOL_HEADER } from './method-frames.ts';
import { METHOD } from './method-ids.ts';
import { readConnectionOpen, readStartOk, readTuneOk } from './methods.ts';
import type { Reader } from './reader.ts';
import { MECHANISM, mechanismsFor, readLogin } from './sasl.ts';
import {
  type ClientCapabilities,
  clientCapabilities,
  connectionName,
  NO_CAPABILITIES,
  serverProperties,
} from './server-properties.ts';
import { checkTuning, FRAME_MIN_BYTES } from './tuning.ts';
import { unknownMethod } from './unknown-method.ts';

/** What the client has to send next. */
const STEP = { header: 0, startOk: 1, tuneOk: 2, open: 3, done: 4 } as const;

const NO_PROPERTIES = Buffer.alloc(0);

/** Perl's clients and others send the second form for 0-9-1; RabbitMQ accepts both. */
const ACCEPTED_HEADERS = [PROTOCOL_HEADER, Buffer.from([0x41, 0x4d, 0x51, 0x50, 1, 1, 0, 9])];

/** What a handshake needs of its connection. */
export interface HandshakeConnection {
  send(frame: Buffer): void;
  /** Nothing more is parsed until `work` is done. */
  wait(work: Promise<void>, onError: (error: unknown) => void): void;
  /** Ends the connection with an error that the client is told. */
  fail(error: unknown, method: number): void;
  /** Ends it without a word. */
  end(): void;
  /** Client and broker have agreed on their limits. */
  tuned(channelMax: number, frameMaxBytes: number, heartbeatSeconds: number): void;
}

export class Handshake {
  /** Who the client says it is. */
  user: string;
  vhost: string;
  /** The name that the client gives the connection, or null. */
  name: string | null;
  capabilities: ClientCapabilities;
  /** As the client sent them: decoded they would take many times their bytes. */
  private properties: Buffer;
  private readonly connection: HandshakeConnection;
  private readonly context: AmqpContext;
  private readonly transport: Transport;
  private step: (typeof STEP)[keyof typeof STEP];
  private headerBytes: number;
  /** The protocol headers that the client may be sending. */
  private headers: readonly Buffer[];
  /** Who it is. */
  private identity: Identity | null;
  private ticks: number;

  constructor(connection: HandshakeConnection, context: AmqpContext, transport: Transport) {
    this.user = '';
    this.vhost = '';
    this.name = null;
    this.properties = NO_PROPERTIES;
    this.capabilities = NO_CAPABILITIES;
    this.connection = connection;
    this.context = context;
    this.transport = transport;
    this.step = STEP.header;
    this.headerBytes = 0;
    this.headers = ACCEPTED_HEADERS;
    this.identity = null;
    this.ticks = 0;
  }

  get clientProperties(): FieldTable {
    return decodeTable(this.properties, 0, this.properties.length);
  }

  /** Bytes of the client's properties. */
  get propertyBytes(): number {
    return this.properties.length;
  }

  /** Whether frames are spoken by now. */
  get greeted(): boolean {
    return this.step !== STEP.header;
  }

  /**
   * §4.2.2: `AMQP`, 0, and the version 0-9-1, or as 0-8 and 0-9 wrote it: `AMQP`, 1, 1, and the version. Returns what
   * follows it, or null.
   */
  header(chunk: Buffer): Buffer | null {
    let at = 0;
    while (at < chunk.length && this.headerBytes < PROTOCOL_HEADER.length) {
      const byte = chunk[at++];
      this.headers = this.headers.filter((header) => header[this.headerBytes] === byte);
      this.headerBytes++;
      if (this.headers.length === 0) {
        this.refused('it does not speak AMQP 0-9-1');
        this.connection.send(PROTOCOL_HEADER);
        this.connection.end();
        return null;
      }
    }
    if (this.headerBytes < PROTOCOL_HEADER.length) return null;
    this.step = STEP.startOk;
    const mechanisms = mechanismsFor(this.certificateUser());
    this.connection.send(connectionStart(serverProperties(this.context.identity), mechanisms));
    return chunk.subarray(at);
  }

  /** A method on channel 0. The session, once the connection is open. */
  method(method: number, reader: Reader): Session | null {
    switch (this.step) {
      case STEP.startOk:
        if (method !== METHOD.connectionStartOk) throw unknownMethod(method);
        this.startOk(reader);
        return null;
      case STEP.tuneOk:
        if (method !== METHOD.connectionTuneOk) throw unknownMethod(method);
        this.tuneOk(reader);
        return null;
      case STEP.open:
        if (method !== METHOD.connectionOpen) throw unknownMethod(method);
        return this.open(readConnectionOpen(reader).vhost);
      default:
        throw unknownMethod(method);
    }
  }

  /** True once the handshake has taken too long. */
  tick(): boolean {
    if (++this.ticks <= ticksFor(this.context.unauthenticatedMs)) return false;
    this.context.meters.limitHits['limits.unauthenticatedMs']++;
    this.refused('the handshake took too long');
    return true;
  }

  private startOk(reader: Reader): void {
    const { clientProperties, mechanism, response } = readStartOk(reader);
    this.properties = ownBytes(clientProperties);
    this.capabilities = clientCapabilities(this.clientProperties);
    this.name = connectionName(this.clientProperties);
    const { limits } = this.context;
    const login = this.login(mechanism, response).then((identity) => {
      this.identity = identity;
      this.step = STEP.tuneOk;
      this.connection.send(connectionTune(limits.channelMax, limits.frameMaxBytes, limits.heartbeatSeconds));
    });
    this.connection.wait(login, (error) => this.loginFailed(error, mechanism));
  }

  private login(mechanism: string, response: Buffer): Promise<Identity> {
    const { access } = this.context;
    const certified = this.certificateUser();
    if (mechanism === MECHANISM.external && certified !== null) {
      this.user = certified;
      return access.identifyCertified(certified, this.transport.loopback);
    }
    const { user, password } = readLogin(mechanism, response);
    this.user = user;
    return access.identify(user, password, this.transport);
  }

  private certificateUser(): string | null {
    return certificateUser(this.transport.clientCertificate, this.context.limits.certificateLogin);
  }

  private tuneOk(reader: Reader): void {
    const { channelMax, frameMax, heartbeatSeconds } = readTuneOk(reader);
    const { limits } = this.context;
    checkTuning('frame_max', frameMax, limits.frameMaxBytes, FRAME_MIN_BYTES);
    checkTuning('channel_max', channelMax, limits.channelMax, 1);
    this.connection.tuned(channelMax, frameMax, heartbeatSeconds);
    this.step = STEP.open;
  }

  private open(vhost: string): Session {
    this.vhost = vhost;
    try {
      const session = this.context.access.enter(this.identity!, vhost);
      this.step = STEP.done;
      this.connection.send(connectionOpenOk());
      return session;
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      this.refused(error.message);
      throw new AmqpError(REPLY.notAllowed, error.message);
    }
  }

  private loginFailed(error: unknown, mechanism: string): void {
    if (!(error instanceof BrokerError)) {
      this.connection.fail(error, METHOD.connectionStartOk);
      return;
    }
    this.refused(error.message);
    if (!this.capabilities.authenticationFailureClose) {
      this.connection.end();
      return;
    }
    const text = `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`;
    this.connection.fail(new AmqpError(REPLY.accessRefused, text), 0);
  }

  private refused(why: string): void {
    const { log } = this.context;
    log.warn({ peer: this.transport.peer, user: this.user, reason: why }, 'AMQP connection refused');
  }
}
