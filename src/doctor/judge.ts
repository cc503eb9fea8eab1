/** Everything that `holdfast doctor` has to say of a host: facts in, findings out, the worst first. PURE. */
import type { DoctorFinding, HostLook, Level } from '../model/doctor.ts'
import { judgeDisk } from './disk.ts'
import { judgeMachine } from './machine.ts'
import { judgeMemory } from './memory.ts'
import { judgeReplication } from './replication.ts'
import { unseen } from './say.ts'
import { judgeVersions } from './versions.ts'

export function judgeHost({ machine, programs, groups }: HostLook): readonly DoctorFinding[] {
  return [
    ...judgeMachine(machine, groups),
    ...judgeVersions(programs, groups),
    ...judgeMemory(machine, groups),
    ...groups.flatMap((look) => [
      ...(look.redis.ok
        ? []
        : [
            unseen(
              { check: 'redis', group: look.group, why: 'what redis is set to, what it writes and what its last fork cost is asked of it' },
              look.redis.why,
            ),
          ]),
      ...judgeReplication(look),
      ...judgeDisk(look),
    ]),
  ].toSorted((one, two) => rank[one.level] - rank[two.level])
}

const rank: Readonly<Record<Level, number>> = { red: 0, yellow: 1, unseen: 2, green: 3 }
