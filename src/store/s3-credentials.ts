/** Credentials in the file that the AWS tools write: `[default]`, with a key and its secret. */
import type { Observed } from '../model/outcome.ts'
import { readSecretFile } from './secret-file.ts'

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

const form = '[default], aws_access_key_id = …, aws_secret_access_key = …, each on a line of its own'

export async function readCredentials(file: string): Promise<Observed<Credentials>> {
  const text = await readSecretFile(file, 'the credentials for S3')
  return text.ok ? parseCredentials(text.value, file) : text
}

/** Lines before the first `[…]` count as `[default]`. */
export function parseCredentials(text: string, file: string): Observed<Credentials> {
  const values = new Map<string, string>()
  let profile = 'default'
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    const section = /^\[\s*(.*?)\s*\]$/.exec(line)?.[1]
    if (section !== undefined) profile = section
    const [, key, value] = /^([a-z_]+)\s*=\s*(.*)$/i.exec(line) ?? []
    if (profile === 'default' && key !== undefined && value !== undefined) values.set(key.toLowerCase(), value)
  }
  const [accessKeyId = '', secretAccessKey = '', sessionToken] = ['aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'].map((key) =>
    values.get(key),
  )
  const missing = accessKeyId === '' ? 'aws_access_key_id' : secretAccessKey === '' ? 'aws_secret_access_key' : null
  if (missing !== null) return { ok: false, why: `${file} has no ${missing} in its profile [default]; its form is: ${form}` }
  return { ok: true, value: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } }
}
