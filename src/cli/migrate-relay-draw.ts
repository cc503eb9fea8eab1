/** Who uses a relay, for the eye and as JSON: a page that is renewed on a terminal, elsewhere a line each time something changes. */
import pc from 'picocolors'
import type { Forwarded } from '../move/relay.ts'
import { counted, momentWords, sizeWords, spanWords } from './backup-words.ts'

export interface RelayNow {
  readonly group: string
  readonly stage: string
  /** Where connections are taken. */
  readonly at: string
  readonly takes: boolean
  readonly to: { readonly host: string; readonly ip: string } | null
  readonly why: string
  /** For how long no agent has answered. */
  readonly silentMs: number
  /** For how long nobody has used it; null: somebody does, or it stands by. */
  readonly nobodyMs: number | null
  readonly taken: number
  readonly failed: number
  /** Sent away: they asked for data. */
  readonly replicas: number
  /** `sinceMs`: for how long. */
  readonly connections: readonly (Forwarded & { readonly name: string; readonly command: string })[]
}

export interface RelayTeller {
  readonly event: (text: string) => void
  readonly look: (now: RelayNow) => void
  readonly end: (now: RelayNow, why: string) => void
}

const shownAtMost = 20
const lastEvents = 5
const silentAfterMs = 5000

export function relayTeller(json: boolean): RelayTeller {
  const write = (text: string): void => void process.stdout.write(text)
  if (json) {
    return {
      event: (text) => write(`${JSON.stringify({ atWallMs: Date.now(), event: text })}\n`),
      look: (now) => write(`${JSON.stringify(relayJson(now))}\n`),
      end: (now, why) => write(`${JSON.stringify({ ...relayJson(now), ended: why })}\n`),
    }
  }
  if (process.stdout.isTTY) {
    const events: string[] = []
    const event = (text: string): void => {
      events.push(`${momentWords(Date.now())}  ${text}`)
      if (events.length > lastEvents) events.shift()
    }
    const page = (now: RelayNow): string => `\x1b[H\x1b[2J${drawRelay(now)}\n${events.map((line) => pc.dim(line)).join('\n')}\n`
    return { event, look: (now) => write(`${page(now)}${pc.dim('Ctrl-C ends it')}\n`), end: (now, why) => write(`${page(now)}${why}\n`) }
  }
  const line = (text: string): void => write(`${momentWords(Date.now())}  ${text}\n`)
  let before = ''
  return {
    event: line,
    look: (now) => {
      const words = usersLine(now)
      // What was asked last changes all the time, and is told with the next change.
      const lasting = words.replaceAll(/ \(last [^)]*\)/g, '')
      if (lasting !== before) line(words)
      before = lasting
    },
    end: (_now, why) => line(why),
  }
}

function relayJson(now: RelayNow): object {
  const { connections, nobodyMs, silentMs, ...rest } = now
  const seconds = (ms: number): number => Math.round(ms / 100) / 10
  return {
    atWallMs: Date.now(),
    ...rest,
    silentS: seconds(silentMs),
    nobodyS: nobodyMs === null ? null : seconds(nobodyMs),
    connections: connections.map(({ sinceMs, ...one }) => ({ ...one, forS: seconds(sinceMs) })),
  }
}

export function drawRelay(now: RelayNow): string {
  const { connections } = now
  const word = !now.takes ? pc.yellow('stands by') : now.to === null ? pc.yellow('waits') : `${pc.green('hands on')} to ${now.to.host} (${now.to.ip})`
  const lines = [
    `${pc.bold(now.group)}  ${word}: ${now.why}`,
    `at          ${now.at}`,
    ...(now.silentMs < silentAfterMs ? [] : [pc.yellow(silenceWords(now))]),
    ...(now.nobodyMs === null ? [] : [pc.green(`nobody for ${spanWords(now.nobodyMs)}`)]),
    `so far      ${counted(now.taken, 'connection')}${now.failed === 0 ? '' : `, ${now.failed} to whom the primary did not answer`}${now.replicas === 0 ? '' : `, ${now.replicas} of replicas, sent away`}`,
  ]
  for (const one of connections.slice(0, shownAtMost))
    lines.push(
      `            ${one.client.padEnd(22)} ${(one.name === '' ? '-' : one.name).padEnd(20)} ${one.command.padEnd(12)} ${sizeWords(one.bytesIn)} in, ${sizeWords(one.bytesOut)} out, for ${spanWords(one.sinceMs)}`,
    )
  if (connections.length > shownAtMost) lines.push(`            and ${connections.length - shownAtMost} more`)
  return `${lines.join('\n')}\n`
}

/** By host and name: a client that connects anew for each command is no news. */
export function usersLine(now: RelayNow): string {
  if (now.silentMs >= silentAfterMs) return silenceWords({ ...now, silentMs: 0 })
  if (now.connections.length === 0) return now.nobodyMs === null ? 'nothing is handed on' : 'nobody uses it'
  const users = new Map<string, string>()
  for (const { client, name, command } of now.connections)
    users.set(`${client.slice(0, client.lastIndexOf(':'))}${name === '' ? '' : ` ${name}`}`, command === '' ? '' : ` (last ${command})`)
  const shown = [...users].sort().map(([user, last]) => `${user}${last}`)
  return `used by ${shown.slice(0, shownAtMost).join(', ')}${shown.length > shownAtMost ? ` and ${shown.length - shownAtMost} more` : ''}`
}

function silenceWords({ silentMs, to }: RelayNow): string {
  const since = silentMs === 0 ? '' : ` for ${spanWords(silentMs)}`
  return `no agent answers${since}: it goes on with what it knew${to === null ? '' : ` (${to.host})`}`
}
