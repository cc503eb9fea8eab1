/**
 * The take-over of a running pair, step by step, and the way back. PURE words. THE ORDER IS WHAT MAKES IT SAFE: an old keepalived that still lives when
 * Holdfast's starts sees its address go, becomes BACKUP, and its script makes the master a replica. Killed, it runs no script, and leaves the address
 * where it is: the agent finds it there, and keepalived is started as its owner when both members have been heard.
 */
import { bornFenced } from './findings-redis.ts'
import type { Pair, Side } from './pair.ts'
import { hasPassword, passwordFileName, type ProposalWish } from './proposal.ts'
import { notifiesOf } from './scripts.ts'
import { fileSettingOf } from './settings.ts'

export interface Step {
  /** On which hosts; null: wherever the operator is. */
  readonly on: string | null
  readonly what: string
  /** To be typed. */
  readonly type: readonly string[]
}

export interface Takeover {
  readonly steps: readonly Step[]
  readonly wayBack: readonly Step[]
}

/** STOPPED FIRST: the VRRP process is told when its parent dies, and takes the address off if it still can. */
const endOld = ['systemctl mask keepalived', 'systemctl kill --signal=SIGSTOP keepalived', 'systemctl kill --signal=SIGKILL keepalived']
const endOursOn = ['p="$(cat RUN/keepalived.pid) $(cat RUN/keepalived-vrrp.pid)"   # RUN: paths.run, /run/holdfast', 'kill -STOP $p; kill -KILL $p']

export function takeoverOf(pair: Pair, wish: ProposalWish): Takeover {
  return { steps: [...before(pair, wish), ...turn(pair, wish)], wayBack: back(pair, wish) }
}

function before(pair: Pair, { name, etc }: ProposalWish): readonly Step[] {
  const { primary, replica } = pair
  const both = `${primary.name} and ${replica.name}`
  const files = ['holdfast.yaml', 'secret', ...(hasPassword(pair) ? [passwordFileName(name)] : [])]
  const unfenced = [primary, replica].filter(({ found }) => fileSettingOf(found, 'replicaof') !== bornFenced)
  const cron = [primary, replica].flatMap(({ name: host, found }) => found.cron.map((line) => `${host}: ${line}`))
  const paths = unfenced.map(({ name: host, found }) => `${host}: ${found.redisConf.file ?? 'its redis.conf'}`)
  return [
    {
      on: both,
      what: `put ${files.join(', ')} into ${etc}, secret and password with mode 0600, and have them checked`,
      type: ['holdfast check', `holdfast doctor ${name}`],
    },
    ...(unfenced.length === 0
      ? []
      : [
          {
            on: unfenced.map(({ name: host }) => host).join(' and '),
            what: `in redis.conf, instead of any replicaof or slaveof: \`replicaof ${bornFenced}\` (${paths.join('; ')}). It counts at the next start; redis is not restarted now`,
            type: [],
          },
        ]),
    ...(cron.length === 0 ? [] : [{ on: both, what: `take out of cron what starts or turns redis or keepalived: ${cron.join('; ')}`, type: [] }]),
    {
      on: replica.name,
      what: 'a copy of the data, in case of anything: from the replica, and not into its data folder, where a restart would load it',
      type: [
        `${hasPassword(pair) ? `REDISCLI_AUTH="$(cat ${etc}/${passwordFileName(name)})" ` : ''}redis-cli -p ${replica.found.redis.port} --rdb /root/${name}.rdb`,
      ],
    },
  ]
}

function turn(pair: Pair, { name }: ProposalWish): readonly Step[] {
  const { primary, replica, vip } = pair
  const agents: readonly Step[] = [
    { on: replica.name, what: 'start the agent (from its unit). It begins nothing before it hears the other', type: [`holdfast agent --host ${replica.name}`] },
    {
      on: primary.name,
      what:
        vip === null
          ? 'start the agent'
          : `start the agent. It leaves ${vip.ip} where it is until both have been heard, some tenths of a second; then Holdfast's keepalived takes it over in its place`,
      type: [`holdfast agent --host ${primary.name}`],
    },
    { on: null, what: `wait for "ok"; what explain says of a crash must be what you want`, type: [`holdfast status ${name}`, `holdfast explain ${name}`] },
  ]
  if (vip === null) return agents
  const holds = [primary, replica].filter(({ setup }) => setup !== null)
  const shared = holds.filter(othersThan(vip.ip))
  const ends = [replica, primary].flatMap((side): readonly Step[] =>
    side.setup === null ? [] : [shared.includes(side) ? moveOut(side, vip.ip, side === primary) : end(side, vip.ip, side === primary)],
  )
  const after: readonly Step[] = [
    {
      on: `${primary.name} and ${replica.name}`,
      what: 'leave the old keepalived.conf and its scripts where they are until you need no way back; masked, nothing calls them. The supervisor of redis stays as it is: it is the one that starts redis. Where there is none, nobody starts one that has died',
      type: [],
    },
  ]
  return [...ends, ...agents, ...after]
}

function othersThan(ip: string): (side: Side) => boolean {
  return ({ setup }) => (setup?.virtualServers ?? 0) > 0 || (setup?.instances.some(({ addresses }) => addresses.every((address) => address.ip !== ip)) ?? false)
}

function end({ name }: Side, ip: string, isPrimary: boolean): Step {
  const stays = isPrimary
    ? `${ip} stays on this host, and clients notice nothing. From now until both agents run nobody would move it`
    : `It does not hold ${ip}, and nothing changes for clients`
  return {
    on: name,
    what: `end the old keepalived by SIGSTOP and SIGKILL, and not by stop: it runs none of its scripts then and leaves addresses as they are. One that was started by hand has no unit: the same two signals to all its processes. ${stays}`,
    type: endOld,
  }
}

function moveOut({ name, instance }: Side, ip: string, isPrimary: boolean): Step {
  const away = isPrimary ? `; ${ip} is away from here until both agents run (half a second): start the agent of this host in the same line` : ''
  return {
    on: name,
    what: `the old keepalived has other addresses and goes on: take the instance ${instance?.name ?? ''} out of its keepalived.conf${away}`,
    type: ['systemctl reload keepalived'],
  }
}

/** Holdfast's keepalived keeps the address while the old one listens before it takes it; killed last, it leaves it where it is. */
function back(pair: Pair, { name }: ProposalWish): readonly Step[] {
  const { primary, replica, vip } = pair
  const follows = [primary, replica].some(
    ({ found, instance }) => instance !== null && notifiesOf(instance, found).some(({ kind, follows: does }) => does && kind !== 'notify_master'),
  )
  const stop: Step = {
    on: `${primary.name} and ${replica.name}`,
    what: 'stop the agents; redis and the address stay as they are',
    type: ['kill the agent (or stop its unit)'],
  }
  if (vip === null) return [stop]
  const endOurs = [...endOursOn, `nft delete table ip holdfast_${name.replace(/[^A-Za-z0-9_]/g, '_')}`]
  return [
    { on: null, what: `the primary is to be ${primary.name} again, where it is not`, type: [`holdfast switchover ${name} --to ${primary.name}`] },
    stop,
    ...(follows
      ? [
          {
            on: `${primary.name} and ${replica.name}`,
            what: 'take out of keepalived.conf what makes redis a replica (notify_backup, notify): the old keepalived calls it when it starts, on the host of the master too',
            type: [],
          },
        ]
      : []),
    // FIRST: it would take the address in the moment in which the old one, which is started on the other host, takes it off there.
    { on: replica.name, what: "end Holdfast's keepalived by SIGKILL", type: endOurs },
    {
      on: primary.name,
      what: "start the old keepalived beside Holdfast's, and wait until it says MASTER (three of its adverts and more)",
      type: ['systemctl unmask keepalived', 'systemctl start keepalived'],
    },
    { on: primary.name, what: "end Holdfast's keepalived by SIGKILL: the address stays, the old one has it", type: endOurs },
    {
      on: replica.name,
      what: 'start the old keepalived here too, when the one of the primary is MASTER',
      type: ['systemctl unmask keepalived', 'systemctl start keepalived'],
    },
    {
      on: `${primary.name} and ${replica.name}`,
      what: 'put back what redis.conf and cron had, and move the state of the group away: another take-over begins anew, and not with the primary of today',
      type: [`mv /var/lib/holdfast/${name} /var/lib/holdfast/${name}.before`],
    },
  ]
}
