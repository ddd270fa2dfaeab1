// Other brokers for comparison: RabbitMQ, Mosquitto and ActiveMQ, if installed (Debian's packages). Each runs on
// loopback, on free ports, with its data in a temporary directory, and is stopped by its process id. Instances that
// already run on the machine are not touched.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endsWithUs } from './ends-with-us.ts';
import { freePort, freePorts, listening } from './free-port.ts';

export const PEERS = ['rabbitmq', 'mosquitto', 'activemq'] as const;
export type PeerName = (typeof PEERS)[number];

/** The ports of a broker; protocols that it does not speak are absent. */
export interface Endpoints {
  readonly amqp?: number;
  readonly mqtt?: number;
  /** WebSocket, at any path. */
  readonly webMqtt?: number;
  readonly stomp?: number;
  /** WebSocket; STOMP's path is `webStompPath`. */
  readonly webStomp?: number;
  readonly webStompPath?: string;
}

export interface RunningPeer {
  readonly name: PeerName;
  readonly pid: number;
  readonly endpoints: Endpoints;
  /** Its output, for the message of a failure. */
  output(): string;
  stop(): Promise<void>;
}

const RABBITMQ = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const MOSQUITTO = '/usr/sbin/mosquitto';
const ACTIVEMQ = '/usr/share/activemq';
const JAVA = '/usr/bin/java';
const EPMD = '/usr/bin/epmd';

/** Far above the start time on a busy machine; a peer that exits early fails at once. */
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 50;

export function installed(name: PeerName): boolean {
  switch (name) {
    case 'rabbitmq':
      return existsSync(RABBITMQ) && existsSync(EPMD);
    case 'mosquitto':
      return existsSync(MOSQUITTO);
    case 'activemq':
      return existsSync(JAVA) && existsSync(join(ACTIVEMQ, 'bin/activemq.jar'));
    default:
      return name satisfies never;
  }
}

/** Starts a peer and resolves when all its ports accept connections. Rejects with its output if it fails. */
export async function startPeer(name: PeerName): Promise<RunningPeer> {
  if (!installed(name)) throw new Error(`${name} is not installed`);
  const home = await mkdtemp(join(tmpdir(), `peer-${name}-`));
  try {
    switch (name) {
      case 'rabbitmq':
        return await startRabbit(home);
      case 'mosquitto':
        return await startMosquitto(home);
      case 'activemq':
        return await startActive(home);
      default:
        return name satisfies never;
    }
  } catch (error) {
    await rm(home, { recursive: true, force: true });
    throw error;
  }
}

/** One process of a peer, with the last lines of its output. */
class PeerProcess {
  readonly child: ChildProcess;
  private text: string;

  constructor(command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv) {
    this.text = '';
    this.child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    endsWithUs(this.child);
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.text = (this.text + chunk).slice(-16_384);
      });
    }
    this.child.on('error', (error) => {
      this.text += String(error);
    });
  }

  get output(): string {
    return this.text;
  }

  get ended(): boolean {
    return this.child.pid === undefined || this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async stop(): Promise<void> {
    if (this.ended) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const late = setTimeout(() => this.child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exit;
    clearTimeout(late);
  }
}

async function startMosquitto(home: string): Promise<RunningPeer> {
  const [mqtt, webMqtt] = await freePorts(2);
  const config = join(home, 'mosquitto.conf');
  // By default Mosquitto queues little for a slow subscriber, and answers are delayed by 40 ms (Nagle with delayed
  // acks).
  await writeFile(
    config,
    [
      `listener ${mqtt} 127.0.0.1`,
      `listener ${webMqtt} 127.0.0.1`,
      'protocol websockets',
      'allow_anonymous true',
      'persistence false',
      'max_queued_messages 100000',
      'max_inflight_messages 100',
      'set_tcp_nodelay true',
      'log_type error',
      'user root',
      '',
    ].join('\n'),
  );
  const server = new PeerProcess(MOSQUITTO, ['-c', config], home, process.env);
  return running('mosquitto', home, [server], { mqtt: mqtt!, webMqtt: webMqtt! });
}

async function startRabbit(home: string): Promise<RunningPeer> {
  const [amqp, mqtt, webMqtt, stomp, webStomp, dist, epmdPort] = await freePorts(7);
  const plugins = join(home, 'enabled_plugins');
  await writeFile(plugins, '[rabbitmq_mqtt,rabbitmq_web_mqtt,rabbitmq_stomp,rabbitmq_web_stomp].\n');
  const config = join(home, 'rabbitmq.conf');
  await writeFile(
    config,
    [
      `listeners.tcp.1 = 127.0.0.1:${amqp}`,
      `mqtt.listeners.tcp.1 = 127.0.0.1:${mqtt}`,
      'mqtt.allow_anonymous = false',
      'web_mqtt.tcp.ip = 127.0.0.1',
      `web_mqtt.tcp.port = ${webMqtt}`,
      'web_mqtt.ws_path = /mqtt',
      `stomp.listeners.tcp.1 = 127.0.0.1:${stomp}`,
      'web_stomp.tcp.ip = 127.0.0.1',
      `web_stomp.tcp.port = ${webStomp}`,
      'log.console = true',
      'log.console.level = warning',
      'log.file = false',
      '',
    ].join('\n'),
  );
  const environment = { ...process.env, HOME: home, ERL_EPMD_PORT: String(epmdPort), ERL_EPMD_ADDRESS: '127.0.0.1' };
  // Its own epmd, so that stopping it affects no other node.
  const epmd = new PeerProcess(EPMD, ['-port', String(epmdPort), '-address', '127.0.0.1'], home, environment);
  await until(() => listening(epmdPort!), [epmd]);
  const server = new PeerProcess(RABBITMQ, [], home, {
    ...environment,
    RABBITMQ_NODENAME: `trivium-peer-${process.pid}-${amqp}@localhost`,
    RABBITMQ_MNESIA_BASE: join(home, 'mnesia'),
    RABBITMQ_LOG_BASE: join(home, 'log'),
    RABBITMQ_CONFIG_FILE: config,
    RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
    RABBITMQ_PID_FILE: join(home, 'pid'),
    RABBITMQ_DIST_PORT: String(dist),
    // The script then executes the server instead of waiting for it, so that the process id is the server's.
    RABBITMQ_ALLOW_INPUT: '1',
    RABBITMQ_SERVER_START_ARGS: '-noinput',
  });
  return running('rabbitmq', home, [server, epmd], {
    amqp: amqp!,
    mqtt: mqtt!,
    webMqtt: webMqtt!,
    stomp: stomp!,
    webStomp: webStomp!,
    webStompPath: '/ws',
  });
}

async function startActive(home: string): Promise<RunningPeer> {
  const stomp = await freePort();
  const jars = ['lib/*', 'lib/optional/*', 'bin/activemq.jar'].map((path) => join(ACTIVEMQ, path)).join(':');
  const server = new PeerProcess(
    JAVA,
    [
      '-Xmx1g',
      `-Dactivemq.home=${ACTIVEMQ}`,
      `-Dactivemq.base=${home}`,
      `-Dactivemq.data=${home}`,
      '-cp',
      jars,
      'org.apache.activemq.console.Main',
      'start',
      `broker:(stomp://127.0.0.1:${stomp})?persistent=false&useJmx=false&dataDirectory=${home}`,
    ],
    home,
    process.env,
  );
  return running('activemq', home, [server], { stomp });
}

/** Waits for the ports. The first process is the broker; the processes are stopped in this order. */
async function running(
  name: PeerName,
  home: string,
  processes: PeerProcess[],
  endpoints: Endpoints,
): Promise<RunningPeer> {
  const stop = async () => {
    for (const process of processes) await process.stop();
    await rm(home, { recursive: true, force: true });
  };
  try {
    for (const port of Object.values(endpoints)) {
      if (typeof port === 'number') await until(() => listening(port), processes);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const [server] = processes;
  return { name, pid: server!.child.pid!, endpoints, output: () => server!.output, stop };
}

async function until(condition: () => Promise<boolean>, processes: PeerProcess[]): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await condition())) {
    for (const process of processes) {
      if (process.ended) throw new Error(`${process.child.spawnfile} ended while starting:\n${process.output}`);
    }
    if (Date.now() > deadline) {
      throw new Error(`not listening after ${START_TIMEOUT_MS} ms:\n${processes.map((p) => p.output).join('\n')}`);
    }
    await delay(POLL_MS);
  }
}

/** A field of `/proc/<pid>/status` in KiB (`VmRSS`, `RssAnon`, …). */
export async function statusKib(pid: number, field: string): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status);
  if (match === null) throw new Error(`no ${field} in /proc/${pid}/status`);
  return Number(match[1]);
}
