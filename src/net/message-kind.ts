// Kinds of WebSocket messages, as front-ends and the WebSocket framing name them.

/** Kinds of WebSocket messages; the numbers are the opcodes (RFC 6455 §5.2). Byte streams are binary. */
export const MESSAGE_KIND = { text: 1, binary: 2 } as const;

export type MessageKind = (typeof MESSAGE_KIND)[keyof typeof MESSAGE_KIND];
