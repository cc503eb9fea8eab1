/**
 * A relay at the old address: what it may do with a connection, from what the agents of the group have said. It hands on only what is the
 * group's by the latest word; until the cut-over and on the way back the old redis has its clients itself. PURE.
 */
import { laterMove, type Move, type SourceAt } from '../model/move.ts'
import type { RelayWord } from '../model/relay.ts'

export interface Known {
  /** The redis at whose address it stands. */
  readonly source: SourceAt
  readonly move: Move
  /** Who was the primary in the latest epoch that anybody told of; null: nobody was heard that is one. */
  readonly primary: { readonly host: string; readonly epoch: number } | null
}

export type Course =
  /** Connections are the group's. `to`, its primary; null: it has none at this moment, and they wait. */
  | { readonly does: 'forward'; readonly to: string | null; readonly why: string }
  /** They are the old redis's; 'make ready': in a moment they may be the group's. */
  | { readonly does: 'stand by' | 'make ready'; readonly why: string }

/** Never back to an earlier word: an agent that was cut off goes on telling what it knew. */
export function learn(known: Known, word: RelayWord): Known {
  const move = laterMove(known.move, word.move) ?? known.move
  const isNewer = word.serves && (known.primary === null || word.epoch > known.primary.epoch)
  return { ...known, move, primary: isNewer ? { host: word.host, epoch: word.epoch } : known.primary }
}

export function courseOf({ source, move, primary }: Known): Course {
  const at = `${source.host}:${source.port}`
  if (move.source.host !== source.host || move.source.port !== source.port)
    return standBy(`another redis is being moved to the group: ${move.source.host}:${move.source.port}`)
  switch (move.stage) {
    case 'sync':
      return standBy(move.last.startsWith('rolled back') ? `the way back was gone: ${at} serves again` : `before the cut-over: ${at} serves`)
    case 'hold':
    case 'fence':
      return { does: 'make ready', why: 'the cut-over is under way' }
    case 'back-hold':
    case 'back-fence':
    case 'back-give':
      return standBy(`on the way back: the clients belong to ${at}`)
    case 'aborted':
      return standBy(`the move was called off: ${at} serves`)
    case 'moved':
    case 'done':
      return forward(move, primary)
  }
}

function standBy(why: string): Course {
  return { does: 'stand by', why }
}

/** Of an earlier epoch than the move itself it was the primary before a way back, or before a failover that nobody has ended yet. */
function forward(move: Move, primary: Known['primary']): Course {
  const stage = move.stage === 'done' ? 'the move is final' : 'the group serves'
  if (primary === null || primary.epoch < move.epoch) return { does: 'forward', to: null, why: `${stage}; who is its primary is not known yet` }
  return { does: 'forward', to: primary.host, why: `${stage}, ${primary.host} is its primary` }
}

/** From `--listen` and the like: an IPv4 address and a port. */
export function parseListen(text: string): SourceAt | null {
  const found = /^(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})$/.exec(text)
  const port = Number(found?.[2] ?? 0)
  const host = found?.[1] ?? ''
  return port > 0 && port < 65536 && isIpv4(host) ? { host, port } : null
}

export function isIpv4(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && text.split('.').every((part) => Number(part) < 256)
}

/**
 * Which addresses of this host lead to the old redis. /proc/net/tcp and tcp6: where it alone listens on the port, and at every address, all of them
 * do (null). Else only its own: beside it another redis may have that port, whose clients would write to the wrong data.
 */
export function addressesOf(tables: string, source: SourceAt, own: readonly string[]): readonly string[] | null {
  const listening = tables.split('\n').flatMap((line) => {
    const [, local = '', , state = ''] = line.trim().split(/\s+/)
    const [address = '', port = ''] = local.split(':')
    return state === '0A' && Number.parseInt(port, 16) === source.port ? [address] : []
  })
  return listening.length > 0 && listening.every((address) => /^0+$/.test(address)) ? null : [...new Set([source.host, ...own])]
}

/** A replica, by its first words: to be led to the group would mean that all it has is gone, or a full sync without end where it is older. */
export function asksForData(text: string): boolean {
  return /(?:^|\r\n)\*\d+\r\n\$\d+\r\n(?:replconf|psync|sync)\r\n|^(?:replconf|psync|sync)[ \r]/i.test(text)
}
