// The commands that clients send, recognised from bytes once for each frame.

export const COMMAND = {
  none: 0,
  connect: 1,
  send: 2,
  subscribe: 3,
  unsubscribe: 4,
  ack: 5,
  nack: 6,
  begin: 7,
  commit: 8,
  abort: 9,
  disconnect: 10,
} as const;

export type Command = (typeof COMMAND)[keyof typeof COMMAND];

/** A longer first line is not a command: the parser refuses it early. */
export const MAX_COMMAND_BYTES = 11;

const SPELLINGS: readonly (readonly [string, Command])[] = [
  ['SEND', COMMAND.send],
  ['ACK', COMMAND.ack],
  ['NACK', COMMAND.nack],
  ['SUBSCRIBE', COMMAND.subscribe],
  ['UNSUBSCRIBE', COMMAND.unsubscribe],
  ['BEGIN', COMMAND.begin],
  ['COMMIT', COMMAND.commit],
  ['ABORT', COMMAND.abort],
  ['DISCONNECT', COMMAND.disconnect],
  ['CONNECT', COMMAND.connect],
  ['STOMP', COMMAND.connect],
];

const TABLE = SPELLINGS.map(([name, command]) => ({ bytes: Buffer.from(name, 'latin1'), command }));

/** The command in buffer[start, end), or COMMAND.none. */
export function commandAt(buffer: Buffer, start: number, end: number): Command {
  const length = end - start;
  next: for (let i = 0; i < TABLE.length; i++) {
    const { bytes, command } = TABLE[i]!;
    if (bytes.length !== length) continue;
    for (let j = 0; j < length; j++) if (buffer[start + j] !== bytes[j]) continue next;
    return command;
  }
  return COMMAND.none;
}

export function commandName(command: Command): string {
  for (const [name, value] of SPELLINGS) if (value === command) return name;
  return 'frame';
}
