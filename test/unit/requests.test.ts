import { expect, test } from 'vitest'
import { openRequests } from '../../src/agent/requests.ts'
import type { Request } from '../../src/model/view.ts'

const switchover = (id: string): Request => ({ id, kind: 'switchover', to: null, dryRun: false, by: 'root' })

test('taken up in order; each asker is told of the end of what he asked', async () => {
  let wakes = 0
  const requests = openRequests(() => (wakes += 1))
  const [one, two] = [requests.ask(switchover('one'), 1000), requests.ask(switchover('two'), 1000)]
  expect([wakes, requests.first()?.id]).toEqual([2, 'one'])
  requests.taken()
  expect(requests.first()?.id).toBe('two')
  requests.taken()
  expect(requests.first()).toBeNull()
  requests.ended({ id: 'two', ok: true, message: 'done' })
  requests.ended({ id: 'one', ok: false, message: 'rolled back' })
  requests.ended({ id: 'one', ok: true, message: 'told twice' })
  expect(await Promise.all([one, two])).toMatchObject([{ message: 'rolled back' }, { message: 'done' }])
})

test('no end within the deadline: it is called late, which is not refused', async () => {
  const requests = openRequests(() => {})
  expect(await requests.ask(switchover('one'), 20)).toEqual({ id: 'one', ok: false, late: true, message: 'no result within 20 ms' })
})

test('the seventeenth is not kept', async () => {
  const requests = openRequests(() => {})
  const asked = Array.from({ length: 17 }, (_, n) => requests.ask(switchover(String(n)), 50))
  expect(await asked[16]).toEqual({ id: '16', ok: false, message: 'too many requests are waiting' })
  await Promise.all(asked)
})
