// The `destination:…` line of MESSAGE frames by exchange and routing key, encoded once. Bounded: a full cache is
// emptied, which costs each key one encoding.

import { ownUtf8 } from '../../src/core/message/own-bytes.ts';
import { formatDestination } from './destination.ts';
import { escapeHeader } from './escaping.ts';
import type { StompVersion } from './version.ts';

const MAX_LINES = 8192;

export class DestinationLines {
  readonly version: StompVersion;
  private readonly exchanges: Map<string, Map<string, Buffer>>;
  private count: number;

  constructor(version: StompVersion) {
    this.version = version;
    this.exchanges = new Map();
    this.count = 0;
  }

  line(exchange: string, routingKey: string): Buffer {
    const line = this.exchanges.get(exchange)?.get(routingKey);
    return line === undefined ? this.add(exchange, routingKey) : line;
  }

  private add(exchange: string, routingKey: string): Buffer {
    if (this.count === MAX_LINES) {
      this.exchanges.clear();
      this.count = 0;
    }
    let lines = this.exchanges.get(exchange);
    if (lines === undefined) {
      lines = new Map();
      this.exchanges.set(exchange, lines);
    }
    const line = ownUtf8(`destination:${escapeHeader(formatDestination(exchange, routingKey), this.version)}\n`);
    lines.set(routingKey, line);
    this.count++;
    return line;
  }
}
