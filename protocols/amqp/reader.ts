// A cursor over the bytes of one frame that reads AMQP's elementary types (§4.2.1). It never reads past its end: a
// value that does not fit is a SYNTAX_ERROR of the peer.

import type { FieldTable } from '../../src/core/message/field-table.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { checkTable, decodeTable } from './field-table-codec.ts';

export class Reader {
  private readonly buffer: Buffer;
  private readonly end: number;
  private at: number;
  private bits: number;
  /** Bits of the current octet that were consumed; 8: the next bit starts a fresh octet. */
  private bitsUsed: number;

  constructor(buffer: Buffer, at: number, end: number) {
    this.buffer = buffer;
    this.at = at;
    this.end = end;
    this.bits = 0;
    this.bitsUsed = 8;
  }

  octet(): number {
    return this.buffer[this.take(1)]!;
  }

  short(): number {
    return this.buffer.readUInt16BE(this.take(2));
  }

  long(): number {
    return this.buffer.readUInt32BE(this.take(4));
  }

  /** A delivery tag. The broker's tags are below 2^53, so a loss of precision above can only produce an unknown tag. */
  longLong(): number {
    const at = this.take(8);
    return this.buffer.readUInt32BE(at) * 0x100000000 + this.buffer.readUInt32BE(at + 4);
  }

  bigLongLong(): bigint {
    return this.buffer.readBigUInt64BE(this.take(8));
  }

  /** Consecutive bits share an octet, lowest first (§4.2.5.2). */
  bit(): boolean {
    if (this.bitsUsed === 8) {
      this.bits = this.octet();
      this.bitsUsed = 0;
    }
    return ((this.bits >> this.bitsUsed++) & 1) === 1;
  }

  shortString(): string {
    const length = this.octet();
    const at = this.take(length);
    return this.buffer.toString('utf8', at, at + length);
  }

  /** A view of the chunk: copy it if it outlives the turn. */
  longString(): Buffer {
    const length = this.long();
    const at = this.take(length);
    return this.buffer.subarray(at, at + length);
  }

  /** The fields of a table as bytes, checked: a view of the chunk. */
  tableBytes(): Buffer {
    const length = this.long();
    const at = this.take(length);
    checkTable(this.buffer, at, at + length);
    return this.buffer.subarray(at, at + length);
  }

  table(): FieldTable {
    const length = this.long();
    const at = this.take(length);
    return decodeTable(this.buffer, at, at + length);
  }

  /** Throws unless everything was read: bytes after the last argument are a violation. */
  finish(): void {
    if (this.at !== this.end) throw new AmqpError(REPLY.syntaxError, 'unexpected bytes after the last argument');
  }

  private take(bytes: number): number {
    const at = this.at;
    if (this.end - at < bytes) throw new AmqpError(REPLY.syntaxError, 'arguments are longer than their frame');
    this.at = at + bytes;
    this.bitsUsed = 8;
    return at;
  }
}
