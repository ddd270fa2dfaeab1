// A will: what CONNECT says of it, and the form in which it is stored with its session.

export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  /** The properties that go with the message (property-codec.ts). */
  readonly block: Buffer;
  /** How long the client may be away before it is published. */
  readonly delaySeconds: number;
  /** Milliseconds, from when it is published; -1: it does not expire. */
  readonly expirationMs: number;
}

/** A will as a plain JSON value. */
export type StoredWill = Readonly<Record<string, unknown>>;

export function willToJson(will: Will): StoredWill {
  return { ...will, payload: will.payload.toString('base64'), block: will.block.toString('base64') };
}

export function willFromJson(json: StoredWill): Will {
  return {
    topic: json.topic as string,
    payload: Buffer.from(json.payload as string, 'base64'),
    qos: json.qos as number,
    retain: json.retain as boolean,
    block: Buffer.from(json.block as string, 'base64'),
    delaySeconds: json.delaySeconds as number,
    expirationMs: json.expirationMs as number,
  };
}
