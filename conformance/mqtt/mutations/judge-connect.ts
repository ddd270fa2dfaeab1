// The rules for CONNECT: protocol name and level, flags, and the payload fields that the flags announce.

import { LEVEL, type Level } from '../wire/packets.ts';
import { property } from '../wire/properties.ts';
import { Broken, type Given, judgeProperties, Reading } from './reading.ts';

const LEVELS: readonly number[] = Object.values(LEVEL);
/** Authentication methods that a broker may support. */
const METHODS = ['SCRAM-SHA-256'];
/** Longest client identifier in MQTT 3.1. */
const CLIENT_ID_MAX = 23;

/** Returns the level and the properties of a legal CONNECT; throws `Broken` otherwise. */
export function judgeConnect(body: Buffer): { level: Level; given: Given } {
  const head = new Reading(body, 'connect', false);
  const name = head.binary('connect.short').toString();
  const level = head.byte('connect.short') as Level;
  if (!LEVELS.includes(level)) throw new Broken('connect.level');
  const right = level === LEVEL.v31 ? 'MQIsdp' : 'MQTT';
  if (name !== right)
    throw new Broken(name.toUpperCase() === right.toUpperCase() ? 'connect.name.case' : 'connect.name');
  const v5 = level === LEVEL.v5;
  const flags = head.byte('connect.short');
  judgeFlags(flags, v5);
  head.short('connect.short');
  const reading = new Reading(head.take(head.left, ''), 'connect', v5);
  const given = v5 ? judgeProperties(reading) : [];
  const method = property(given, 'authenticationMethod');
  if (method === undefined && property(given, 'authenticationData') !== undefined) {
    throw new Broken('connect.auth.data-alone');
  }
  if (method !== undefined && !METHODS.includes(method)) throw new Broken('connect.auth.unknown-method');
  judgePayload(reading, flags, level);
  return { level, given };
}

function judgeFlags(flags: number, v5: boolean): void {
  const [will, willQos, willRetain] = [(flags & 4) !== 0, (flags >> 3) & 3, (flags & 0x20) !== 0];
  if ((flags & 1) !== 0) throw new Broken('connect.flags.reserved');
  if (!will && willQos !== 0) throw new Broken('connect.flags.will-qos-without-will');
  if (!will && willRetain) throw new Broken('connect.flags.will-retain-without-will');
  if (willQos === 3) throw new Broken('connect.flags.will-qos');
  if (!v5 && (flags & 0xc0) === 0x40) throw new Broken('connect.flags.password-without-user');
}

function judgePayload(reading: Reading, flags: number, level: Level): void {
  const clientId = reading.string('connect.client-id.missing', (fault) => {
    return fault === 'null' ? 'connect.client-id.null' : 'connect.client-id.utf8';
  });
  if (level === LEVEL.v31 && clientId === '') throw new Broken('connect.client-id.empty');
  if (level === LEVEL.v31 && clientId.length > CLIENT_ID_MAX) throw new Broken('connect.client-id.long');
  if (level === LEVEL.v3 && clientId === '' && (flags & 2) === 0) throw new Broken('connect.client-id.empty.unclean');
  if ((flags & 4) !== 0) judgeWill(reading);
  if ((flags & 0x80) !== 0) reading.string('connect.flags.user-missing', () => 'connect.user.utf8');
  if ((flags & 0x40) !== 0) reading.binary('connect.flags.password-missing');
  if ((flags & 0x80) === 0) reading.end('connect.flags.user-without-flag');
  else if ((flags & 0x40) === 0) reading.end('connect.flags.password-without-flag');
  else reading.end('connect.long');
}

function judgeWill(reading: Reading): void {
  const missing = 'connect.flags.will-missing';
  if (reading.left === 0) throw new Broken(missing);
  if (reading.v5) judgeProperties(reading, 'will');
  const topic = reading.string(missing, (fault) => `connect.will-topic.${fault === 'null' ? 'null' : 'utf8'}`);
  if (topic === '') throw new Broken('connect.will-topic.empty');
  if (/[+#]/.test(topic)) throw new Broken('connect.will-topic.wildcard');
  reading.binary(missing);
}
