// Memory for bytes that live long: keys and values of caches, a consumer's template, a will. `Buffer.from` and
// `allocUnsafe` cut small buffers from a pool of 64 KiB, which lives as long as any of them: 1,600 cached destinations
// of 30 bytes held 100 MiB. These functions allocate separately.

/** A copy in memory of its own. */
export function ownBytes(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

/** A text in UTF-8, in memory of its own. */
export function ownUtf8(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text, 'utf8'));
  bytes.write(text, 'utf8');
  return bytes;
}
