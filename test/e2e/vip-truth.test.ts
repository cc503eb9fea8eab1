/** The address where it does not belong, with real keepalived and real neighbour tables: what clients see of it, and what is said about it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Explanation } from '../../src/decide/explain.ts'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'

/** The primary announces its address once a second: whoever was led astray by a neighbour entry is back after that, and a reconnect. */
const announcedMs = 1500

describe.skipIf(problems.length > 0)('the address and keepalived', { timeout: 60_000 }, () => {
  const theRig = rigFor('viptruth', twoHosts())

  test('keepalived is killed on the primary: another takes the address up where it was left', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    // It comes back as owner of the address, and then goes on as any other.
    const asAnyOther = async () =>
      (await onHost(rig, primary, `grep -c 'priority 255' ${rig.file(primary, 'run', 'keepalived.conf')}`)) === '0' ? true : undefined
    for (const round of ['first', 'second']) {
      await rig.incident(writer, `keepalived killed on the primary (${round})`, { outageMs: 500, mayBeUnfelt: true }, () => rig.lab.kill(primary, 'keepalived'))
      expect(await poll(asAnyOther, { withinMs: 2000 }), 'an owner for a moment only').toBe(true)
      // One that does not stay up is counted once: the next death is to be another accident.
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
    await rig.finishWithin(writer, 500)
    expect(await rig.untilOk()).toMatchObject({ primary, epoch, vipHolder: primary })
    expect(await metric(rig, primary, 'holdfast_vip_repairs_total', 'keepalived restarted')).toBe(2)
    // And what it says of its replica.
    expect(await metric(rig, primary, 'holdfast_replica_connected', other(primary))).toBe(1)
    expect(await metric(rig, primary, 'holdfast_replica_ack_age_seconds', other(primary))).toBeLessThanOrEqual(2)
    // What was written in the second since it acknowledged last counts as well.
    const caughtUp = async () => ((await metric(rig, primary, 'holdfast_replica_lag_bytes', other(primary))) < 1000 ? true : undefined)
    expect(await poll(caughtUp, { withinMs: 3000 }), 'once nobody writes any more').toBe(true)
    expect(await metric(rig, primary, 'holdfast_full_syncs_total', 'sessions')).toBeGreaterThanOrEqual(1)
    expect(await metric(rig, other(primary), 'holdfast_link_up', 'sessions')).toBe(1)
  })

  test('… and redis with it: the address that was left behind does not lead clients to a dead host', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'keepalived and redis killed on the primary', { outageMs: 1000 }, async () => {
      await rig.lab.kill(primary, 'keepalived')
      await rig.lab.kill(primary, 'redis')
    })
    expect(await rig.untilOk()).toMatchObject({ primary: other(primary), vipHolder: other(primary) })
    await rig.finishWithin(writer, 1000)
  })

  test('an operator adds the address on the replica, and a client is led there: it is taken off, and the client comes back', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const replica = other(primary)
    const writer = await rig.writer()
    await rig.incident(writer, 'the address added on the replica', { outageMs: announcedMs, mayBeUnfelt: true, okWithinMs: null }, async () => {
      await onHost(rig, replica, `ip addr add ${vip}/24 dev eth0`)
      await leadAstray(rig, 'client', replica)
    })
    const removed = await poll(async () => ((await holds(rig, replica)) ? undefined : true), { withinMs: 2000 })
    expect(removed, 'it is taken off').toBe(true)
    const { errorKinds } = await rig.finishWithin(writer, announcedMs)
    expect(errorKinds, 'a replica refuses what it is not to have').toContain('READONLY')
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    expect(await metric(rig, replica, 'holdfast_vip_repairs_total', 'removed')).toBe(1)
    expect((await rig.cli('history', 'sessions', '--events')).stdout).toMatch(/vip-removed: the address was on .* ms, where it does not belong/)
  })

  test('… whose agent is dead: it is taken off when the agent is back', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = other(primary)
    await rig.killAgent(replica)
    await onHost(rig, replica, `ip addr add ${vip}/24 dev eth0`)
    await rig.startAgent(replica)
    const removed = await poll(async () => ((await holds(rig, replica)) ? undefined : true), { withinMs: 5000 })
    expect(removed, 'it is taken off').toBe(true)
    await rig.untilOk()
  })

  test('an operator removes the address from the primary: keepalived puts it back', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'the address removed from the primary', { outageMs: 500, mayBeUnfelt: true }, () =>
      onHost(rig, primary, `ip addr del ${vip}/24 dev eth0`),
    )
    await rig.finishWithin(writer, 500)
    expect(await rig.untilOk()).toMatchObject({ primary, epoch, vipHolder: primary })
  })

  test("a client's neighbour entry is stale: the host that it leads to refuses at once, and the next announcement ends it", async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'a stale neighbour entry', { outageMs: announcedMs }, () => leadAstray(rig, 'client', other(primary)))
    const { errorKinds } = await rig.finishWithin(writer, announcedMs)
    expect(errorKinds.filter((kind) => kind === 'ECONNRESET' || kind === 'ECONNREFUSED').length, 'no silence, a refusal').toBeGreaterThan(0)
  })

  test('a stranger claims the address: named with its hardware address, counted, and left alone', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const mac = await macOf(rig, 'client2')
    const pid = await claim(rig, 'client2')
    const named = await rig.until('the stranger is named', 'sessions', (s) => s.address?.word === 'a stranger' && s.address.forMs > 1500, 10_000)
    expect(named).toMatchObject({ primary, epoch, health: 'degraded', address: { seenBy: other(primary) } })
    expect(named.because).toContain(mac)
    expect((await rig.cli('status', 'sessions')).stdout).toContain('a stranger')
    const explained = JSON.parse((await rig.cli('explain', 'sessions', '--json')).stdout) as { views: Explanation[] }
    expect(explained.views.find((v) => v.asSeenBy === other(primary))?.address).toContain(mac)
    await onHost(rig, 'client2', `kill ${pid}`)
    await rig.until('it has ended', 'sessions', (s) => s.address?.word === 'with the primary' && s.health === 'ok', 15_000)
    expect(await metric(rig, other(primary), 'holdfast_vip_incidents_total', 'a stranger')).toBe(1)
    const events = (await rig.cli('history', 'sessions', '--events')).stdout
    expect(events).toMatch(/vip-wrong: the address is wrong \(a stranger\)/)
    expect(events).toMatch(/vip-right: the address was wrong for \d+ ms \(a stranger\)/)
    await rig.expectNoBrokenRule()
  })

  test('a stranger that announces it milliseconds before the primary does, each time: named all the same', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = other(primary)
    const mac = await macOf(rig, 'client2')
    // As soon as the replica has heard the stranger it hears the primary.
    const restore = `ip neigh replace ${vip} lladdr ${await macOf(rig, primary)} dev eth0 nud reachable`
    const each = `ip -4 monitor neigh dev eth0 | while read -r line; do case $line in *"${vip} lladdr ${mac}"*) ${restore};; esac; done`
    const ear = await onHost(rig, replica, `setsid sh -c '${each}' > /dev/null 2>&1 & echo $!`)
    const pid = await claim(rig, 'client2')
    const named = await rig.until('the stranger is named', 'sessions', (s) => s.address?.word === 'a stranger' && s.address.forMs > 1500, 10_000)
    expect(named.because).toContain(mac)
    await onHost(rig, 'client2', `kill ${pid}`)
    await onHost(rig, replica, `kill -- -${ear}`)
    await rig.until('it has ended', 'sessions', (s) => s.address?.word === 'with the primary' && s.health === 'ok', 15_000)
  })
})

function other(host: string): string {
  return host === 'red-a' ? 'red-b' : 'red-a'
}

async function onHost(rig: Rig, host: string, command: string): Promise<string> {
  return (await rig.lab.exec(host, ['sh', '-c', command])).stdout.trim()
}

async function holds(rig: Rig, host: string): Promise<boolean> {
  return (await onHost(rig, host, 'ip -4 -o addr show')).includes(` ${vip}/`)
}

function macOf(rig: Rig, host: string): Promise<string> {
  return onHost(rig, host, 'cat /sys/class/net/eth0/address')
}

/** `who` believes that the address is at `where`, as if it had just been told so. */
async function leadAstray(rig: Rig, who: string, where: string): Promise<void> {
  await onHost(rig, who, `ip neigh replace ${vip} lladdr ${await macOf(rig, where)} dev eth0 nud reachable`)
}

/** A machine of somebody else with a keepalived of its own, which claims and announces the same address. */
async function claim(rig: Rig, host: string): Promise<string> {
  const dir = join(rig.base, 'claimer')
  const conf = `${dir}.conf`
  await writeFile(
    conf,
    `global_defs {\n router_id other\n vrrp_version 3\n vrrp_garp_master_refresh 1\n}
vrrp_instance other {\n state MASTER\n interface eth0\n virtual_router_id 199\n priority 255\n advert_int 1
 virtual_ipaddress {\n  ${vip}/24 dev eth0\n }\n}\n`,
    { mode: 0o600 },
  )
  await onHost(rig, host, `setsid keepalived -n -l -P -f ${conf} -p ${dir}.pid -r ${dir}-vrrp.pid > ${dir}.log 2>&1 &`)
  const pid = await poll(async () => (await onHost(rig, host, `cat ${dir}.pid`)) || undefined, { withinMs: 5000 })
  return pid ?? ''
}

async function metric(rig: Rig, host: string, name: string, label: string): Promise<number> {
  const node = rig.lab.record.plan.nodes.find((n) => n.name === host)
  const script = `fetch('http://${node?.ip}:${rig.lab.record.apiPort}/metrics').then((r) => r.text()).then((t) => process.stdout.write(t))`
  const { stdout } = await rig.lab.exec('client2', [process.execPath, '-e', script])
  const line = stdout.split('\n').find((l) => l.startsWith(`${name}{`) && l.includes(`"${label}"`))
  return Number(line?.split(' ').at(-1))
}
