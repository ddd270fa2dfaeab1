// The judge's reader: each step names the rule that is broken if the step fails.

import { isUtf8 } from '../../utf8.ts';
import { PROPERTY_NAMES, type Property, type PropertyName, propertyShape } from '../wire/properties.ts';

/** A broken rule, named after the check that tests it. */
export class Broken extends Error {
  readonly rule: string;

  constructor(rule: string) {
    super(rule);
    this.rule = rule;
  }
}

/** The properties that were read, in wire order. */
export type Given = readonly Property[];

export type TextFault = 'null' | 'surrogate' | 'overlong' | 'too-high' | 'ill-formed';

/** What is wrong with the bytes of a string, or null. */
function textFault(bytes: Buffer): TextFault | null {
  if (bytes.includes(0)) return 'null';
  if (isUtf8(bytes)) return null;
  const hex = bytes.toString('hex');
  if (/^(?:..)*ed[ab]/.test(hex)) return 'surrogate';
  if (/^(?:..)*(?:c[01]|e0[89])/.test(hex)) return 'overlong';
  return /^(?:..)*f4[9ab]/.test(hex) ? 'too-high' : 'ill-formed';
}

/** A cursor over the body of a packet, or over a part of it. */
export class Reading {
  /** The packet's name in rules: publish, will, … */
  readonly packet: string;
  readonly v5: boolean;
  private readonly bytes: Buffer;
  private at: number;

  constructor(bytes: Buffer, packet: string, v5: boolean) {
    this.packet = packet;
    this.v5 = v5;
    this.bytes = bytes;
    this.at = 0;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** Reads `count` bytes; throws `rule` if fewer are left. */
  take(count: number, rule: string): Buffer {
    if (count > this.left) throw new Broken(rule);
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  byte(rule: string): number {
    return this.take(1, rule)[0]!;
  }

  short(rule: string): number {
    return this.take(2, rule).readUInt16BE();
  }

  variable(rule: string): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const digit = this.byte(rule);
      value += (digit & 0x7f) * 2 ** shift;
      if (digit < 0x80 && digit === 0 && shift > 0) throw new Broken('malformed.length.not-minimal');
      if (digit < 0x80) return value;
    }
    throw new Broken(rule);
  }

  binary(rule: string): Buffer {
    return this.take(this.short(rule), rule);
  }

  /** Reads a string. `faulty` names the rule for invalid characters. */
  string(rule: string, faulty: (fault: TextFault) => string): string {
    const bytes = this.binary(rule);
    const fault = textFault(bytes);
    if (fault !== null) throw new Broken(faulty(fault));
    return bytes.toString();
  }

  /** Throws `rule` if bytes are left. */
  end(rule: string): void {
    if (this.left > 0) throw new Broken(rule);
  }
}

const PUBLICATION =
  'payloadFormatIndicator messageExpiryInterval contentType responseTopic correlationData userProperty';

/** The properties that a client may send, by packet (5.0 §2.2.2.2). */
const ALLOWED: Readonly<Record<string, string>> = {
  connect:
    'sessionExpiryInterval receiveMaximum maximumPacketSize topicAliasMaximum requestResponseInformation requestProblemInformation authenticationMethod authenticationData userProperty',
  will: `willDelayInterval ${PUBLICATION}`,
  publish: `topicAlias ${PUBLICATION}`,
  subscribe: 'subscriptionIdentifier userProperty',
  unsubscribe: 'userProperty',
  puback: 'reasonString userProperty',
  pubrec: 'reasonString userProperty',
  pubrel: 'reasonString userProperty',
  pubcomp: 'reasonString userProperty',
  disconnect: 'sessionExpiryInterval reasonString userProperty',
  auth: 'authenticationMethod authenticationData reasonString userProperty',
};

/** Reads a property block with its length: of the packet, or of a part such as the will. */
export function judgeProperties(reading: Reading, packet = reading.packet): Given {
  const length = reading.variable(`${packet}.properties-missing`);
  const block = new Reading(reading.take(length, `${packet}.properties-short`), packet, true);
  const given: Property[] = [];
  while (block.left > 0) {
    const identifier = block.variable('malformed.property.cut');
    const name = PROPERTY_NAMES.find((each) => propertyShape(each)[0] === identifier);
    if (name === undefined) {
      throw new Broken(packet === 'connect' ? 'malformed.property.unknown.connect' : 'malformed.property.unknown');
    }
    if (!ALLOWED[packet]!.split(' ').includes(name)) {
      const own = packet === 'publish' && name === 'subscriptionIdentifier';
      throw new Broken(own ? 'properties.subscription-identifier' : `malformed.misplaced.${packet}.${name}`);
    }
    if (name !== 'userProperty' && given.some(([other]) => other === name)) {
      throw new Broken(`malformed.twice.${packet}.${name}`);
    }
    const one = [name, readValue(block, name)] as unknown as Property;
    judgeValue(one, packet);
    given.push(one);
  }
  return given;
}

function readValue(block: Reading, name: PropertyName): unknown {
  const cut = 'malformed.property.cut';
  const text = (which: string): string => {
    return block.string(cut, (fault) => `properties.${which}.${fault === 'null' ? 'null' : 'utf8'}`);
  };
  const [, type] = propertyShape(name);
  switch (type) {
    case 'byte':
      return block.byte(cut);
    case 'short':
      return block.short(cut);
    case 'long':
      return block.take(4, cut).readUInt32BE();
    case 'variable':
      return block.variable(cut);
    case 'string':
      return text(name === 'responseTopic' ? 'response-topic' : name === 'contentType' ? 'content-type' : name);
    case 'binary':
      return block.binary(cut);
    case 'pair': {
      const half = (which: string): string => {
        return block.string(cut, (fault) => `properties.user-property.${fault === 'null' ? 'null' : which}`);
      };
      return [half('name'), half('value')];
    }
    default:
      return type satisfies never;
  }
}

function judgeValue([name, value]: Property, packet: string): void {
  const broken = (is: boolean, rule: string): void => {
    if (is) throw new Broken(rule);
  };
  if (name === 'topicAlias') broken(value === 0, 'properties.alias.zero');
  if (name === 'subscriptionIdentifier') broken(value === 0, 'subscribe.identifier.value-zero');
  if (name === 'receiveMaximum') broken(value === 0, 'receive-maximum.zero');
  if (name === 'maximumPacketSize') broken(value === 0, 'maximum-packet-size.zero');
  if (name === 'payloadFormatIndicator') broken((value as number) > 1, 'properties.format.range');
  if (name.startsWith('request')) broken((value as number) > 1, `malformed.range.${packet}.${name}`);
  if (name === 'responseTopic') {
    broken(value.includes('+' as never), 'properties.response-topic.plus');
    broken(value.includes('#' as never), 'properties.response-topic.hash');
  }
}
