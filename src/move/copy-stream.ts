/** A stream as commands that build it anew: its entries with their names, where it stands, its groups, their consumers, and what each of these has not acknowledged yet. */
import type { RawReply, Word } from '../redis/raw.ts'
import { listOf, textOf } from './digest.ts'

const pieceElements = 500

type Ask = (...words: readonly Word[]) => Promise<RawReply>
type Commands = readonly (readonly Word[])[]

export async function* streamPieces(ask: Ask, key: Buffer): AsyncGenerator<Commands, void, undefined> {
  let [from, entries] = ['-', 0]
  for (;;) {
    const page = listOf(await ask('XRANGE', key, from, '+', 'COUNT', String(pieceElements))).map(listOf)
    entries += page.length
    if (page.length > 0) yield page.map(([id, fields]) => ['XADD', key, textOf(id), ...(listOf(fields) as readonly Buffer[])])
    const last = page.at(-1)?.[0]
    if (page.length < pieceElements || last === undefined) break
    from = after(textOf(last))
  }
  const about = pairsIn(await ask('XINFO', 'STREAM', key))
  const lastId = textOf(about.get('last-generated-id'))
  // Without an entry there is none to begin with: one is written, and goes at once.
  if (entries === 0) yield [['XADD', key, 'MAXLEN', '0', lastId === '0-0' ? '0-1' : lastId, 'x', 'y']]
  yield [['XSETID', key, lastId]]
  for (const group of listOf(await ask('XINFO', 'GROUPS', key))) yield* groupPieces(ask, key, pairsIn(group))
}

async function* groupPieces(ask: Ask, key: Buffer, group: ReadonlyMap<string, RawReply>): AsyncGenerator<Commands, void, undefined> {
  const name = wordOf(group.get('name'))
  yield [['XGROUP', 'CREATE', key, name, textOf(group.get('last-delivered-id'))]]
  let from = '-'
  for (;;) {
    const page = listOf(await ask('XPENDING', key, name, from, '+', String(pieceElements))).map(listOf)
    const nowMs = Date.now()
    // As redis itself writes it into an AOF: the time of the delivery stays, and how often it was delivered.
    if (page.length > 0)
      yield page.map(([id, consumer, idleMs, times]) => [
        ...['XCLAIM', key, name, wordOf(consumer), '0', textOf(id), 'TIME', String(nowMs - Number(idleMs))],
        ...['RETRYCOUNT', String(Number(times)), 'FORCE', 'JUSTID'],
      ])
    const last = page.at(-1)?.[0]
    if (page.length < pieceElements || last === undefined) return
    from = after(textOf(last))
  }
}

/** The next name there can be: before 6.2 a range has no open end. */
function after(id: string): string {
  const [ms = '0', seq = '0'] = id.split('-')
  return `${ms}-${BigInt(seq) + 1n}`
}

function pairsIn(reply: RawReply): ReadonlyMap<string, RawReply> {
  const flat = listOf(reply)
  return new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[textOf(name), flat[i + 1] ?? null] as const] : [])))
}

function wordOf(reply: RawReply | undefined): Word {
  return Buffer.isBuffer(reply) ? reply : textOf(reply)
}
