// The channels of one connection by number: which are open, which wait for close-ok, and which frames each may receive
// (§2.2.5). Only its connection calls it.

import { AmqpError, REPLY } from './amqp-error.ts';
import { AmqpChannel, type ChannelConnection } from './channel.ts';
import { bareMethod, channelOpenOk } from './method-frames.ts';
import { METHOD } from './method-ids.ts';
import { readClose } from './methods.ts';
import type { Reader } from './reader.ts';
import { unknownMethod } from './unknown-method.ts';

export class Channels {
  /** By number; holes and nulls where no channel is open. */
  readonly byNumber: (AmqpChannel | null)[];
  count: number;
  private readonly connection: ChannelConnection;

  constructor(connection: ChannelConnection) {
    this.byNumber = [];
    this.count = 0;
    this.connection = connection;
  }

  /** A method on any channel but 0. basic.publish and basic.ack usually take a faster way. */
  method(number: number, method: number, reader: Reader): void {
    if (method >>> 16 === 10) throw unknownMethod(method);
    const channel = this.byNumber[number] ?? null;
    if (channel === null) {
      if (method !== METHOD.channelOpen) throw new AmqpError(REPLY.channelError, "expected 'channel.open'");
      this.open(number);
      return;
    }
    if (method === METHOD.channelCloseOk) {
      if (!channel.closing) throw unknownMethod(method);
      this.forget(channel);
      return;
    }
    if (method === METHOD.channelClose) {
      if (!channel.closing && channel.content.assembling) channel.content.interrupted();
      readClose(reader);
      // Both sides may have sent close at once: the client still answers ours with close-ok.
      if (!channel.closing) this.forget(channel);
      this.connection.send(bareMethod(number, METHOD.channelCloseOk));
      return;
    }
    if (channel.closing) return;
    if (channel.content.assembling) channel.content.interrupted();
    if (method === METHOD.channelOpen) throw new AmqpError(REPLY.channelError, "second 'channel.open' seen");
    try {
      channel.method(method, reader);
    } catch (error) {
      this.connection.failChannel(channel, error, method);
    }
  }

  /** The channel of a content frame; null if the frame is to be ignored. */
  forContent(number: number): AmqpChannel | null {
    const channel = this.byNumber[number] ?? null;
    if (channel === null) {
      if (number === 0) throw new AmqpError(REPLY.unexpectedFrame, 'content frame on channel 0');
      throw new AmqpError(REPLY.channelError, "expected 'channel.open'");
    }
    return channel.closing ? null : channel;
  }

  /** The outbox became writable again. */
  resumeConsumers(): void {
    for (const channel of this.byNumber) channel?.resumeConsumers();
  }

  /** Releases all channels. */
  release(): void {
    for (const channel of this.byNumber) channel?.release();
    this.byNumber.length = 0;
    this.count = 0;
  }

  private open(number: number): void {
    const { channelMax } = this.connection;
    if (number > channelMax) {
      const text = `number of channels opened (${this.count}) has reached the negotiated channel_max (${channelMax})`;
      throw new AmqpError(REPLY.notAllowed, text, 'amqp.channelMax');
    }
    while (this.byNumber.length <= number) this.byNumber.push(null);
    this.byNumber[number] = new AmqpChannel(number, this.connection);
    this.count++;
    this.connection.send(channelOpenOk(number));
  }

  private forget(channel: AmqpChannel): void {
    channel.release();
    this.byNumber[channel.number] = null;
    this.count--;
  }
}
