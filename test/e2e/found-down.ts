/** What Sentinels found down for longer than a moment, by their own logs: one that is started again is down until it is connected to. */
import { readFile } from 'node:fs/promises'
import { poll, type Rig } from './rig.ts'

const momentMs = 2000
const line = /(\d+ \w+ \d+ [\d:]+)\.(\d+) . ([+-])sdown (\w+ \S+)/

export interface Asked {
  readonly hosts: readonly string[]
  readonly sinceMs: number
  /** Of these only: `master`, `slave`, `sentinel` in a log. */
  readonly kind?: string
}

/** Empty: nothing. Waits as long as what has just begun may still be a moment. */
export async function foundDown(rig: Rig, { hosts, sinceMs, kind = '' }: Asked): Promise<readonly string[]> {
  const untilMs = Date.now()
  let found: readonly string[] = []
  await poll(
    async () => {
      found = (await Promise.all(hosts.map((host) => lasting(rig, host)))).flat()
      return found.length === 0 ? true : undefined
    },
    { withinMs: momentMs, everyMs: 100 },
  )
  return found

  async function lasting(of: Rig, by: string): Promise<readonly string[]> {
    const text = await readFile(of.file(by, 'state', 'sessions', 'sentinel.log'), 'utf8').catch(() => '')
    const words = text.split('\n').flatMap((one) => {
      const [, second, ms, sign, who = ''] = line.exec(one) ?? []
      return second === undefined ? [] : [{ atMs: Date.parse(second) + Number(ms), isDown: sign === '+', who }]
    })
    return words
      .filter(({ atMs, isDown, who }) => isDown && atMs >= sinceMs && atMs <= untilMs && who.startsWith(kind))
      .filter(({ atMs, who }) => !words.some((w) => !w.isDown && w.who === who && w.atMs >= atMs && w.atMs - atMs <= momentMs))
      .map(({ atMs, who }) => `${by} found ${who} down at ${new Date(atMs).toISOString()}`)
  }
}
