/**
 * Cuts by dice: what a redis held at some byte of its history, restored from a backup and the archived stream, is what it had itself told at
 * that byte. HOLDFAST_CUTS=1000 for a thousand of them.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findMoment } from '../../src/dump/moment.ts'
import { openDirectory } from '../../src/store/directory.ts'
import { dice } from '../sim/prng.ts'
import { Redises } from '../unit/real-redis.ts'
import { good, group, key, laid, mixedStep, never, opened, restored, step, truthOf, type Point } from './moments-ground.ts'
import { atEnd, folder, taken } from './restore-ground.ts'

const cuts = Number(process.env['HOLDFAST_CUTS'] ?? 50)
const seed = Number(process.env['HOLDFAST_SEED'] ?? 11)

test(`${cuts} cuts by dice hold what the source held there`, { timeout: 20_000 + cuts * 1000 }, async () => {
  const dir = folder()
  const store = openDirectory(join(dir, 'store'))
  mkdirSync(join(dir, 'store'))
  const redises = new Redises()
  atEnd(() => redises.close())
  const source = await redises.start('--enable-debug-command', 'yes', '--repl-backlog-size', '256mb', '--repl-ping-replica-period', '3600')
  const link = await opened(source.port)
  atEnd(link.close)
  const rolls = dice(seed)
  for (let count = 0; count < 100; count += 1) await step(link, mixedStep(rolls))
  const backups = [good(await taken({ store, source }, '20261121T181500Z-3f9a0b1c'))]
  const points: Point[] = [{ ...(await truthOf(link)), wallMs: 0 }]
  for (let count = 1; count <= 1500; count += 1) {
    await step(link, mixedStep(rolls))
    const now = await truthOf(link)
    if (now.offset > (points.at(-1)?.offset ?? 0)) points.push({ ...now, wallMs: count * 1000 })
    else expect(now.truth, 'what changes is in the stream').toBe(points.at(-1)?.truth)
    if (count === 700) backups.push(good(await taken({ store, source }, '20261121T191500Z-3f9a0b1d')))
  }
  const { replid, offset: from } = backups[0]?.manifest.position ?? { replid: '', offset: 0 }
  const to = points.at(-1)?.offset ?? 0
  await laid(source.port, { store, replid, parent: null, from: from + 1, to, points, dice: rolls })
  const order = { store, group, key, backups, timeline: null, waiting: [], progress: () => undefined, signal: never }
  for (let count = 0; count < cuts; count += 1) {
    const wanted = from + rolls.int(to - from + 1)
    const moment = await findMoment({ ...order, wanted: { kind: 'offset', offset: wanted } })
    const point = points.findLast(({ offset }) => offset <= wanted)
    expect(moment.to, 'it is not cut before what was whole').toBeGreaterThanOrEqual(point?.offset ?? 0)
    expect(moment.to, 'nor behind what was asked for').toBeLessThanOrEqual(wanted)
    expect(await restored(moment), `seed ${seed}, cut ${count}: ${wanted}`).toEqual({ truth: point?.truth, offset: moment.to })
  }
})
