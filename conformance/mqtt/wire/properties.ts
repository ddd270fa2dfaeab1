// The properties of MQTT 5.0 (§2.2.2.2) as a list in wire order, so that a check can duplicate or misplace them and can
// see the order received. The reader accepts only what a server may send in that packet.

import { ByteReader, ByteWriter, type Text, variable } from './bytes.ts';

const BYTE = 'byte';
const SHORT = 'short';
const LONG = 'long';
const VARIABLE = 'variable';
const STRING = 'string';
const BINARY = 'binary';
const PAIR = 'pair';

const ACKS = 'PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK';

/** Identifier, type, and the server packets that may carry it. */
const PROPERTIES = {
  payloadFormatIndicator: [0x01, BYTE, 'PUBLISH'],
  messageExpiryInterval: [0x02, LONG, 'PUBLISH'],
  contentType: [0x03, STRING, 'PUBLISH'],
  responseTopic: [0x08, STRING, 'PUBLISH'],
  correlationData: [0x09, BINARY, 'PUBLISH'],
  subscriptionIdentifier: [0x0b, VARIABLE, 'PUBLISH'],
  sessionExpiryInterval: [0x11, LONG, 'CONNACK'],
  assignedClientIdentifier: [0x12, STRING, 'CONNACK'],
  serverKeepAlive: [0x13, SHORT, 'CONNACK'],
  authenticationMethod: [0x15, STRING, 'CONNACK AUTH'],
  authenticationData: [0x16, BINARY, 'CONNACK AUTH'],
  requestProblemInformation: [0x17, BYTE, ''],
  willDelayInterval: [0x18, LONG, ''],
  requestResponseInformation: [0x19, BYTE, ''],
  responseInformation: [0x1a, STRING, 'CONNACK'],
  serverReference: [0x1c, STRING, 'CONNACK DISCONNECT'],
  reasonString: [0x1f, STRING, `CONNACK ${ACKS} DISCONNECT AUTH`],
  receiveMaximum: [0x21, SHORT, 'CONNACK'],
  topicAliasMaximum: [0x22, SHORT, 'CONNACK'],
  topicAlias: [0x23, SHORT, 'PUBLISH'],
  maximumQos: [0x24, BYTE, 'CONNACK'],
  retainAvailable: [0x25, BYTE, 'CONNACK'],
  userProperty: [0x26, PAIR, `CONNACK PUBLISH ${ACKS} DISCONNECT AUTH`],
  maximumPacketSize: [0x27, LONG, 'CONNACK'],
  wildcardSubscriptionAvailable: [0x28, BYTE, 'CONNACK'],
  subscriptionIdentifierAvailable: [0x29, BYTE, 'CONNACK'],
  sharedSubscriptionAvailable: [0x2a, BYTE, 'CONNACK'],
} as const;

export type PropertyName = keyof typeof PROPERTIES;
type TypeOf<N extends PropertyName> = (typeof PROPERTIES)[N][1];
export type PropertyValue<N extends PropertyName> =
  TypeOf<N> extends 'pair'
    ? readonly [Text, Text]
    : TypeOf<N> extends 'string'
      ? Text
      : TypeOf<N> extends 'binary'
        ? Uint8Array
        : number;
/** One property: name and value. */
export type Property = { [N in PropertyName]: readonly [N, PropertyValue<N>] }[PropertyName];
/**
 * A list in wire order. For sending also the bytes of the whole block with its length, or the bytes of one property.
 */
export type Properties = readonly (Property | Uint8Array)[] | Uint8Array;

export const PROPERTY_NAMES = Object.keys(PROPERTIES) as PropertyName[];

const NAMES = new Map(PROPERTY_NAMES.map((name) => [PROPERTIES[name][0] as number, name]));

/** Properties whose value is 0 or 1, and those whose value is never 0. */
const FLAGS: readonly PropertyName[] = [
  'payloadFormatIndicator',
  'maximumQos',
  'retainAvailable',
  'wildcardSubscriptionAvailable',
  'subscriptionIdentifierAvailable',
  'sharedSubscriptionAvailable',
];
const NEVER_ZERO: readonly PropertyName[] = [
  'receiveMaximum',
  'maximumPacketSize',
  'topicAlias',
  'subscriptionIdentifier',
];

/** The identifier and value type of a property. */
export function propertyShape(name: PropertyName): readonly [number, TypeOf<PropertyName>] {
  const [identifier, type] = PROPERTIES[name];
  return [identifier, type];
}

/** The property block with its length. */
export function encodeProperties(properties: Properties): Buffer {
  if (properties instanceof Uint8Array) return Buffer.from(properties);
  const writer = new ByteWriter();
  for (const property of properties)
    writer.append(property instanceof Uint8Array ? property : encodeProperty(property));
  const block = writer.done();
  return Buffer.concat([variable(block.length), block]);
}

export function encodeProperty([name, value]: Property): Buffer {
  const [identifier, type] = PROPERTIES[name];
  const writer = new ByteWriter().byte(identifier);
  switch (type) {
    case BYTE:
      return writer.byte(value as number).done();
    case SHORT:
      return writer.short(value as number).done();
    case LONG:
      return writer.long(value as number).done();
    case VARIABLE:
      return writer.variable(value as number).done();
    case STRING:
    case BINARY:
      return writer.string(value as Text).done();
    case PAIR: {
      const [key, text] = value as readonly [Text, Text];
      return writer.string(key).string(text).done();
    }
    default:
      return type satisfies never;
  }
}

/**
 * Reads the properties of a server packet; throws if one is misplaced, duplicated where it must not be, or out of
 * range.
 */
export function decodeProperties(reader: ByteReader, packet: string): Property[] {
  const block = new ByteReader(reader.take(reader.variable()));
  const properties: Property[] = [];
  while (block.left > 0) {
    const identifier = block.variable();
    const name = NAMES.get(identifier);
    if (name === undefined) throw new Error(`malformed: property 0x${identifier.toString(16)} does not exist`);
    const [, type, packets] = PROPERTIES[name];
    if (!packets.split(' ').includes(packet)) throw new Error(`malformed: ${name} in ${packet} of a server`);
    const repeats = name === 'userProperty' || name === 'subscriptionIdentifier';
    if (!repeats && properties.some(([other]) => other === name))
      throw new Error(`malformed: ${name} twice in ${packet}`);
    const value = decodeValue(block, type);
    if (FLAGS.includes(name) && (value as number) > 1) throw new Error(`malformed: ${name} is ${String(value)}`);
    if (NEVER_ZERO.includes(name) && value === 0) throw new Error(`malformed: ${name} is 0`);
    properties.push([name, value] as unknown as Property);
  }
  return properties;
}

function decodeValue(reader: ByteReader, type: TypeOf<PropertyName>): unknown {
  switch (type) {
    case BYTE:
      return reader.byte();
    case SHORT:
      return reader.short();
    case LONG:
      return reader.long();
    case VARIABLE:
      return reader.variable();
    case STRING:
      return reader.string();
    case BINARY:
      return reader.binary();
    case PAIR:
      return [reader.string(), reader.string()];
    default:
      return type satisfies never;
  }
}

/** The value of a property that occurs at most once; undefined if absent. */
export function property<N extends PropertyName>(
  properties: readonly Property[],
  name: N,
): (TypeOf<N> extends 'string' ? string : PropertyValue<N>) | undefined {
  return properties.find(([other]) => other === name)?.[1] as never;
}

/** All values of a property, in order. */
export function values<N extends PropertyName>(properties: readonly Property[], name: N): PropertyValue<N>[] {
  return properties.filter(([other]) => other === name).map(([, value]) => value as PropertyValue<N>);
}

/** A legal value of a property, for checks that misplace it. */
export function anyValue(name: PropertyName): Property {
  const type = PROPERTIES[name][1];
  switch (type) {
    case BYTE:
    case SHORT:
    case LONG:
    case VARIABLE:
      return [name, 1] as unknown as Property;
    case STRING:
      return [name, 'a'] as unknown as Property;
    case BINARY:
      return [name, Buffer.from('a')] as unknown as Property;
    case PAIR:
      return [name, ['a', 'b']] as unknown as Property;
    default:
      return type satisfies never;
  }
}
