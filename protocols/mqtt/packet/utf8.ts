// MQTT's UTF-8 rules in one place: well formed, no surrogates, no U+0000 (MQTT 3.1.1 §1.5.3).

import { isUtf8 } from 'node:buffer';

/** Whether [start, end) is what MQTT calls a UTF-8 encoded string [MQTT-1.5.3-1] [MQTT-1.5.3-2]. */
export function isMqttText(buffer: Buffer, start: number, end: number): boolean {
  let high = 0;
  for (let i = start; i < end; i++) {
    const byte = buffer[i]!;
    if (byte === 0) return false;
    high |= byte;
  }
  return high < 128 || isUtf8(buffer.subarray(start, end));
}
