import { describe, expect, test } from 'vitest'
import { checkLabName, inSubnet, onLinkRoutes, orphanNamespaces, planLab } from '../../src/lab/plan.ts'
import { baseRules, healRules, lossyRules, parseFaults } from '../../src/lab/rules.ts'
import type { Config } from '../../src/model/config.ts'

function config(hosts: Record<string, string>, group: object = {}): Config {
  const entries = Object.entries(hosts).map(([name, ip]) => [name, { name, ip }])
  const members = Object.keys(hosts).map((host) => ({ host, port: 6379 }))
  return {
    hosts: Object.fromEntries(entries),
    groups: { g: { name: 'g', members, checkIps: [], port: 6379, ...group } },
  } as unknown as Config
}

describe('the plan of a lab', () => {
  test("short port names, the vip's prefix, and a free address for each client", () => {
    const plan = planLab('lab', config({ 'a-host-with-a-long-name': '10.0.0.253', b: '10.0.0.2' }, { vip: { ip: '10.0.0.254', prefix: 25 } }), 2)
    expect(plan.nodes.map(({ name, ip, prefix, port }) => [name, ip, prefix, port])).toEqual([
      ['a-host-with-a-long-name', '10.0.0.253', 25, 'h0'],
      // Outside the vip's /25 there is nothing to go by but the usual /24.
      ['b', '10.0.0.2', 24, 'h1'],
      ['client', '10.0.0.252', 25, 'c0'],
      ['client2', '10.0.0.251', 25, 'c1'],
    ])
    expect(new Set(plan.nodes.map((node) => node.mac)).size).toBe(4)
    for (const node of plan.nodes) expect(node.port.length).toBeLessThan(16)
  })

  test("a host in another subnet is reached on the wire; check_ips are the bridge's", () => {
    const plan = planLab('lab', config({ a: '10.0.0.1', w: '172.16.0.5' }, { vip: { ip: '10.0.0.9', prefix: 24 }, checkIps: ['10.0.0.254', '1.1.1.1'] }), 1)
    const [a, w] = plan.nodes
    expect(a && onLinkRoutes(a, plan)).toEqual(['172.16.0.5'])
    expect(w && onLinkRoutes(w, plan)).toEqual(['10.0.0.1', '10.0.0.253'])
    expect(plan).toMatchObject({ routerIps: ['10.0.0.254', '1.1.1.1'], gateway: '10.0.0.254' })
  })

  test('refuses names that collide, or that no interface can have', () => {
    expect(() => planLab('lab', config({ client: '10.0.0.1' }), 1)).toThrow(/client/)
    expect(() => planLab('lab', config({ net: '10.0.0.1' }), 1)).toThrow(/net/)
    expect(() => planLab('lab', config({}), 1)).toThrow(/no host/)
    const full = Object.fromEntries(Array.from({ length: 2 }, (_, index) => [`h${index}`, `10.0.0.${index + 1}`]))
    expect(() => planLab('lab', config(full, { vip: { ip: '10.0.0.1', prefix: 30 } }), 1)).toThrow(/no free address/)
    for (const name of ['', '-a', 'a-', '../x', 'A', 'a.b', 'x'.repeat(25)]) expect(() => checkLabName(name), name).toThrow(/cannot be the name/)
  })

  test('subnets at the edges', () => {
    expect(inSubnet('255.255.255.255', { ip: '255.255.255.0', prefix: 24 })).toBe(true)
    expect(inSubnet('1.2.3.4', { ip: '200.0.0.0', prefix: 0 })).toBe(true)
    expect(inSubnet('10.0.0.1', { ip: '10.0.0.2', prefix: 32 })).toBe(false)
  })

  test('orphans of a lab do not include those of a lab with a longer name', () => {
    const existing = ['hf-a-net', 'hf-a-one', 'hf-a-b-net', 'hf-a-b-one', 'hf-ab-net', 'else']
    expect(orphanNamespaces('a', existing)).toEqual(['hf-a-net', 'hf-a-one'])
    expect(orphanNamespaces('a-b', existing)).toEqual(['hf-a-b-net', 'hf-a-b-one'])
  })
})

describe('the rules of faults', () => {
  test('read back what nft prints', () => {
    const json = JSON.stringify({
      nftables: [
        { metainfo: {} },
        { set: { name: 'cut', elem: ['h0'] } },
        { set: { name: 'pairs', elem: [{ concat: ['h0', 'h1'] }] } },
        { rule: { chain: 'loss_h1', expr: [{ match: { op: '<=', right: 29 } }, { drop: null }] } },
        { rule: { chain: 'crossing', expr: [{ match: { right: '@cut' } }] } },
      ],
    })
    expect(parseFaults(json)).toEqual({ cut: ['h0'], pairs: [['h0', 'h1']], lossyPercent: { h1: 30 } })
  })

  test('healing one host leaves the faults between others', () => {
    const text = healRules('h0', ['h1'])
    expect(text).toContain('delete element bridge holdfast_lab pairs { "h1" . "h0" }')
    expect(text).not.toContain('flush set')
    expect(lossyRules('h0', 100)).toContain('<= 99 drop')
    expect(baseRules(['h0'])).toContain('oifname "h0" jump loss_h0')
  })
})
