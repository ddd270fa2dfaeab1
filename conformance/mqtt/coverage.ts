// The checks that show each statement of statements.ts, collected from the checks, or why no client can observe it.

import { by, type Coverage, unseen } from '../coverage.ts';
import { MQTT_CHECKS } from './checks.ts';

const CLIENT = unseen('a duty of clients: nothing that a broker does shows it');

/** Statements that no client can observe, keyed by `version number`. */
export const UNSEEN: Readonly<Record<string, Coverage>> = {
  'v3 2.3.1-2': CLIENT,
  'v3 2.3.1-3': CLIENT,
  'v3 3.1.2-23': CLIENT,
  'v3 3.1.3-7': CLIENT,
  'v3 3.2.2-6': unseen('no client can ask for a refusal that fits none of the codes'),
  'v3 3.14.4-1': CLIENT,
  'v3 3.14.4-2': CLIENT,
  'v3 4.5.0-2': CLIENT,
  'v3 4.6.0-1': CLIENT,
  'v3 4.6.0-2': CLIENT,
  'v3 4.6.0-3': CLIENT,
  'v3 4.6.0-4': CLIENT,
  'v3 4.8.0-2': unseen('no client can make a broker run into a passing error'),
  'v3 6.0.0-3': CLIENT,
  'v3 7.0.0-1': unseen('a client does not see to whom a broker connects'),
  'v3 7.1.2-1': CLIENT,
  'v5 3.1.2-20': CLIENT,
  'v5 3.1.2-21': CLIENT,
  'v5 3.2.2-4': CLIENT,
  'v5 3.2.2-5': CLIENT,
  'v5 3.2.2-11': CLIENT,
  'v5 3.2.2-12': unseen('only of a broker without QoS 1 or 2, and connect.qos-of-server tells which it has'),
  'v5 3.2.2-13': unseen('only of a broker without retained messages, and the checks of those tell which has them'),
  'v5 3.2.2-14': CLIENT,
  'v5 3.2.2-21': CLIENT,
  'v5 3.3.2-10': CLIENT,
  'v5 3.3.4-8': CLIENT,
  'v5 4.5.0-2': CLIENT,
  'v5 4.6.0-1': CLIENT,
  'v5 4.6.0-2': CLIENT,
  'v5 4.6.0-3': CLIENT,
  'v5 4.6.0-4': CLIENT,
  'v5 6.0.0-3': CLIENT,
};

/** The checks that name each statement. */
export const SHOWN: ReadonlyMap<string, readonly string[]> = shown();

export const COVERAGE: Readonly<Record<string, Coverage>> = {
  ...UNSEEN,
  ...Object.fromEntries([...SHOWN].map(([statement, checks]) => [statement, by(checks.join(' '))])),
};

function shown(): Map<string, string[]> {
  const checks = new Map<string, string[]>();
  for (const { id, statements } of MQTT_CHECKS) {
    const [, version] = id.split('.');
    for (const statement of statements) {
      const key = `${version} ${statement}`;
      checks.set(key, [...(checks.get(key) ?? []), id.slice('mqtt.'.length)]);
    }
  }
  return checks;
}
