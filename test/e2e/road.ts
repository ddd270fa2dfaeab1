// A protocol as the cross-protocol table speaks of it: a message is a list of lines (`name`, `value`), written and read
// byte for byte without the broker's own codecs. What every message has and the table does not compare (tags, packet
// ids, lengths) is left out. One file for each protocol implements `Road`.

import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';

export type Line = readonly [name: string, value: string];

export interface Watcher {
  /** The next message, acknowledged. */
  next(): Promise<Map<string, string>>;
  /** The next message is not acknowledged but handed back; this is what comes then. */
  nextAgain(): Promise<Map<string, string>>;
  close(): Promise<void>;
}

export interface Road {
  /** Splits a line of the table. */
  line(text: string): Line;
  /** Resolves when the broker has taken the message in. */
  publish(lines: readonly Line[]): Promise<void>;
  /** Everything that is published there from now on. */
  watch(address: readonly Line[]): Promise<Watcher>;
  close(): Promise<void>;
}

export function lineOf(lines: readonly Line[], name: string, otherwise: string): string {
  return lines.find(([key]) => key === name)?.[1] ?? otherwise;
}

/** The body that lines ask for. */
export function bodyOf(lines: readonly Line[]): Buffer {
  const text = lineOf(lines, 'body', '"x"');
  return text.startsWith('hex ') ? Buffer.from(text.slice(4), 'hex') : Buffer.from(JSON.parse(text) as string);
}

/** A body as its line says it. */
export function bodyText(body: Buffer): string {
  const plain = isUtf8(body) && !body.includes(0);
  return plain ? JSON.stringify(body.toString()) : `hex ${body.toString('hex')}`;
}

/** A line with a blank behind its colon: of AMQP, of MQTT, and every `body`. */
export function spacedLine(text: string): Line {
  const found = /^(headers\."(?:[^"\\]|\\.)*"|[^:]+): ?(.*)$/s.exec(text);
  assert.ok(found !== null, `'${text}' is no line`);
  return [found[1]!, found[2]!];
}
