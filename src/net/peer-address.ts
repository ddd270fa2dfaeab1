// Addresses of peers: in one form, whether they are on this machine, and what they count as where a limit is for each
// address.

import { isIPv6 } from 'node:net';

/** IPv4 within IPv6 as IPv4. */
export function plainAddress(host: string): string {
  return host.startsWith('::ffff:') ? host.slice(7) : host;
}

/** 127.0.0.0/8, ::1, and IPv4 within IPv6. */
export function isLoopback(host: string): boolean {
  const plain = plainAddress(host);
  return plain.startsWith('127.') || plain === '::1';
}

/** What an address counts as where a limit is for each: itself, or of IPv6 its first 64 bits, which one subscriber has. */
export function addressGroup(address: string): string {
  const plain = plainAddress(address);
  if (!isIPv6(plain)) return plain;
  const [left = '', right] = plain.split('%')[0]!.split('::');
  const head = left === '' ? [] : left.split(':');
  if (right !== undefined) {
    const tail = right === '' ? 0 : right.split(':').length;
    // `::` stands for as many zeros as are missing.
    while (head.length < 8 - tail) head.push('0');
    if (right !== '') head.push(...right.split(':'));
  }
  const first = head.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${first.join(':')}::/64`;
}
