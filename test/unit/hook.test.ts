/** The operator's hook of a move: called once for a turn, in the order of the turns, and not waited for. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { callHook } from '../../src/act/hook.ts'
import { done } from '../../src/model/outcome.ts'
import { groupConfig } from './builders.ts'

test('asked for again and again it is called once; the other way round it waits for its turn; and who failed is asked again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-hook-'))
  const [hook, told] = [join(dir, 'hook'), join(dir, 'told')]
  const lines = async () => (await readFile(told, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')
  await writeFile(hook, `#!/bin/sh\nsleep 0.1\necho "$1" >> ${told}\n[ ! -e ${dir}/fail ]\n`)
  await chmod(hook, 0o755)
  const notes: string[] = []
  const group = { ...groupConfig(['a', 'b']), name: 'hooked', migration: { awaits: false, hook } }
  const hands = { group, note: (text: string) => void notes.push(text), config: { hosts: {} }, member: group.members[0] } as unknown as Parameters<
    typeof callHook
  >[0]
  try {
    const beganMs = performance.now()
    for (let i = 0; i < 5; i += 1) expect(callHook(hands, 'group')).toBe(done)
    callHook(hands, 'source')
    callHook(hands, 'source')
    expect(performance.now() - beganMs, 'it is not waited for').toBeLessThan(90)
    await expect.poll(lines, { timeout: 3000 }).toEqual(['to-group', 'to-source'])
    await writeFile(join(dir, 'fail'), '')
    callHook(hands, 'group')
    await expect.poll(() => notes.at(-1), { timeout: 3000 }).toContain('has failed: it ended with 1')
    await rm(join(dir, 'fail'))
    callHook(hands, 'group')
    await expect.poll(lines, { timeout: 3000 }).toEqual(['to-group', 'to-source', 'to-group', 'to-group'])
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
