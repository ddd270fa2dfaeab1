// STOMP 1.2 frames built independently of the broker's codec, for load generators, fuzzers and tests.

/** A frame. Header names and values are written unchanged: the caller escapes them. */
export function frame(
  command: string,
  headers: Readonly<Record<string, string | number>>,
  body: Buffer | string = '',
): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  return Buffer.concat([
    Buffer.from(`${command}\n${lines.join('')}\n`, 'utf8'),
    typeof body === 'string' ? Buffer.from(body, 'utf8') : body,
    Buffer.from([0]),
  ]);
}

export function connect(user: string, password: string): Buffer {
  return frame('CONNECT', { 'accept-version': '1.2', host: '/', login: user, passcode: password, 'heart-beat': '0,0' });
}

export function send(
  destination: string,
  body: Buffer,
  headers: Readonly<Record<string, string | number>> = {},
): Buffer {
  return frame('SEND', { destination, 'content-length': body.length, ...headers }, body);
}

export function subscribe(id: string, destination: string, headers: Readonly<Record<string, string>> = {}): Buffer {
  return frame('SUBSCRIBE', { id, destination, ...headers });
}
