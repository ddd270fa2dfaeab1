// Frames as bytes, built independently of the broker's encoder, and a simple reader for its answers.

/** A frame's bytes: header lines as given, without escaping, LF line ends. */
export function frame(command: string, lines: readonly string[] = [], body: string | Buffer = ''): Buffer {
  return Buffer.concat([
    Buffer.from(`${[command, ...lines].join('\n')}\n\n`),
    typeof body === 'string' ? Buffer.from(body) : body,
    Buffer.from([0]),
  ]);
}

export interface ReadFrame {
  readonly command: string;
  /** Unescaped by the rules of 1.2; the first of repeated headers. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', c: ':', '\\': '\\' };

/** Every complete frame in the bytes, by content-length if present, and the remaining bytes. */
export function readFrames(bytes: Buffer): { frames: ReadFrame[]; rest: Buffer } {
  const frames: ReadFrame[] = [];
  let rest = bytes;
  for (;;) {
    let start = 0;
    while (start < rest.length && (rest[start] === 10 || rest[start] === 13)) start++;
    const head = rest.indexOf('\n\n', start);
    if (head < 0) return { frames, rest: rest.subarray(start) };
    const lines = rest.toString('utf8', start, head).split('\n');
    const headers: Record<string, string> = {};
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      const name = withoutEscapes(line.slice(0, colon));
      if (!(name in headers)) headers[name] = withoutEscapes(line.slice(colon + 1));
    }
    const bodyAt = head + 2;
    const length = headers['content-length'];
    const end = length === undefined ? rest.indexOf(0, bodyAt) : bodyAt + Number(length);
    if (end < 0 || end >= rest.length) return { frames, rest: rest.subarray(start) };
    if (rest[end] !== 0) throw new Error(`no NUL after a ${lines[0]} frame`);
    frames.push({ command: lines[0]!, headers, body: rest.subarray(bodyAt, end) });
    rest = rest.subarray(end + 1);
  }
}

function withoutEscapes(text: string): string {
  return text.replace(/\\(.)/gs, (whole, code: string) => {
    const character = ESCAPES[code];
    if (character === undefined) throw new Error(`undefined escape ${whole}`);
    return character;
  });
}
