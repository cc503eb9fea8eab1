/**
 * IPv4 arithmetic for the checks: addresses as unsigned 32-bit numbers. Must not resolve names: a configuration whose meaning
 * depends on DNS fails over differently on the day when DNS is down.
 */

export function parseIpv4(text: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1)
  if (parts === undefined) return undefined
  // A leading zero is octal to some programs and decimal to others.
  if (parts.some((part) => Number(part) > 255 || (part.length > 1 && part.startsWith('0')))) return undefined
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0)
}

export function formatIpv4(ip: number): string {
  return [24, 16, 8, 0].map((shift) => (ip >>> shift) & 255).join('.')
}

function mask(prefix: number): number {
  return prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0
}

export function networkOf(ip: number, prefix: number): number {
  return (ip & mask(prefix)) >>> 0
}

export function broadcastOf(ip: number, prefix: number): number {
  return (ip | ~mask(prefix)) >>> 0
}

export function isLoopback(ip: number): boolean {
  return ip >>> 24 === 127
}

/** Why no host can have this address. */
export function unusableReason(ip: number): string | undefined {
  const first = ip >>> 24
  if (isLoopback(ip)) return 'a loopback address, which other hosts cannot reach'
  if (first === 0) return 'not the address of a host'
  if (first >= 224) return 'a multicast or reserved address'
  return undefined
}
