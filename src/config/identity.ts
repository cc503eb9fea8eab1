/**
 * Are two configurations the same? By what they mean, not by their text: a default that is written out, a comment or the order of keys is no
 * difference, and `paths` and `api.secret_file` are each host's own. Also how a file that another host sends keeps what is this host's own.
 */
import { createHash } from 'node:crypto'
import { isMap, parseDocument } from 'yaml'
import { assert } from '../model/assert.ts'
import { hostsOf } from '../model/config.ts'
import { parseConfig } from './parse.ts'

export interface ConfigIdentity {
  readonly hash: string
  /** Of each group, with the hosts that it is on. */
  readonly groups: Readonly<Record<string, string>>
}

/** Where every text is taken to lie: files are compared as they are named there, wherever the configuration lies on each host. */
const anywhere = '/holdfast.yaml'

/** Of a text that has been read without a problem. */
export function identityOf(text: string): ConfigIdentity {
  const { config } = parseConfig(text, anywhere)
  assert(config !== undefined, 'the identity of a configuration that cannot be read')
  const hash = (value: unknown): string => createHash('sha256').update(JSON.stringify(value, inOrder)).digest('hex').slice(0, 12)
  const groups = Object.values(config.groups).map((group) => {
    const hosts = hostsOf(group).map((name) => config.hosts[name] ?? name)
    return [group.name, hash([group, hosts, config.api.port])] as const
  })
  return { hash: hash([config.api.port, config.hosts, config.groups]), groups: Object.fromEntries(groups) }
}

/** Keys in one order. */
function inOrder(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([one], [two]) => (one < two ? -1 : 1)))
}

const ownKeys = [['paths'], ['api', 'secret_file']] as const

/** `text` with what is a host's own as `own` has it. Where nothing differs, to the letter. */
export function withOwnKeys(text: string, own: string): string {
  const [given, mine] = [parseDocument(text, { merge: true }), parseDocument(own, { merge: true })]
  const differing = ownKeys.filter((path) => JSON.stringify(plain(given.getIn(path))) !== JSON.stringify(plain(mine.getIn(path))))
  if (differing.length === 0) return text
  for (const path of differing) {
    const value = plain(mine.getIn(path))
    if (value === undefined) given.deleteIn(path)
    else given.setIn(path, given.createNode(value))
  }
  const api = given.get('api')
  if (isMap(api) && api.items.length === 0) given.delete('api')
  return given.toString()
}

function plain(value: unknown): unknown {
  return isMap(value) ? value.toJSON() : value
}
