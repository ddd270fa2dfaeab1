// What clients declare: an exchange or a queue, with its properties and arguments.

import type { ExchangeOptions } from '../exchange/exchange.ts';
import type { FieldTable } from '../message/field-table.ts';
import type { QueueOwner } from '../queue/queue.ts';

export interface ExchangeDeclaration extends ExchangeOptions {
  readonly kind: string;
}

export interface QueueDeclaration {
  readonly name: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly args: FieldTable;
  readonly owner: QueueOwner | null;
}
