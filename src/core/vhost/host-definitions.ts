// The stored form of the durable definitions of one virtual host: records of its exchanges, queues and bindings. It
// does not interpret them.

import type { Binding, Exchange, ExchangeOptions } from '../exchange/exchange.ts';
import type { ExchangeKind } from '../exchange/kinds.ts';
import type { FieldTable } from '../message/field-table.ts';
import { tableFromJson, tableToJson } from '../message/field-table-json.ts';
import type { Dialect } from '../message/topic-pattern.ts';
import type { DefinitionKind, DefinitionStore, DefinitionValue } from '../ports/definitions.ts';
import type { Queue, QueueOptions } from '../queue/queue.ts';

export interface StoredExchange extends ExchangeOptions {
  readonly kind: ExchangeKind;
}

export interface StoredQueue extends QueueOptions {
  /** Whether messages on disk may expire. */
  readonly expiring: boolean;
}

export interface StoredBinding {
  readonly source: string;
  readonly destinationType: 'queue' | 'exchange';
  readonly destination: string;
  readonly routingKey: string;
  readonly args: FieldTable;
  readonly dialect: Dialect;
}

export class HostDefinitions {
  private readonly vhost: string;
  private readonly definitions: DefinitionStore;

  constructor(vhost: string, definitions: DefinitionStore) {
    this.vhost = vhost;
    this.definitions = definitions;
  }

  putExchange(exchange: Exchange, kind: ExchangeKind): void {
    const { name, autoDelete, internal, args } = exchange;
    this.definitions.put('exchange', [this.vhost, name], { kind, autoDelete, internal, args: tableToJson(args) });
  }

  removeExchange(exchange: Exchange): void {
    this.definitions.remove('exchange', [this.vhost, exchange.name]);
  }

  *exchanges(): IterableIterator<StoredExchange> {
    for (const { name, value } of this.own('exchange')) {
      yield {
        kind: value.kind as ExchangeKind,
        name: name[1]!,
        durable: true,
        autoDelete: value.autoDelete === true,
        internal: value.internal === true,
        args: tableFromJson(value.args),
      };
    }
  }

  putQueue(queue: Queue, expiring: boolean): void {
    const { id, name, autoDelete, args } = queue;
    const definition = { id, autoDelete, args: tableToJson(args) };
    this.definitions.put('queue', [this.vhost, name], expiring ? { ...definition, expiring } : definition);
  }

  removeQueue(queue: Queue): void {
    this.definitions.remove('queue', [this.vhost, queue.name]);
  }

  *queues(): IterableIterator<StoredQueue> {
    for (const { name, value } of this.own('queue')) {
      yield {
        id: value.id as number,
        name: name[1]!,
        durable: true,
        autoDelete: value.autoDelete === true,
        args: tableFromJson(value.args),
        owner: null,
        expiring: value.expiring === true,
      };
    }
  }

  putBinding(binding: Binding): void {
    const { args, dialect } = binding;
    this.definitions.put('binding', this.bindingName(binding), { args: tableToJson(args), dialect });
  }

  removeBinding(binding: Binding): void {
    this.definitions.remove('binding', this.bindingName(binding));
  }

  *bindings(): IterableIterator<StoredBinding> {
    for (const { name, value } of this.own('binding')) {
      yield {
        source: name[1]!,
        destinationType: name[2] as StoredBinding['destinationType'],
        destination: name[3]!,
        routingKey: name[4]!,
        args: tableFromJson(value.args),
        dialect: value.dialect as Dialect,
      };
    }
  }

  /** Dialect and arguments identify a binding, so they are part of its record's name. */
  private bindingName(binding: Binding): string[] {
    const type: StoredBinding['destinationType'] = binding.queue !== null ? 'queue' : 'exchange';
    const destination = binding.queue?.name ?? binding.exchange!.name;
    const variant = JSON.stringify([binding.dialect, tableToJson(binding.args)]);
    return [this.vhost, binding.source.name, type, destination, binding.routingKey, variant];
  }

  private *own(kind: DefinitionKind): IterableIterator<{ name: readonly string[]; value: DefinitionValue }> {
    for (const record of this.definitions.all(kind)) if (record.name[0] === this.vhost) yield record;
  }
}
