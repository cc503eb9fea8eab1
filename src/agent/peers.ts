/**
 * Links between agents: one outgoing stream to each peer (what we say) and one incoming (what it says), JSON lines over
 * TLS-PSK. A short beat proves that the agent lives; statements go out when they change. Everything is bounded:
 * line length, buffered bytes, silence. Carries words only; decides nothing.
 */
import { request } from 'node:http'
import { StringDecoder } from 'node:string_decoder'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { isLineage, phases } from '../model/state.ts'
import type { Statement } from '../model/view.ts'
import { monotonicMs } from './clock.ts'
import { isWrongSecret, secureConnect } from './secure.ts'

const maxLineBytes = 262_144
const maxBufferedBytes = 262_144
const connectDeadlineMs = 250
const retryMs = 100
/** One for each voter; a group has five members and a witness. */
const maxVotes = 16
/**
 * A peer unheard for so long gets a new connection. The old one may only be waiting for TCP's retransmission timer, which
 * after a cut of some seconds sleeps for seconds more: two hosts would be healed and still deaf to each other.
 */
const renewAfterMs = 300

/** A host that serves nothing beats at a quarter of the rate. */
const calmBeats = 4
const maxBeatMs = 1000
/** Who has no agent can vote against nobody, and a new one listens for half a second first. Refusals come every `retryMs`. */
const refusalCountsMs = 350

const none = Buffer.alloc(0)

export const peerProtocol = 'holdfast-peer'

export type PeerMessage =
  /** `everyMs`: when the next one is due. `atMs`: the sender's own clock, to be echoed at once; from a host that needs proof of being heard. */
  | { readonly t: 'beat'; readonly everyMs: number; readonly atMs?: number }
  | { readonly t: 'echo'; readonly atMs: number }
  | { readonly t: 'say'; readonly group: string; readonly statement: Statement }
  | { readonly t: 'poke'; readonly group: string }

export interface PeerTarget {
  readonly host: string
  readonly ip: string
  readonly port: number
}

export interface PeerLinkOptions {
  readonly self: string
  readonly secret: string
  readonly targets: readonly PeerTarget[]
  readonly beatMs: number
  /** Does this host serve a group in which its silence decides? Then its death must be noticed at once; else beats are fewer, which is most of an idle agent's work. */
  readonly serves: () => boolean
  /** Does a group on this host need proof that this peer has heard it? */
  readonly needsEcho: (host: string) => boolean
  /** Called every `beatMs`, as exactly as the event loop allows, after the beat has gone out. */
  readonly ticked: () => void
  readonly heard: (host: string, message: PeerMessage) => void
  /** A peer has just become silent, or a link opened or closed. */
  readonly changed: (host: string) => void
  /** A new link: say everything once. */
  readonly opened: (host: string) => void
  readonly complain: (text: string) => void
}

export interface PeerLinks {
  readonly send: (host: string, message: PeerMessage) => void
  readonly silentMs: (host: string) => number
  /** How often this peer says it beats. */
  readonly everyMs: (host: string) => number
  /** The peer's kernel answers that nobody listens on the agent's port. */
  readonly isRefused: (host: string) => boolean
  /**
   * The stream on which this peer spoke has ended and no other has come: its agent was stopped or killed, or renews the link. Known
   * at once, where silence takes a tenth of a second in which a redis that died with it may be back with other data.
   */
  readonly hasHungUp: (host: string) => boolean
  /** How long ago this host sent the youngest beat that the peer has heard; 0 when its kernel has just refused a connection. */
  readonly contactMs: (host: string) => number
  readonly accept: (host: string, stream: Duplex) => void
  readonly close: () => void
}

interface Link {
  readonly target: PeerTarget
  out: Duplex | null
  pending: TLSSocket | null
  incoming: Duplex | null
  heardMs: number
  everyMs: number
  /** The bytes of the last beat that asked for no echo. */
  lastBeat: Buffer
  refused: boolean
  refusedAtMs: number
  echoMs: number
  hungUp: boolean
  retry: NodeJS.Timeout | null
  triedMs: number
  complained: string
}

export function openPeerLinks(options: PeerLinkOptions): PeerLinks {
  const links = new Map<string, Link>()
  let closed = false
  for (const target of options.targets) {
    links.set(target.host, {
      target,
      out: null,
      pending: null,
      incoming: null,
      everyMs: options.beatMs,
      lastBeat: none,
      heardMs: Number.NEGATIVE_INFINITY,
      refused: false,
      refusedAtMs: Number.NEGATIVE_INFINITY,
      echoMs: Number.NEGATIVE_INFINITY,
      hungUp: false,
      retry: null,
      triedMs: 0,
      complained: '',
    })
  }

  function connectTo(link: Link): void {
    if (closed || link.out !== null || link.pending !== null) return
    const { target } = link
    link.triedMs = monotonicMs()
    const socket = secureConnect(target.ip, target.port, options.secret, options.self)
    link.pending = socket
    const giveUp = setTimeout(() => socket.destroy(), connectDeadlineMs)
    socket.setNoDelay(true)
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const refused = error.code === 'ECONNREFUSED'
      if (refused) link.refusedAtMs = monotonicMs()
      if (refused !== link.refused) {
        link.refused = refused
        options.changed(target.host)
      }
      if (isWrongSecret(error)) complainOnce(link, `the agent of ${target.host} has another secret (HF302)`)
    })
    socket.once('close', () => {
      clearTimeout(giveUp)
      link.pending = null
      link.out = null
      if (closed) return
      options.changed(target.host)
      link.retry = setTimeout(() => connectTo(link), retryMs)
    })
    socket.once('secureConnect', () => upgrade(link, socket, giveUp))
  }

  function upgrade(link: Link, socket: TLSSocket, giveUp: NodeJS.Timeout): void {
    const upgradeRequest = request({
      createConnection: () => socket,
      path: '/peer',
      headers: { connection: 'Upgrade', upgrade: peerProtocol, 'x-holdfast-host': options.self },
    })
    upgradeRequest.once('error', () => socket.destroy())
    upgradeRequest.once('response', () => {
      complainOnce(link, `the agent of ${link.target.host} does not know the host ${options.self}: the configurations differ`)
      socket.destroy()
    })
    upgradeRequest.once('upgrade', (_response, stream: Duplex) => {
      clearTimeout(giveUp)
      link.out = stream
      link.refused = false
      link.complained = ''
      stream.on('error', () => socket.destroy())
      stream.resume()
      options.opened(link.target.host)
    })
    upgradeRequest.end()
  }

  function complainOnce(link: Link, text: string): void {
    if (link.complained === text) return
    link.complained = text
    options.complain(text)
  }

  function write(link: Link, line: string | Buffer): void {
    const out = link.out
    if (out === null || out.destroyed) return
    if (out.writableLength > maxBufferedBytes) {
      out.destroy() // it does not read; what is buffered is stale anyway
      return
    }
    out.write(line)
  }

  function accept(host: string, stream: Duplex): void {
    const link = links.get(host)
    if (link === undefined) {
      stream.destroy()
      return
    }
    link.incoming?.destroy()
    link.incoming = stream
    link.hungUp = false
    let rest = ''
    const decoder = new StringDecoder('utf8')
    stream.on('error', () => stream.destroy())
    stream.on('close', () => {
      if (link.incoming === stream) {
        link.incoming = null
        link.hungUp = true
      }
      if (!closed) options.changed(host)
    })
    stream.on('data', (chunk: Buffer) => {
      // Twenty times a second the same beat: read once, then known by its bytes.
      if (rest === '' && chunk.equals(link.lastBeat)) {
        link.heardMs = monotonicMs()
        return
      }
      rest += decoder.write(chunk)
      let end = rest.indexOf('\n')
      for (; end >= 0; end = rest.indexOf('\n')) {
        const line = rest.slice(0, end)
        rest = rest.slice(end + 1)
        if (!receive(link, line)) {
          options.complain(`${host} sent a line that is no message; its link is closed`)
          stream.destroy()
          return
        }
      }
      if (rest.length > maxLineBytes) {
        options.complain(`${host} sent a message above ${maxLineBytes} bytes; its link is closed`)
        stream.destroy()
      }
    })
  }

  function receive(link: Link, line: string): boolean {
    const message = parseMessage(line, link.target.host)
    if (message === null) return false
    link.heardMs = monotonicMs()
    if (message.t === 'beat') {
      // One that asks for an echo may beat at another rate: the bytes from before it say no more how often it beats now.
      link.lastBeat = message.atMs === undefined ? Buffer.from(`${line}\n`) : none
      if (message.atMs !== undefined) write(link, lineOf({ t: 'echo', atMs: message.atMs }))
      link.everyMs = Math.min(maxBeatMs, Math.max(options.beatMs, message.everyMs))
    }
    if (message.t === 'echo') {
      link.echoMs = Math.max(link.echoMs, Math.min(message.atMs, link.heardMs))
      return true
    }
    options.heard(link.target.host, message)
    return true
  }

  const calmMs = options.beatMs * calmBeats
  // Made once: they are most of what an idle agent says.
  const calmBeat = Buffer.from(lineOf({ t: 'beat', everyMs: calmMs }))
  const busyBeat = Buffer.from(lineOf({ t: 'beat', everyMs: options.beatMs }))
  let beatEveryMs = options.beatMs
  let beatenMs = 0
  function beat(nowMs: number): void {
    const everyMs = options.serves() ? options.beatMs : calmMs
    // A host that has just begun to serve says so at once, and is listened to more closely from then on.
    if (everyMs === beatEveryMs && nowMs - beatenMs < everyMs - options.beatMs / 2) return
    beatEveryMs = everyMs
    beatenMs = nowMs
    const plain = everyMs === calmMs ? calmBeat : busyBeat
    for (const link of links.values()) write(link, options.needsEcho(link.target.host) ? lineOf({ t: 'beat', everyMs, atMs: nowMs }) : plain)
  }
  const timer = setInterval(() => {
    const nowMs = monotonicMs()
    beat(nowMs)
    for (const link of links.values()) {
      const silentMs = nowMs - link.heardMs
      if (silentMs > link.everyMs * 1.2 && silentMs < 5000) options.changed(link.target.host)
      else if (options.needsEcho(link.target.host) && nowMs - link.echoMs > options.beatMs * 1.5) options.changed(link.target.host)
      if (silentMs > Math.max(renewAfterMs, link.everyMs * 2) && link.out !== null && nowMs - link.triedMs > renewAfterMs) link.out.destroy()
    }
    // What waits for this is less urgent than the beat.
    options.ticked()
  }, options.beatMs)
  for (const link of links.values()) connectTo(link)

  return {
    send: (host, message) => {
      const link = links.get(host)
      if (link !== undefined) write(link, lineOf(message))
    },
    everyMs: (host) => links.get(host)?.everyMs ?? options.beatMs,
    silentMs: (host) => monotonicMs() - (links.get(host)?.heardMs ?? Number.NEGATIVE_INFINITY),
    isRefused: (host) => links.get(host)?.refused ?? false,
    contactMs: (host) => {
      const link = links.get(host)
      if (link === undefined) return Number.POSITIVE_INFINITY
      const nowMs = monotonicMs()
      return nowMs - link.refusedAtMs < refusalCountsMs ? 0 : nowMs - link.echoMs
    },
    hasHungUp: (host) => links.get(host)?.hungUp ?? false,
    accept,
    close: () => {
      closed = true
      clearInterval(timer)
      for (const link of links.values()) {
        if (link.retry !== null) clearTimeout(link.retry)
        link.out?.destroy()
        link.pending?.destroy()
        link.incoming?.destroy()
      }
    },
  }
}

function lineOf(message: PeerMessage): string {
  return `${JSON.stringify(message)}\n`
}

/** null: not a message of this protocol. A statement must come from the host that its link belongs to. */
export function parseMessage(line: string, from: string): PeerMessage | null {
  try {
    const message = JSON.parse(line) as PeerMessage
    if (message.t === 'beat') return Number.isFinite(message.everyMs) && (message.atMs === undefined || Number.isFinite(message.atMs)) ? message : null
    if (message.t === 'echo') return Number.isFinite(message.atMs) ? message : null
    if (message.t === 'poke') return typeof message.group === 'string' ? message : null
    if (message.t !== 'say' || typeof message.group !== 'string') return null
    return isSound(message.statement, from) ? message : null
  } catch {
    return null
  }
}

/** All that the core reads without asking: a peer of another version must cost its own link, not this agent's cycles. */
function isSound(statement: Statement, from: string): boolean {
  if (!isObject(statement) || statement.host !== from || !Number.isInteger(statement.epoch) || !phases.some((p) => p === statement.phase)) return false
  const { redis, paused, lineage, handover, holder, vote } = statement
  const facts =
    redis === null ||
    (isObject(redis) &&
      Number.isFinite(redis.offset) &&
      Number.isFinite(redis.keys) &&
      typeof redis.replid === 'string' &&
      typeof redis.runId === 'string' &&
      isRestored(redis.restored))
  const words = (holder === null || typeof holder === 'string') && (handover === null || isObject(handover)) && isVote(vote) && areVotes(statement.votesHeard)
  return isLineage(lineage) && facts && words && isObject(paused) && Number.isFinite(paused.atWallMs)
}

function isRestored(restored: unknown): boolean {
  if (restored == null) return true
  const { epoch, holder, about, atLeast } = restored as Record<string, unknown>
  return Number.isInteger(epoch) && typeof holder === 'string' && Number.isFinite(about) && Number.isFinite(atLeast)
}

/** An agent of an older version says nothing of votes. */
function isVote(vote: Statement['vote'] | undefined): boolean {
  return vote === null || vote === undefined || (isObject(vote) && Number.isInteger(vote.epoch) && typeof vote.to === 'string')
}

function areVotes(votes: unknown): boolean {
  const one = (v: unknown): boolean => isObject(v) && typeof (v as { from?: unknown }).from === 'string' && isVote(v as Statement['vote'])
  return votes === undefined || (Array.isArray(votes) && votes.length <= maxVotes && votes.every(one))
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}
