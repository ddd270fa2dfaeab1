// STOMP 1.2 in the notation of the cross-protocol tables. Lines: the header lines of a frame, still escaped, and body.

import assert from 'node:assert/strict';
import { type RawClient, tcp } from '../../support/raw-client.ts';
import { expectStomp, headerOf, openStomp, type StompFrame } from '../../support/raw-stomp.ts';
import * as stomp from '../../support/wire/stomp.ts';
import { bodyOf, bodyText, type Line, lineOf, spacedLine, type TableClient, type Watcher } from './table-client.ts';

/** Headers of MESSAGE that describe the delivery, not the message. */
const FRAME_ONLY: readonly string[] = ['subscription', 'message-id', 'ack', 'content-length'];

export class StompTableClient implements TableClient {
  private readonly port: number;
  private readonly publisher: RawClient;

  private constructor(port: number, publisher: RawClient) {
    this.port = port;
    this.publisher = publisher;
  }

  static async open(port: number): Promise<StompTableClient> {
    return new StompTableClient(port, await openStomp(await tcp(port)));
  }

  line(text: string): Line {
    const colon = text.indexOf(':');
    assert.ok(colon > 0, `'${text}' is no line`);
    if (text.startsWith('body:')) return spacedLine(text);
    return [text.slice(0, colon), text.slice(colon + 1)];
  }

  async publish(lines: readonly Line[]): Promise<void> {
    const body = bodyOf(lines);
    const headers = [
      ['destination', lineOf(lines, 'destination', '/topic/parts')],
      ['receipt', 'sent'],
      ['content-length', String(body.length)],
      ...lines.filter(([name]) => name !== 'body' && name !== 'destination'),
    ];
    const text = headers.map(([name, value]) => `${name}:${value}\n`).join('');
    this.publisher.send(Buffer.from(`SEND\n${text}\n`), body, Buffer.from([0]));
    await expectStomp(this.publisher, 'RECEIPT');
  }

  async watch(address: readonly Line[]): Promise<Watcher> {
    const peer = await openStomp(await tcp(this.port));
    peer.send(
      stomp.subscribe('w', lineOf(address, 'destination', ''), { ack: 'client-individual', receipt: 'subscribed' }),
    );
    await expectStomp(peer, 'RECEIPT');
    const take = async (answer: 'ACK' | 'NACK'): Promise<Map<string, string>> => {
      const message = await expectStomp(peer, 'MESSAGE');
      peer.send(stomp.frame(answer, { id: headerOf(message, 'ack')! }));
      return stompLines(message);
    };
    return {
      next: () => take('ACK'),
      nextAgain: async () => {
        await take('NACK');
        return take('ACK');
      },
      close: () => peer.close(),
    };
  }

  close(): Promise<void> {
    return this.publisher.close();
  }
}

function stompLines(message: StompFrame): Map<string, string> {
  const seen = new Map<string, string>();
  for (const [name, value] of message.lines) {
    if (FRAME_ONLY.includes(name) || (name === 'redelivered' && value === 'false')) continue;
    assert.ok(!seen.has(name), `header '${name}' stands twice`);
    seen.set(name, value);
  }
  seen.set('body', bodyText(message.body));
  return seen;
}
