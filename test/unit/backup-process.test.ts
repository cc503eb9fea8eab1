/** What the agent is told when the process that makes a backup cannot be started: a backup that failed, and no more than that. */
import { spawn, type ChildProcess } from 'node:child_process'
import { expect, test, vi } from 'vitest'
import { startJob } from '../../src/agent/backup-process.ts'
import type { LookJob } from '../../src/backup/job.ts'

vi.mock('node:child_process', async (original) => ({ ...(await original<typeof import('node:child_process')>()), spawn: vi.fn() }))

const job: LookJob = {
  job: 'look',
  group: 'sessions',
  backup: {
    store: { kind: 'directory', path: '/none' },
    schedule: null,
    keep: { hourly: 1, daily: 1, weekly: 0, monthly: 0 },
    compression: 'none',
    maxBytesPerS: null,
    test: true,
    stream: null,
  },
  everyMs: null,
}

test.each([
  [
    'the kernel has no memory for it',
    () => {
      throw new Error('spawn ENOMEM')
    },
    'spawn ENOMEM',
  ],
  ['the agent has no descriptors left', () => ({ stdin: undefined, once: () => undefined }) as unknown as ChildProcess, 'no descriptors'],
])('%s', async (_what, spawned, why) => {
  vi.mocked(spawn).mockImplementation(spawned)
  const started = startJob(job)
  expect(await started.ended).toMatchObject({ ok: false, why: expect.stringContaining(why) as string })
  started.stop('nothing runs')
})
