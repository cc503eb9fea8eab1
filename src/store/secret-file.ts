/** A file of the operator's with a secret in it. One that others may read is refused; what it holds is in no message. */
import { open } from 'node:fs/promises'
import type { Observed } from '../model/outcome.ts'

const othersBits = 0o077
/** Keys and passwords are small: who names a disk or a log by mistake is told so. */
const maxBytes = 64 * 1024

export async function readSecretFile(file: string, what: string): Promise<Observed<string>> {
  try {
    const handle = await open(file, 'r')
    try {
      const { mode, size } = await handle.stat()
      const octal = (mode & 0o777).toString(8).padStart(3, '0')
      if ((mode & othersBits) !== 0) return { ok: false, why: `others may read ${what} in ${file} (its mode is ${octal}): chmod 600 ${file}` }
      if (size > maxBytes) return { ok: false, why: `${file} has ${size} bytes: that is not ${what}` }
      return { ok: true, value: await handle.readFile('utf8') }
    } finally {
      await handle.close()
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'is not there' : code === 'EACCES' ? 'cannot be read: no permission' : `cannot be read: ${message}`
    return { ok: false, why: `${file}, which is to hold ${what}, ${why}` }
  }
}
