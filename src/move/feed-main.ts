/** Started by the agent for one feed, as dump/main.ts is for a backup: the order is a line on its input, and it ENDS WHEN ITS INPUT CLOSES. */
import { createInterface } from 'node:readline'
import { readPassword } from '../config/files.ts'
import { oldRedisFrom } from '../migrate/feed-translate.ts'
import type { FeedJob, FeedLine } from '../model/feed.ts'
import { feed } from './feed.ts'

const lettingGoMs = 1000

const calledOff = new AbortController()
process.stdout.on('error', () => undefined) // The agent is gone: its input says so too.
const tell = (line: FeedLine): boolean => process.stdout.write(`${JSON.stringify(line)}\n`)

async function run({ group, redis: { host, port, passwordFile }, listen, oldVersion, anchors, lineage }: FeedJob): Promise<void> {
  const password = async (): Promise<string | undefined> => (passwordFile === null ? undefined : readPassword({ name: group, passwordFile }))
  const target = async () => ({ ok: true, value: { host, port, password: await password() } }) as const
  const old = oldRedisFrom(oldVersion)
  if (old === null) return void tell({ t: 'failed', why: `redis ${oldVersion} cannot be fed` })
  // Whoever may replicate from the group may be fed: the old redis is told the same password.
  const door = { ...listen, token: (await password()) ?? null }
  await feed({ target, door, old, anchors, lineage, tell, signal: calledOff.signal })
}

const input = createInterface({ input: process.stdin })
input.once('close', () => {
  calledOff.abort('it was called off')
  setTimeout(() => process.exit(1), lettingGoMs).unref()
})
input.once('line', (line) => {
  void run(JSON.parse(line) as FeedJob).then(
    () => process.stdout.write('', () => process.exit(0)),
    (error: Error) => {
      tell({ t: 'failed', why: error.message })
      process.exit(1)
    },
  )
})
