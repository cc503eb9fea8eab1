/**
 * Started by the agent for one job: `node backup.js`, the order as a line on its input, what it does as lines on its output. It ENDS WHEN
 * ITS INPUT CLOSES, so it goes with the agent, however that one ends; what it had begun has no manifest, and is no backup.
 */
import { createInterface } from 'node:readline'
import type { ArchiveJob, ArchiveLine, Job, JobLine } from '../backup/job.ts'
import { runJob } from './job.ts'

/** A store that does not let go, or a redis that is being ended. */
const lettingGoMs = 5000

const calledOff = new AbortController()
process.stdout.on('error', () => undefined) // The agent is gone: its input says so too.
const tell = (line: JobLine | ArchiveLine): boolean => process.stdout.write(`${JSON.stringify(line)}\n`)

const input = createInterface({ input: process.stdin })
input.once('close', () => {
  calledOff.abort('it was called off')
  setTimeout(() => process.exit(1), lettingGoMs).unref()
})
input.once('line', (line) => {
  void runJob(JSON.parse(line) as Job | ArchiveJob, tell, calledOff.signal).then(
    () => process.stdout.write('', () => process.exit(0)),
    (error: unknown) => {
      process.stderr.write(`${(error as Error).stack}\n`)
      process.exit(1)
    },
  )
})
