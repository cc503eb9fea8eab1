/** A stream of the group as the bytes that an older redis is given, from one point on. PURE: the same bytes come out each time, however they are cut. */
import { withUntold, type FeedPoint } from '../model/feed.ts'
import { streamParser } from '../salvage/stream.ts'
import { translated, type OldRedis, type Words } from './feed-translate.ts'

export interface Teller {
  /** What is made of it, one character per byte. */
  readonly push: (latin1: string) => string
  /** All up to there has come out. In the middle of a MULTI: in front of it. */
  readonly point: () => FeedPoint
  /** Of the last byte that has come out. */
  readonly fed: () => number
  /** Of the group's stream, of the first byte that is no part of a whole command. */
  readonly position: () => number
  readonly broken: () => string | null
}

const namedChars = 60

export function tellFrom(from: FeedPoint, replid: string, old: OldRedis): Teller {
  const parser = streamParser(from.offset + 1, from.database)
  let { fed, untold } = from
  let inMulti = false
  let point: FeedPoint = { ...from, replid }
  return {
    push: (latin1) => {
      let out = ''
      const commands = parser.push(latin1)
      commands.forEach((command, index) => {
        const { name, args } = command
        const { words, lost } = translated(command, old)
        // A reader of the old redis must not see the one half of it.
        const whole = inMulti || words.length < 2 ? words : [['MULTI'], ...words, ['EXEC']]
        const text = whole.map(asText).join('')
        if (name === 'MULTI') inMulti = true
        if (name === 'EXEC' || name === 'DISCARD') inMulti = false
        if (lost !== null)
          untold = withUntold(
            untold,
            `${name} ${readable(args[0] ?? '')}${command.database === 0 || command.database === null ? '' : ` in database ${command.database}`}: ${lost}`,
          )
        fed += text.length
        out += text
        const database = name === 'SELECT' ? Number(args[0]) : command.database
        if (!inMulti) point = { replid, offset: (commands[index + 1]?.offset ?? parser.position()) - 1, fed, database, untold }
      })
      return out
    },
    point: () => point,
    fed: () => fed,
    position: () => parser.position(),
    broken: () => parser.broken(),
  }
}

function asText(words: Words): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`
}

function readable(key: string): string {
  const text = JSON.stringify(key).slice(1, -1)
  return text.length > namedChars ? `${text.slice(0, namedChars)}…` : text
}
