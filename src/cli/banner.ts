// What `trivium start` prints on a terminal: the listeners, the data directory, and how to log in.

import type { Config } from '../config/schema.ts';
import type { PortName, Ports } from '../listeners.ts';

interface Row {
  readonly title: string;
  readonly plain: PortName;
  /** Null: TLS uses the same port. */
  readonly secure: PortName | null;
  readonly note: string;
}

const ROWS: readonly Row[] = [
  { title: 'AMQP 0-9-1', plain: 'amqp', secure: 'amqps', note: '' },
  { title: 'MQTT', plain: 'mqtt', secure: 'mqtts', note: '' },
  { title: 'STOMP', plain: 'stomp', secure: 'stomps', note: '' },
  { title: 'WebSocket', plain: 'ws', secure: 'wss', note: '/stomp  /mqtt  /amqp' },
  { title: 'HTTP', plain: 'http', secure: 'https', note: '/api  /metrics  /health/ready' },
  { title: 'All of them', plain: 'auto', secure: null, note: 'told apart by their first bytes' },
];

export function banner(version: string, config: Config, ports: Ports): string {
  const lines = [`Trivium ${version}, process ${process.pid}`, ''];
  for (const { title, plain, secure, note } of ROWS) {
    // Not shown unless it was configured.
    if (plain === 'auto' && ports.auto === null) continue;
    const places = [
      ports[plain] === null ? null : `${config.host}:${ports[plain]}`,
      secure === null || ports[secure] === null ? null : `${config.host}:${ports[secure]} (TLS)`,
    ].filter((place) => place !== null);
    lines.push(line(title, `${places.length === 0 ? 'off' : places.join('  ')}${note === '' ? '' : `   ${note}`}`));
  }
  lines.push(line('Data', config.store === 'memory' ? 'in memory, gone at exit' : config.dataDir));
  const { defaultUser, defaultPassword, loopbackUsers } = config.auth;
  if (defaultUser === 'guest' && defaultPassword === 'guest') {
    const where = loopbackUsers.includes(defaultUser) ? ', from this machine only' : '';
    lines.push(line('First login', `guest / guest${where}`));
  }
  return `${lines.join('\n')}\n\n`;
}

function line(title: string, text: string): string {
  return `  ${title.padEnd(13)}${text}`;
}
