/**
 * What a soak does to Sentinels, and what it demands of them afterwards: every one names the primary, and `holdfast sentinel check` has no
 * finding. Only with `--sentinel`.
 */
import { poll } from '../../src/lab/run.ts'
import { OperatorError } from '../../src/model/error.ts'
import { group, type Ground } from './ground.ts'

const ofOneMindWithinMs = 15_000

/** Which Sentinels there are to be killed or stopped: all of them, or a majority of those elsewhere. */
export function someOf(ground: Ground, size: number): readonly string[] {
  return size % 2 === 0 ? ground.sentinelHosts : ground.sentinelHosts.filter((_, index) => index !== size % ground.sentinelHosts.length)
}

/** As an operator would, by hand, at the Sentinel of one host. */
export async function ordered(ground: Ground, host: string, ...order: readonly string[]): Promise<string> {
  return `at the Sentinel of ${host}, ${order.join(' ')}: ${(await ground.sentinel(host, ...order)) || 'no answer'}`
}

/** It is made to forget the group, and told that a replica is its primary. */
export async function forgets(ground: Ground, host: string, wrong: string): Promise<string> {
  await ground.sentinel(host, 'SENTINEL', 'REMOVE', group)
  return ordered(ground, host, 'SENTINEL', 'MONITOR', group, ground.ipOf(wrong), '6379', '2')
}

const table = 'inet soak_sentinel'
const withoutTable = `table ${table} {}\ndelete table ${table}\n`

/** No other host reaches the Sentinel of this one, nor this one any Sentinel elsewhere; everything else passes. */
export async function closePort(ground: Ground, host: string): Promise<void> {
  const chain = (hook: string): string =>
    `chain ${hook} { type filter hook ${hook} priority 0; iifname lo accept; oifname lo accept; tcp dport 26379 drop; tcp sport 26379 drop; }`
  const text = `${withoutTable}table ${table} {\n${chain('input')}\n${chain('output')}\n}\n`
  await carriedOut(ground, host, ['nft', '-f', '-'], text)
}

export async function openPort(ground: Ground, host: string): Promise<void> {
  await carriedOut(ground, host, ['nft', '-f', '-'], withoutTable)
}

/** Empty: all of one mind. */
export async function notOfOneMind(ground: Ground, primary: string): Promise<readonly string[]> {
  let last = ''
  const agreed = await poll(
    async () => {
      const named = await Promise.all(ground.sentinelHosts.map((host) => ground.sentinel(host, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', group)))
      last = ground.sentinelHosts.map((host, index) => `${host} names ${named[index]?.split('\n')[0] ?? ''}`).join(', ')
      if (!named.every((answer) => answer === `${ground.ipOf(primary)}\n6379`)) return undefined
      const check = await ground.lab.cli(['sentinel', 'check', group])
      last = `${check.stdout}${check.stderr}`.trim()
      return check.code === 0 ? true : undefined
    },
    { withinMs: ofOneMindWithinMs, everyMs: 200 },
  )
  return agreed === true ? [] : [`the Sentinels are not of one mind within ${ofOneMindWithinMs} ms: ${last}`]
}

async function carriedOut(ground: Ground, host: string, argv: readonly string[], input: string): Promise<void> {
  const result = await ground.lab.exec(host, argv, { input })
  if (result.code !== 0) throw new OperatorError('HF503', `${argv.join(' ')} on ${host}: ${result.stderr.trim()}`, 'See the story.')
}
