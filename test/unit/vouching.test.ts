/** Three members: one loses sight of the primary while another still hears it. Dead is not unreachable. */
import { describe, expect, it } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { policyOf } from '../../src/model/policy.ts'
import { facts, groupConfig, nowMs, peer, probe, silent, state, view, vrrp, word } from './builders.ts'

const policy = policyOf(groupConfig(['a', 'b', 'c']), (host) => `10.0.0.${'abc'.indexOf(host) + 1}`)
const takenHere = vrrp({ vrrp: 'MASTER', vipHere: true })

describe('b hears nothing of a: no beat, no answer from its redis, no advert', () => {
  it('c hears a and says so: nobody is promoted', () => {
    const decision = decide(state('b'), view('b', [silent('a'), peer(word('c', { seesHolder: 'serves' }))], { keepalived: takenHere }), policy)
    expect(decision.diagnosis).toBe('holder-unclear')
    expect(decision.because).toContain('c says that it serves')
    expect(decision.actions.map((a) => a.kind)).not.toContain('promote')
  })

  it('c goes on saying so: the address that VRRP gave to b is given up', () => {
    const seen = view('b', [silent('a', { silentMs: 1200 }), peer(word('c', { seesHolder: 'serves' }))], { keepalived: takenHere })
    expect(decide(state('b'), seen, policy).actions).toContainEqual({ kind: 'vip', allowed: false })
  })

  it("c's word is from before the silence: the address is kept, and c is asked again", () => {
    const seen = view('b', [silent('a', { silentMs: 200 }), peer(word('c', { seesHolder: 'serves' }), { statementAgeMs: 500 })], { keepalived: takenHere })
    expect(decide(state('b'), seen, policy).actions).toEqual([{ kind: 'poke', host: 'c' }])
  })

  it('c has lost a too: b takes over', () => {
    const seen = view('b', [silent('a'), peer(word('c', { seesHolder: 'gone', gone: 1, fresh: true }))], { keepalived: takenHere })
    expect(decide(state('b'), seen, policy).actions.map((a) => a.kind)).toContain('promote')
  })

  it('c hears a again after b has let go of it in an election: lost for good soon after, a is succeeded by b, much later by nobody', () => {
    const redis = probe({ facts: facts({ upstream: { host: '127.0.0.1', port: 1 }, linkUp: false, linkDownS: 1 }) })
    const letGo = state('b', { gone: { epoch: 1, fresh: true, atMs: nowMs - 50, runId: 'run-1' } })
    const { next } = decide(letGo, view('b', [silent('a'), peer(word('c', { seesHolder: 'serves' }))], { redis }), policy)
    expect(next).toMatchObject({ gone: null, detached: { epoch: 1, atMs: nowMs - 50, runId: 'run-1' } })
    const lost = (laterMs: number, runId = 'run-1') => {
      const seen = { nowMs: nowMs + laterMs, keepalived: takenHere, redis: probe({ facts: facts({ ...redis.facts, runId }) }) }
      return decide(next, view('b', [silent('a'), silent('c')], seen), policy).next.gone
    }
    expect(lost(1000)).toMatchObject({ fresh: true })
    expect(lost(11_000), 'who knows what a has written since').toMatchObject({ fresh: false })
    expect(lost(1000, 'run-2'), 'another process has what its disk had').toMatchObject({ fresh: false })
  })

  it('c is the one without the address: that b has it is proof enough that VRRP is silent', () => {
    const seen = view('c', [silent('a'), peer(word('b', { vipHere: true, seesHolder: 'unclear' }))])
    expect(decide(state('c'), seen, policy).diagnosis).toBe('holder-gone')
  })
})
