/** What the kernel is set to, judged for a host that runs redis. PURE. What belongs to one redis is in the files beside it. */
import type { DoctorFinding, GroupLook, MachineFacts } from '../model/doctor.ts'
import { found, sizeOf, unseen, type Check } from './say.ts'

/** The kernel moves idle pages out at 60, its default; at 10 only when memory is short. */
const calmSwappiness = 10

export function judgeMachine(machine: MachineFacts, groups: readonly GroupLook[]): readonly DoctorFinding[] {
  return [overcommit(machine), hugePages(machine, groups), ...swap(machine, groups), clock(machine)]
}

function sysctl(setting: string): string {
  return `sysctl -w ${setting} && echo ${setting} > /etc/sysctl.d/90-redis-${setting.split(/[.=]/)[1]}.conf`
}

function overcommit({ overcommit: seen }: MachineFacts): DoctorFinding {
  const check: Check = {
    check: 'overcommit',
    group: null,
    why: 'a save, an AOF rewrite and a full sync fork: without overcommit the kernel may refuse the fork of a large redis although the memory would do',
  }
  if (!seen.ok) return unseen(check, seen.why)
  const measured = `vm.overcommit_memory is ${seen.value}`
  const level = seen.value === 1 ? 'green' : seen.value === 0 ? 'yellow' : 'red'
  return found(check, level, measured, sysctl('vm.overcommit_memory=1'))
}

/** redis switches them off for itself from 6.2 on, and the kernel tells whether it did. */
function hugePages({ hugePages: seen }: MachineFacts, groups: readonly GroupLook[]): DoctorFinding {
  const check: Check = {
    check: 'huge pages',
    group: null,
    why: 'after a fork each small write copies 2 MiB instead of 4 KiB: latency of milliseconds, and up to twice the memory',
  }
  if (!seen.ok) return unseen(check, seen.why)
  const measured = `transparent huge pages: ${seen.value}`
  const fix = 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, at each boot (transparent_hugepage=madvise on the command line of the kernel)'
  if (seen.value !== 'always') return found(check, 'green', measured)
  const processes = groups.flatMap((g) => (g.redis.ok ? [{ group: g.group, may: g.redis.value.process.hugePages }] : []))
  const with_ = processes.filter(({ may }) => may !== false)
  if (processes.length > 0 && with_.length === 0) return found(check, 'green', `${measured}, and switched off by redis for itself`)
  if (with_.length > 0) return found(check, 'red', `${measured}, and redis of ${with_.map(({ group }) => group).join(', ')} may get them`, fix)
  return found(check, 'yellow', measured, fix)
}

function swap({ swap: seen }: MachineFacts, groups: readonly GroupLook[]): readonly DoctorFinding[] {
  const check: Check = { check: 'swap', group: null, why: 'a key in swap makes everybody wait for the disk: one thread serves all clients' }
  const swapped = groups.flatMap((g): DoctorFinding[] => {
    const bytes = g.redis.ok ? g.redis.value.process.swappedBytes : null
    if (bytes === null || bytes === 0) return []
    return [
      found(
        { ...check, group: g.group },
        'red',
        `${sizeOf(bytes)} of this redis are in swap`,
        'give the host memory, or lower maxmemory; then: swapoff -a && swapon -a',
      ),
    ]
  })
  if (!seen.ok) return [unseen(check, seen.why), ...swapped]
  const { totalBytes, usedBytes, swappiness } = seen.value
  const measured = totalBytes === 0 ? 'no swap' : `${sizeOf(totalBytes)} of swap, ${sizeOf(usedBytes)} used, vm.swappiness ${swappiness}`
  const level = totalBytes === 0 || swappiness <= calmSwappiness ? 'green' : 'yellow'
  return [found(check, level, measured, sysctl('vm.swappiness=1')), ...swapped]
}

function clock({ clock: seen }: MachineFacts): DoctorFinding {
  const check: Check = {
    check: 'clock',
    group: null,
    why: 'agents refuse each other when their clocks are far apart (HF302), keys expire by the clock of whoever is primary, and backups are named and due by it',
  }
  if (!seen.ok) return unseen(check, seen.why)
  const { synchronized, by } = seen.value
  return found(
    check,
    synchronized ? 'green' : 'yellow',
    `${synchronized ? 'synchronized' : 'not synchronized'}, says ${by}`,
    'apt install chrony && systemctl enable --now chrony',
  )
}
