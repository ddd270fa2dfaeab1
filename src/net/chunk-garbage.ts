// Frees the buffers in which sockets deliver their input. Most die within the turn, but V8 frees the memory of a young
// buffer only when it collects young objects. Large messages make few objects, so 100 MiB of dead chunks can accumulate
// before V8 collects. This counts the input of all sockets of a broker and starts a young collection each
// `COLLECT_BYTES`. A program that runs without `--expose-gc` (one that embeds a broker may) leaves it to V8.

/**
 * Input between two collections. 256 MiB of input in bodies of 16 KiB grow the process by 45 MiB instead of 115 MiB.
 * With bodies of 100 bytes V8 collects more often by itself.
 */
const COLLECT_BYTES = 8 * 1024 * 1024;

/** Collects young objects and the memory they refer to, in a millisecond or less. */
export type CollectYoung = () => void;

export class ChunkGarbage {
  private readonly collectYoung: CollectYoung | null;
  private delivered: number;

  constructor(collectYoung: CollectYoung | null) {
    this.collectYoung = collectYoung;
    this.delivered = 0;
  }

  /** A chunk of so many bytes is about to be read. Hot path. */
  count(bytes: number): void {
    this.delivered += bytes;
    if (this.delivered < COLLECT_BYTES) return;
    this.delivered = 0;
    if (this.collectYoung !== null) this.collectYoung();
  }
}
