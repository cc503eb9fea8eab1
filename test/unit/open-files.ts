/** Which files this process has open: what is never closed is found by nobody until there is none left. */
import { readdirSync, readlinkSync } from 'node:fs'

/** How many whose name begins so. */
export function openFilesOf(prefix: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith(prefix)).length
}

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return '' // closed since it was listed
  }
}
