/** The commands of streams (5.0), told to an older redis: see feed-translate.ts. PURE. */
import { trimUpTo } from './feed-scripts.ts'
import type { FedCommand, OldRedis, Said, Words } from './feed-translate.ts'

const plain: ReadonlySet<string> = new Set(['XDEL', 'XACK', 'XCLAIM'])
const lost = (why: string): Said => ({ words: [], lost: why })
const one = (...words: Words): Said => ({ words: [words], lost: null })

/** null: it is none of theirs. */
export function streamWords({ name, args }: FedCommand, old: OldRedis): Said | null {
  const say = sayings[name]
  if (say === undefined && !plain.has(name)) return null
  if (old.version < 500) return lost('of a stream (5.0)')
  return say === undefined ? one(name, ...args) : say(args, old)
}

const sayings: Readonly<Record<string, (args: Words, old: OldRedis) => Said>> = {
  XADD: xadd,
  XTRIM: xtrim,
  XGROUP: xgroup,
  // How many entries there ever were: known from 7.0 on, and no part of the data.
  XSETID: (args, old) => one('XSETID', ...args.slice(0, old.version >= 700 ? undefined : 2)),
  XDELEX: (args) => removed('XDEL', args.slice(0, 1), args),
  XACKDEL: (args) => {
    const said = removed('XACK', args.slice(0, 2), args)
    return said.lost === null ? { ...said, words: [...said.words, ...removed('XDEL', args.slice(0, 1), args).words] } : said
  },
}

/** 8.2: `… KEEPREF IDS n id …`. What takes references of other groups away, or asks for them, is not known here. */
function removed(name: string, own: Words, args: Words): Said {
  const ids = args.findIndex((word, at) => at >= own.length && word.toUpperCase() === 'IDS')
  const refs = args.slice(own.length, ids)
  if (ids < 0 || refs.some((word) => word.toUpperCase() !== 'KEEPREF')) return lost('what becomes of references (8.2)')
  return one(name, ...own, ...args.slice(ids + 2))
}

interface Trim {
  /** As an older one takes it: MAXLEN. */
  readonly kept: Words
  /** The last id that goes. */
  readonly upTo: string | null
  readonly refs: boolean
  /** How many words they were. */
  readonly length: number
}

/** The options in front of an id, or at the end. A primary has made of `~` what it came to; LIMIT counts for nobody who is told so. */
function trimOf(words: Words, old: OldRedis): Trim {
  const kept: string[] = []
  let [upTo, refs, at]: [string | null, boolean, number] = [null, false, 0]
  for (; at < words.length; at += 1) {
    const word = (words[at] ?? '').toUpperCase()
    if (word === 'NOMKSTREAM' || word === 'KEEPREF') continue
    if (word === 'DELREF' || word === 'ACKED') refs = true
    else if (word === 'LIMIT') {
      if (old.version >= 602) kept.push(word, words[at + 1] ?? '')
      at += 1
    } else if (word === 'MAXLEN' || word === 'MINID') {
      const how = words[at + 1] === '=' || words[at + 1] === '~' ? [words[at + 1] ?? ''] : []
      const value = words[at + 1 + how.length] ?? ''
      if (word === 'MAXLEN' || old.version >= 602) kept.push(word, ...how, value)
      else upTo = before(value)
      at += how.length + 1
    } else break
  }
  return { kept, upTo, refs, length: at }
}

function xadd([key = '', ...rest]: Words, old: OldRedis): Said {
  const { kept, upTo, refs, length } = trimOf(rest, old)
  if (refs) return lost('what becomes of references (8.2)')
  if (!/^\d+(-\d+)?$/.test(rest[length] ?? '')) return lost(`XADD … ${rest[length] ?? ''}`)
  const add = ['XADD', key, ...kept, ...rest.slice(length)]
  return { words: upTo === null ? [add] : [add, trimming(key, upTo)], lost: null }
}

function xtrim([key = '', ...rest]: Words, old: OldRedis): Said {
  const { kept, upTo, refs } = trimOf(rest, old)
  if (refs) return lost('what becomes of references (8.2)')
  return upTo === null ? (kept.length === 0 ? { words: [], lost: null } : one('XTRIM', key, ...kept)) : one(...trimming(key, upTo))
}

function trimming(key: string, upTo: string): Words {
  return ['EVAL', trimUpTo, '1', key, upTo]
}

const most = 2n ** 64n - 1n

/** The id in front of one: `5-0` comes behind all of 4. */
function before(id: string): string {
  if (!/^\d+(-\d+)?$/.test(id)) return '0-0'
  const [ms = '0', seq = '0'] = id.split('-')
  if (BigInt(seq) > 0n) return `${ms}-${BigInt(seq) - 1n}`
  return BigInt(ms) > 0n ? `${BigInt(ms) - 1n}-${most}` : '0-0'
}

function xgroup(args: Words, old: OldRedis): Said {
  const [verb = '', key = '', group = '', id = '', ...rest] = args
  if (old.version >= 700) return one('XGROUP', ...args)
  if (/^(create|setid)$/i.test(verb)) return one('XGROUP', verb, key, group, id, ...rest.filter((word) => word.toUpperCase() === 'MKSTREAM'))
  // It is made with the first entry that it is given.
  if (/^createconsumer$/i.test(verb) && old.version < 602) return { words: [], lost: null }
  return one('XGROUP', ...args)
}
