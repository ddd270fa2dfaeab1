// Filters of shared subscriptions (MQTT 5 §4.8.2): `$share/GROUP/FILTER`. A message that FILTER selects goes to one member
// of the group.

const PREFIX = '$share/';

export interface SharedFilter {
  readonly group: string;
  /** The filter that selects messages. */
  readonly filter: string;
}

/** The parts of a shared filter, checked by `sharedFilterProblem`; null for any other filter. */
export function sharedFilter(filter: string): SharedFilter | null {
  if (!filter.startsWith(PREFIX)) return null;
  const slash = filter.indexOf('/', PREFIX.length);
  if (slash === -1) return { group: filter.slice(PREFIX.length), filter: '' };
  return { group: filter.slice(PREFIX.length, slash), filter: filter.slice(slash + 1) };
}

/** Why a shared filter is illegal, or null [MQTT-4.8.2-1] [MQTT-4.8.2-2]. */
export function sharedFilterProblem({ group, filter }: SharedFilter): string | null {
  if (group === '') return 'a shared subscription without a group';
  if (group.includes('+') || group.includes('#')) return 'a shared subscription whose group has a wildcard';
  return filter === '' ? 'a shared subscription without a filter' : null;
}
