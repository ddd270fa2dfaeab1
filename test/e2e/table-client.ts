// A protocol in the notation of the cross-protocol tables: a message is a list of lines (`name`, `value`), encoded and
// decoded without the broker's codecs. Parts that every message has and the tables do not compare (tags, packet ids,
// lengths) are omitted. One file for each protocol implements `TableClient`.

import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';

export type Line = readonly [name: string, value: string];

export interface Watcher {
  /** The next message, acknowledged. */
  next(): Promise<Map<string, string>>;
  /** Returns the next message unacknowledged to the queue, and returns its redelivery. */
  nextAgain(): Promise<Map<string, string>>;
  close(): Promise<void>;
}

export interface TableClient {
  /** Splits a line of the table. */
  line(text: string): Line;
  /** Publishes, and resolves when the broker has accepted the message. */
  publish(lines: readonly Line[]): Promise<void>;
  /** Watches what is published to this address from now on. */
  watch(address: readonly Line[]): Promise<Watcher>;
  close(): Promise<void>;
}

export function lineOf(lines: readonly Line[], name: string, otherwise: string): string {
  return lines.find(([key]) => key === name)?.[1] ?? otherwise;
}

/** The body that the lines describe. */
export function bodyOf(lines: readonly Line[]): Buffer {
  const text = lineOf(lines, 'body', '"x"');
  return text.startsWith('hex ') ? Buffer.from(text.slice(4), 'hex') : Buffer.from(JSON.parse(text) as string);
}

/** The line for a body. */
export function bodyText(body: Buffer): string {
  const plain = isUtf8(body) && !body.includes(0);
  return plain ? JSON.stringify(body.toString()) : `hex ${body.toString('hex')}`;
}

/** A line with a space after its colon: of AMQP, of MQTT, and every `body`. */
export function spacedLine(text: string): Line {
  const found = /^(headers\."(?:[^"\\]|\\.)*"|[^:]+): ?(.*)$/s.exec(text);
  assert.ok(found !== null, `'${text}' is no line`);
  return [found[1]!, found[2]!];
}
