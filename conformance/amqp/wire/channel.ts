// One channel of a connection, with helpers for checks: a call and its answer, a publish with content, an expected
// close, and an expected silence.

import assert from 'node:assert/strict';
import type { AmqpConnection, Received } from './connection.ts';
import type { Args, Call, MethodName, Properties } from './methods.ts';

export interface Publication {
  readonly exchange?: string;
  readonly routingKey?: string;
  readonly body?: string | Buffer;
  readonly properties?: Properties;
  readonly mandatory?: boolean;
  readonly immediate?: boolean;
}

export class AmqpChannel {
  readonly connection: AmqpConnection;
  readonly number: number;

  constructor(connection: AmqpConnection, number: number) {
    this.connection = connection;
    this.number = number;
  }

  static async open(connection: AmqpConnection, number: number): Promise<AmqpChannel> {
    await connection.call(number, 'channel.open');
    return new AmqpChannel(connection, number);
  }

  send<N extends MethodName>(name: N, args: Partial<Args<N>> = {}): void {
    this.connection.send(this.number, name, args);
  }

  call<N extends Call>(name: N, args: Partial<Args<N>> = {}): Promise<Args<`${N}-ok`>> {
    return this.connection.call(this.number, name, args);
  }

  receive(): Promise<Received> {
    return this.connection.receive(this.number);
  }

  expect<N extends MethodName>(name: N): Promise<Received<N>> {
    return this.connection.expect(this.number, name);
  }

  /** Sends method, header and body, in frames of at most the negotiated size. */
  publish({ exchange = '', routingKey = '', body = '', properties = {}, ...flags }: Publication): void {
    this.send('basic.publish', { exchange, routingKey, ...flags });
    const bytes = Buffer.from(body as string);
    this.connection.header(this.number, bytes.length, properties);
    const payload = this.connection.frameMax === 0 ? 4088 : this.connection.frameMax - 8;
    for (let at = 0; at < bytes.length; at += payload)
      this.connection.body(this.number, bytes.subarray(at, at + payload));
  }

  /** The next delivery; its body must be `body`, if given. */
  async delivery(body?: string): Promise<Received<'basic.deliver'>> {
    const message = await this.expect('basic.deliver');
    if (body !== undefined) assert.equal(message.content.body.toString(), body, 'the body of the delivery');
    return message;
  }

  /** Gets a message from the queue, which must have one. */
  async get(queue: string, options: { noAck?: boolean; body?: string } = {}): Promise<Received<'basic.get-ok'>> {
    this.send('basic.get', { queue, noAck: options.noAck ?? true });
    const message = await this.expect('basic.get-ok');
    if (options.body !== undefined) assert.equal(message.content.body.toString(), options.body, 'the body of get-ok');
    return message;
  }

  async getEmpty(queue: string): Promise<void> {
    this.send('basic.get', { queue, noAck: true });
    await this.expect('basic.get-empty');
  }

  async consume(queue: string, args: Partial<Args<'basic.consume'>> = {}): Promise<string> {
    return (await this.call('basic.consume', { queue, ...args })).consumerTag;
  }

  /** declare-ok of a passive declare. */
  count(queue: string): Promise<Args<'queue.declare-ok'>> {
    return this.call('queue.declare', { queue, passive: true });
  }

  ack(message: Received<'basic.deliver'> | Received<'basic.get-ok'>, multiple = false): void {
    this.send('basic.ack', { deliveryTag: message.args.deliveryTag, multiple });
  }

  /**
   * Expects the broker to close the channel with this code, and answers. The request sent meanwhile is discarded by a
   * broker that closes the channel, and answered by one that does not: so the check does not wait in vain.
   */
  async expectClose(code: number, textPattern?: RegExp): Promise<Args<'channel.close'>> {
    if (!this.connection.has(this.number)) this.send('exchange.declare', { exchange: 'amq.direct', passive: true });
    const { args } = await this.expect('channel.close');
    assert.equal(args.replyCode, code, `the code of channel.close '${args.replyText}'`);
    if (textPattern !== undefined) assert.match(args.replyText, textPattern);
    this.send('channel.close-ok');
    return args;
  }

  /**
   * Asserts that the queue has no further message for this channel. The answer to a declare may overtake a message that
   * the queue has just delivered, so the second answer is the proof.
   */
  async expectNoMore(queue: string): Promise<void> {
    await this.count(queue);
    await this.count(queue);
    this.connection.expectNothing(this.number);
  }

  /** The broker has read everything so far and answered none of it. */
  async expectSilence(): Promise<void> {
    await this.call('exchange.declare', { exchange: 'amq.direct', passive: true });
    this.connection.expectNothing(this.number);
  }

  close(): Promise<unknown> {
    return this.call('channel.close', { replyCode: 200 });
  }
}
