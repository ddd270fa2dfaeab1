// Memory for messages that outlive the turn in which they arrived. Small messages are packed into slabs; large ones
// get memory of their own, so that a straggler never pins more than a slab.

import type { Message } from './message.ts';

const SLAB_BYTES = 64 * 1024;
/** From here on a message gets its own allocation. */
const OWN_ALLOCATION_BYTES = 8 * 1024;

export class MessageSlabs {
  private slab: Buffer;
  private used: number;

  constructor() {
    this.slab = Buffer.alloc(0);
    this.used = 0;
  }

  /** Moves body and native properties into memory of our own. */
  own(message: Message): void {
    if (message.owned) return;
    const { nativeLength, bodyLength } = message;
    const total = nativeLength + bodyLength;
    let target: Buffer;
    let at: number;
    if (total >= OWN_ALLOCATION_BYTES) {
      target = Buffer.allocUnsafeSlow(total);
      at = 0;
    } else {
      if (this.used + total > this.slab.length) {
        this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
        this.used = 0;
      }
      target = this.slab;
      at = this.used;
      this.used += total;
    }
    message.native.copy(target, at, message.nativeOffset, message.nativeOffset + nativeLength);
    message.native = target;
    message.nativeOffset = at;
    message.body.copy(target, at + nativeLength, message.bodyOffset, message.bodyOffset + bodyLength);
    message.body = target;
    message.bodyOffset = at + nativeLength;
    message.owned = true;
  }
}
