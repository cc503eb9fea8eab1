/** What an agent makes of what it hears from its peers, without any peer: the signs of life are made up. */
import { expect, test } from 'vitest'
import { stallMeter } from '../../src/agent/clock.ts'
import { openSenses } from '../../src/agent/senses.ts'
import { parseConfig } from '../../src/config/load.ts'
import { policyOf } from '../../src/model/policy.ts'
import { heard } from '../../src/decide/situation.ts'
import { word } from './builders.ts'

const yaml = `api: { secret_file: /s }
hosts: { a: { ip: 10.0.0.1, interface: eth0 }, b: { ip: 10.0.0.2, interface: eth0 }, w: { ip: 10.0.0.3 } }
groups: { sessions: { members: [a, b], witness: w, vip: 10.0.0.9/24 } }`

/**
 * A witness that was killed and started again in the middle of a partition: what it had said before, "the primary serves", was taken
 * for the word of the new one, and the replica, which had let go of its link by then, was never found fit again.
 */
test('what an agent said before it ended is not the word of the agent that comes after it', () => {
  const config = parseConfig(yaml, '/h.yaml').config
  const group = config?.groups['sessions']
  if (config === undefined || group === undefined) throw new Error('the configuration is sound')
  const sign = { hungUp: false }
  const senses = openSenses({
    config,
    group,
    host: 'b',
    policy: policyOf(group, (host) => config.hosts[host]?.ip ?? ''),
    vip: false,
    serves: () => false,
    stall: stallMeter(50),
    silentMs: () => 0,
    everyMs: () => 50,
    isRefused: () => false,
    hasHungUp: (host) => host === 'w' && sign.hungUp,
    contactMs: () => 0,
    keepalivedRuns: () => false,
    yields: () => false,
    wake: () => undefined,
    vipCame: () => undefined,
  })
  const wordOfWitness = () => heard(senses.peers().find((p) => p.host === 'w'))
  senses.heard(word('w', { seesHolder: 'serves' }))
  expect(wordOfWitness()?.seesHolder).toBe('serves')
  sign.hungUp = true
  expect(wordOfWitness()).toBeNull()
  // Its successor beats, and has said nothing yet.
  sign.hungUp = false
  expect(wordOfWitness()).toBeNull()
  senses.heard(word('w', { seesHolder: 'unclear' }))
  expect(wordOfWitness()?.seesHolder).toBe('unclear')
})
