/**
 * Both sides of a partition accept writes; at the heal the newer epoch rules. What the former primary acknowledged alone is kept
 * exactly, from its stream, before it follows: compared with the writer's own log of acknowledgements, one by one.
 */
import { describe, expect, test } from 'vitest'
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { nodeConfigFile } from '../../src/lab/record.ts'
import type { WriterHandle } from '../../src/lab/writer.ts'
import type { KeptEntry } from '../../src/model/kept.ts'
import { commandsIn, keptFiles } from './evidence.ts'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'

describe.skipIf(problems.length > 0)('a former primary that still runs', { timeout: 120_000 }, () => {
  const theRig = rigFor('s-salvage', twoHosts())

  test('every acknowledged write that is gone is kept, and none more; no fence stays behind', async () => {
    const rig = theRig()
    const { kept, lost, writer } = await keptExactly(rig)
    await replayed(rig, kept.id, lost)
    await writer.cleanup()
    await writer.close()
  })

  /** list and show say what there is; replay brings the safe ones back, then what the operator decides, and nothing twice. */
  async function replayed(rig: Rig, id: string, lost: ReadonlySet<string>): Promise<void> {
    const list = JSON.parse((await rig.cli('salvage', 'list', 'sessions', '--json')).stdout) as { kept: KeptEntry[] }
    expect(list.kept).toMatchObject([{ id, kind: 'commands', replay: null }])
    const tree = await rig.cli('lineage', 'sessions')
    expect(tree.stdout, 'and it hangs at its fork').toContain(id)
    await rig.redisAt('client', vip, 'SET', 'dark:changed', 'newer')
    const show = JSON.parse((await rig.cli('salvage', 'show', 'sessions', id, '--json')).stdout) as {
      classes: Record<string, { items: number }>
      kept: KeptEntry
    }
    expect(show.kept.seenAtWallMs, 'it was looked at').not.toBeNull()
    expect([show.classes['changed']?.items, show.classes['counter']?.items, show.classes['unknown']?.items]).toEqual([1, 1, 0])
    const refused = await rig.cli('salvage', 'replay', 'sessions', id)
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('HF603')])
    const dry = await rig.cli('salvage', 'replay', 'sessions', id, '--dry-run')
    expect([dry.code, dry.stdout]).toEqual([0, expect.stringContaining('would apply')])
    const [some = ''] = lost
    expect(await rig.redisAt('client', vip, 'EXISTS', some), 'a dry run writes nothing').toMatch(/0$/)
    const safe = await rig.cli('salvage', 'replay', 'sessions', id, '--yes')
    expect(safe.stderr + safe.stdout).toMatch(/items applied, 2 left/)
    expect(await rig.redisAt('client', vip, 'EXISTS', ...[...lost].slice(0, 500))).toMatch(new RegExp(`${Math.min(500, lost.size)}$`))
    expect([await rig.redisAt('client', vip, 'GET', 'dark:changed'), await rig.redisAt('client', vip, 'GET', 'dark:counter')], 'not touched unasked').toEqual([
      'newer',
      '',
    ])
    const twice = await rig.cli('salvage', 'replay', 'sessions', id, '--yes')
    expect([twice.code, twice.stderr]).toEqual([1, expect.stringContaining('HF602')])
    const counter = await rig.cli('salvage', 'replay', 'sessions', id, '--yes', '--class', 'counter')
    expect(counter.code, counter.stderr).toBe(0)
    for (let i = 0; i < 2; i += 1) expect((await rig.cli('salvage', 'replay', 'sessions', id, '--yes', '--class', 'counter')).stderr).toContain('HF602')
    expect(await rig.redisAt('client', vip, 'GET', 'dark:counter'), 'once').toMatch(/3$/)
    const all = await rig.cli('salvage', 'replay', 'sessions', id, '--yes', '--class', 'all')
    expect(all.code, all.stderr).toBe(0)
    const over = await rig.cli('salvage', 'replay', 'sessions', id, '--yes', '--class', 'all')
    expect([over.code, over.stderr]).toEqual([1, expect.stringMatching(/HF602.*applied already/)])
    expect((await rig.cli('salvage', 'show', 'sessions', 'nothing')).stderr).toContain('HF601')
    const events = (await rig.cli('history', 'sessions', '--events')).stdout
    expect(events).toMatch(/salvaged: .*complete/)
  }

  test('a replay that is killed again and again goes on where it was: every counter is counted once', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const replica = before.primary === 'red-a' ? 'red-b' : 'red-a'
    // An empty successor would rightly not be followed (INV-1).
    await rig.redisAt('client', vip, 'SET', 'common', '1')
    expect(await rig.redisAt('client', vip, 'WAIT', '1', '2000')).toMatch(/1$/)
    await rig.lab.cut(replica)
    await poll(async () => ((await rig.redis(replica, 'ROLE')).startsWith('master') ? true : undefined), { withinMs: 8000 })
    await rig.lab.exec(before.primary, ['sh', '-c', "seq 1 1000 | sed 's/.*/INCRBY count:& &/' | redis-cli >/dev/null"])
    await rig.lab.heal()
    await rig.untilOk()
    const list = JSON.parse((await rig.cli('salvage', 'list', 'sessions', '--json')).stdout) as { kept: KeptEntry[] }
    const id = list.kept.at(-1)?.id ?? ''
    const command = ['salvage', 'replay', 'sessions', id, '--yes', '--class', 'all']
    let killed = 0
    for (const deadlineMs of [350, 400, 450, 500, 550, 600, 650, 700, 800]) {
      const { code } = await rig.lab.cli(command, { deadlineMs })
      if (code !== 0) killed += 1
    }
    const last = await rig.lab.cli(command)
    console.info(`killed ${killed} times; then: ${last.stdout.trim().split('\n').slice(0, 3).join(' / ')} ${last.stderr.trim()}`)
    const journal = await readFile((await keptFiles(rig, before.primary)).at(-1)?.replace(/resp$/, 'journal') ?? '', 'utf8')
    expect(journal.match(/"what":"begin"/g)?.length, 'it was killed in the middle').toBeGreaterThan(1)
    const doubtful = new Set(
      [...journal.matchAll(/"items":(\[[^\]]*\])[^\n]*found changed after/g)].flatMap(([, items]) => JSON.parse(items ?? '[]') as string[]),
    ).size
    const counted = await rig.redisAt(
      'client',
      vip,
      'EVAL_RO',
      "local n = 0 for i = 1, 1000 do local v = tonumber(redis.call('get', 'count:' .. i) or 0) if v == i then n = n + 1 elseif v ~= 0 then return -i end end return n",
      '0',
    )
    expect(Number(counted.replace(/\D*/, '')), `none twice; ${doubtful} were found applied after an interruption`).toBe(1000)
  })

  test('at a terminal: asked class by class, with both sides; a no and a Ctrl-C leave all as it was', async () => {
    const rig = theRig()
    const { kept, writer, lost } = await keptExactly(rig)
    const count = () => rig.redisAt('client', vip, 'GET', 'dark:counter')
    const before = await count()
    const [some = ''] = lost
    const argv = ['salvage', 'replay', 'sessions', kept.id]
    const broken = await atTerminal(rig, argv, { 'of class safe': '\u0003' })
    expect([broken.code, broken.said]).toEqual([1, expect.stringContaining('broken off: nothing was written')])
    const none = await atTerminal(rig, argv, { 'of class safe': 'n', 'of class counter': 'n' })
    expect([none.code, none.said]).toEqual([1, expect.stringContaining('no class was chosen')])
    expect(none.said, 'what it would do, beside what is there').toMatch(/dark:counter.*now:[^]*kept: INCR dark:counter/)
    expect([await count(), await rig.redisAt('client', vip, 'EXISTS', some)]).toEqual([before, expect.stringMatching(/0$/)])
    const some2 = await atTerminal(rig, argv, { 'of class safe': 'y', 'of class counter': 'n' })
    expect([some2.code, some2.said]).toEqual([0, expect.stringMatching(/items applied, 1 left/)])
    expect([await count(), await rig.redisAt('client', vip, 'EXISTS', some)]).toEqual([before, expect.stringMatching(/1$/)])
    await writer.cleanup()
    await writer.close()
  })

  const points = [
    'fenced/saved',
    'fenced/after:fence-writes',
    'fenced/after:kill-clients',
    'replica/saved',
    'replica/before:keep-writes',
    'replica/after:keep-writes',
    'replica/after:follow',
  ]
  test.each(points)('its agent dies at %s and comes back: all is kept, the fence goes', async (label) => {
    const rig = theRig()
    await rig.untilOk()
    const { before, writer, prefix } = await partition(rig, label)
    const earlier = await keptFiles(rig, before.primary)
    await rig.lab.heal()
    const died = await rig.untilAgentIsGone(before.primary, 8000).then(
      () => true,
      () => false,
    )
    if (!died) await rig.killAgent(before.primary)
    await rig.startAgent(before.primary)
    const after = await rig.untilOk()
    expect(died, 'the agent came by that point').toBe(true)
    expect(after.primary).not.toBe(before.primary)
    const files = (await keptFiles(rig, before.primary)).filter((f) => !earlier.includes(f))
    const keys = (await Promise.all(files.map((f) => commandsIn(f)))).flatMap(({ commands }) => commands.map((c) => c.args[0] ?? ''))
    const lost = await lostOf(rig, writer, prefix)
    expect([...lost].filter((key) => !keys.includes(key))).toEqual([])
    expect(keys, 'nothing is kept twice: the counter three times, all else once').toHaveLength(new Set(keys).size + 2)
    await expectUnfenced(rig)
    await rig.expectNoBrokenRule()
    await writer.cleanup()
    await writer.close()
  })
})

/** A cut, writes on both sides, the heal: compared one by one with what the clients were told. */
async function keptExactly(rig: Rig) {
  const { before, writer, prefix } = await partition(rig)
  const earlier = await keptFiles(rig, before.primary)
  await rig.lab.heal()
  const after = await rig.untilOk()
  expect(after.primary).not.toBe(before.primary)
  const lost = await lostOf(rig, writer, prefix)
  expect(lost.size, 'the partition cost something, or this test proves nothing').toBeGreaterThan(100)
  const [file = '', ...more] = (await keptFiles(rig, before.primary)).filter((f) => !earlier.includes(f))
  expect([file, more]).toEqual([expect.stringMatching(/\.resp$/), []])
  const { kept, commands } = await commandsIn(file)
  const keys = commands.filter((c) => c.args[0]?.startsWith(`${prefix}:`)).map((c) => c.args[0] ?? '')
  expect(keys, 'each once').toHaveLength(new Set(keys).size)
  const acked = new Set((await writer.history()).map(([seq]) => `${prefix}:${seq}`))
  expect(
    [...lost].filter((key) => !keys.includes(key)),
    'acknowledged, gone, and not kept',
  ).toEqual([])
  expect(
    keys.filter((key) => acked.has(key) && !lost.has(key)),
    'kept although it is not gone',
  ).toEqual([])
  expect(commands.filter((c) => c.name === 'INCR' && c.args[0] === 'dark:counter')).toHaveLength(3)
  expect(kept).toMatchObject({ kind: 'commands', commands: commands.length, toOffset: (kept.fromOffset ?? 0) + kept.bytes - 1 })
  await expectUnfenced(rig)
  await rig.expectNoBrokenRule()
  return { kept, lost, writer }
}

/** The replica is cut off and promotes itself; clients go on with the old primary, and somebody writes to the new one. */
async function partition(rig: Rig, crashAt?: string) {
  const before = await rig.untilOk()
  const replica = before.primary === 'red-a' ? 'red-b' : 'red-a'
  if (crashAt !== undefined) {
    await rig.killAgent(before.primary)
    await rig.startAgent(before.primary, { HOLDFAST_CRASH_AT: crashAt })
    await rig.untilOk()
  }
  const prefix = `p${Date.now().toString(36)}`
  const writer = await rig.writer({ prefix })
  await rig.lab.cut(replica)
  const promoted = await poll(async () => ((await rig.redis(replica, 'ROLE')).startsWith('master') ? true : undefined), { withinMs: 8000 })
  expect(promoted, 'the other side serves too').toBe(true)
  expect(await rig.redis(replica, 'SET', 'bright:1', '1')).toBe('OK')
  await writer.steady({ acks: 300, withinMs: 5000 })
  for (let i = 0; i < 3; i += 1) await rig.redis(before.primary, 'INCR', 'dark:counter')
  await rig.redis(before.primary, 'SET', 'dark:changed', 'older')
  return { before, replica, writer, prefix }
}

/** Keys of acknowledged writes that the address does not have. */
async function lostOf(rig: Rig, writer: WriterHandle, prefix: string): Promise<ReadonlySet<string>> {
  await writer.stop()
  const acked = (await writer.history()).map(([seq]) => seq)
  const last = acked.at(-1)
  const script = `local gone = {} for i = 1, tonumber(ARGV[1]) do if redis.call('exists', '${prefix}:' .. i) == 0 then gone[#gone + 1] = i end end return table.concat(gone, ' ')`
  const answer = await poll(
    async () => {
      const text = await rig.redisAt('client', vip, 'EVAL_RO', script, '0', String(last))
      return /^[\d ]*$/.test(text) ? text : undefined
    },
    { withinMs: 5000, everyMs: 100 },
  )
  if (answer === undefined) throw new Error('the address does not answer')
  const gone = new Set(answer.split(' ').map(Number))
  return new Set(acked.filter((seq) => gone.has(seq)).map((seq) => `${prefix}:${seq}`))
}

/** Runs a command as if typed at a terminal, and answers with one key whenever the text that is waited for has appeared. */
async function atTerminal(
  rig: Rig,
  argv: readonly string[],
  answers: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly said: string }> {
  const { record } = rig.lab
  const netns = record.plan.nodes.find((node) => node.name === 'client')?.netns ?? ''
  const command = ['ip', 'netns', 'exec', netns, ...record.entry, '--config', nodeConfigFile(record, 'client'), ...argv]
  const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
  const child = spawn('script', ['--quiet', '--return', '--command', `stty cols 200 rows 50; ${quoted}`, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const open = Object.entries(answers)
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
    const at = open.findIndex(([text]) => said.includes(text))
    const [found] = at < 0 ? [] : open.splice(at, 1)
    if (found !== undefined) child.stdin.write(found[1])
  })
  const deadline = setTimeout(() => child.kill(), 20_000)
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  clearTimeout(deadline)
  return { code, said }
}

async function expectUnfenced(rig: Rig): Promise<void> {
  const lifted = await poll(
    async () => {
      for (const host of ['red-a', 'red-b']) if (!/\b0$/.test((await rig.redis(host, 'CONFIG', 'GET', 'min-replicas-to-write')).trim())) return undefined
      return true
    },
    { withinMs: 3000 },
  )
  expect(lifted, 'no fence stays behind').toBe(true)
}

describe.skipIf(problems.length > 0)('a former primary that somebody else started (process: external)', { timeout: 120_000 }, () => {
  const theRig = rigFor('s-extern', twoHosts(['process: external']), { agents: false })

  test('is fenced, its own writes are kept, its values are put back', async () => {
    const rig = theRig()
    for (const host of ['red-a', 'red-b']) {
      await rig.lab.exec(host, [
        'sh',
        '-c',
        'redis-server --port 6379 --protected-mode no --dir /tmp --save "" --min-replicas-max-lag 7 --daemonize yes >/dev/null',
      ])
    }
    await rig.redis('red-b', 'REPLICAOF', '192.168.77.1', '6379')
    for (const host of ['red-a', 'red-b']) await rig.startAgent(host)
    const { kept, writer } = await keptExactly(rig)
    expect(await rig.redis(kept.host, 'CONFIG', 'GET', 'min-replicas-max-lag'), "the user's own value").toMatch(/7$/)
    await writer.cleanup()
    await writer.close()
  })
})

describe.skipIf(problems.length > 0)('a former primary whose backlog is too short', { timeout: 120_000 }, () => {
  const theRig = rigFor('s-short', twoHosts(["redis: { repl-backlog-size: '1mb' }"]))

  test('its dataset is kept instead; what differs is computed key by key, and can be brought back', async () => {
    const rig = theRig()
    const { before, replica, writer, prefix } = await partition(rig)
    for (const [host, name] of [
      [before.primary, 'big'],
      [replica, 'other'],
    ] as const) {
      // In one breath: the agent enlarges a backlog that is short for the rate that it sees. The link that is cut and not yet
      // given up would pin what it has not been sent.
      const many = `for i = 1, 300 do redis.call('set', '${name}:' .. i, string.rep('x', 20000)) end`
      await rig.lab.exec(host, ['sh', '-c', `redis-cli CLIENT KILL TYPE replica; redis-cli CONFIG SET repl-backlog-size 16384; redis-cli EVAL "${many}" 0`])
    }
    await rig.lab.heal()
    await rig.untilOk()
    const lost = await lostOf(rig, writer, prefix)
    const files = await keptFiles(rig, before.primary)
    expect(files.map((f) => f.replace(/.*\./, ''))).toEqual(['rdb'])
    const list = JSON.parse((await rig.cli('salvage', 'list', 'sessions', '--json')).stdout) as { kept: KeptEntry[] }
    const id = list.kept[0]?.id ?? ''
    expect(list.kept).toMatchObject([{ kind: 'dataset' }])
    const show = JSON.parse((await rig.cli('salvage', 'show', 'sessions', id, '--json', '--limit', '100000')).stdout) as {
      items: { keys: { key: string }[] }[]
      sinceForkUnknown: string
    }
    const keys = new Set(show.items.flatMap((i) => i.keys.map((k) => k.key)))
    expect(
      [...lost].filter((key) => !keys.has(key)),
      'every lost write is in the difference',
    ).toEqual([])
    expect(keys.has('dark:counter')).toBe(true)
    expect(show.sinceForkUnknown).toMatch(/backlog begins/)
    const safe = await rig.cli('salvage', 'replay', 'sessions', id, '--yes')
    expect([safe.code, safe.stderr], 'nothing is known to be safe').toEqual([1, expect.stringContaining('HF602')])
    const all = await rig.cli('salvage', 'replay', 'sessions', id, '--yes', '--class', 'all')
    expect(all.code, all.stderr).toBe(0)
    expect(await rig.redisAt('client', vip, 'GET', 'dark:counter')).toMatch(/3$/)
    expect((await rig.cli('salvage', 'replay', 'sessions', id, '--yes', '--class', 'all')).stderr).toContain('HF602')
    await writer.cleanup()
    await writer.close()
    await rig.expectNoBrokenRule()
  })
})
