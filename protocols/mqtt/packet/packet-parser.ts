// What the readers of control packets share: mqtt-packet's parser, used for one exactly framed packet at a time, and the
// steps over text and bytes with which they walk a packet before that.

import { type Packet, parser } from 'mqtt-packet';
import { MalformedPacket } from './errors.ts';
import { isMqttText } from './utf8.ts';

/** One mqtt-packet parser, used for one whole packet at a time. */
export class PacketParser {
  private readonly parser: ReturnType<typeof parser>;
  private readonly packets: Packet[];
  private readonly errors: Error[];

  constructor(protocolVersion: number) {
    this.parser = parser({ protocolVersion });
    this.packets = [];
    this.errors = [];
    this.parser.on('packet', (packet) => this.packets.push(packet));
    this.parser.on('error', (error: Error) => this.errors.push(error));
  }

  parse(buffer: Buffer, start: number, end: number): Packet {
    this.parser.parse(buffer.subarray(start, end));
    const packet = this.packets.pop();
    const error = this.errors.pop();
    this.packets.length = 0;
    this.errors.length = 0;
    if (error !== undefined) throw new MalformedPacket(error.message);
    // Unreachable while the checks before it hold: the packet is whole.
    if (packet === undefined) throw new MalformedPacket('an incomplete packet');
    return packet;
  }
}

/** The position behind bytes with their length in front (u16). Throws MalformedPacket. */
export function skipBytes(buffer: Buffer, at: number, end: number, what: string): number {
  if (at + 2 > end) throw new MalformedPacket(`no ${what}`);
  const after = at + 2 + ((buffer[at]! << 8) | buffer[at + 1]!);
  if (after > end) throw new MalformedPacket(`a ${what} that is longer than its packet`);
  return after;
}

/** The same of text [MQTT-1.5.3-1] [MQTT-1.5.3-2]. */
export function skipText(buffer: Buffer, at: number, end: number, what: string): number {
  const after = skipBytes(buffer, at, end, what);
  if (!isMqttText(buffer, at + 2, after)) throw new MalformedPacket(`a ${what} that is not UTF-8 text [MQTT-1.5.3-1]`);
  return after;
}
