/** What is dangerous in the two redises and their files. PURE. */
import { red, unseen, yellow, type AdoptFinding } from './finding.ts'
import type { HostFound } from './found.ts'
import type { Pair, Side } from './pair.ts'
import { asksPassword, comesBackWith, fileSettingOf, isYes, renamesOf, settingOf, versionOf } from './settings.ts'

export const bornFenced = '127.0.0.1 1'
const oneMib = 1024 * 1024
/** Here its agent asks it. */
const ownIp = '127.0.0.1'

export function redisFindings(pair: Pair): readonly AdoptFinding[] {
  return [...restarts(pair), ...[pair.primary, pair.replica].flatMap((side) => ofOne(side, pair)), ...access(pair), ...renames(pair), ...copies(pair)]
}

function restarts({ primary, replica }: Pair): readonly AdoptFinding[] {
  const has = comesBackWith(primary.found)
  if (has === 'its append-only file' || fileSettingOf(primary.found, 'replicaof') === bornFenced) return []
  const how = `${starterOf(primary.found)}; ${replica.name} follows it`
  const fix = `\`replicaof ${bornFenced}\` at the end of redis.conf on both hosts, for the next start (the running redis is not touched): it is then born as nobody's master, and Holdfast promotes it when it is to serve`
  if (has === 'nothing') return [red('restarts-empty', `save "" and appendonly no; ${how}`, { host: primary.name, fix })]
  return [yellow('restarts-old', `snapshots only; ${how}`, { host: primary.name, fix })]
}

/** Who brings it back, in words. */
export function starterOf({ supervisor: { unit, restart, restartAfter, parent } }: HostFound): string {
  if (restart !== null && restart !== 'no')
    return `${unit ?? 'its unit'} starts it again (Restart=${restart}${restartAfter === null ? '' : `, after ${restartAfter}`})`
  if (restart === 'no') return `${unit ?? 'its unit'} does not start it again after a crash, and does after a reboot`
  return parent === null || ['systemd', 'init'].includes(parent) ? 'who starts it again is not known' : `${parent} starts it`
}

function ofOne(side: Side, { primary, vip }: Pair): readonly AdoptFinding[] {
  return [...kind(side), ...nextStart(side), ...settings(side), ...listening(side, vip?.ip ?? null), ...besides(side), ...(side === primary ? [] : link(side))]
}

function kind({ found, name: host }: Side): readonly AdoptFinding[] {
  const { redis } = found
  const [major, minor] = versionOf(found)
  const at: AdoptFinding[] = []
  if (redis.replid === '')
    at.push(
      red('too-old', `${redis.product} ${redis.version}`, {
        host,
        stops: true,
        fix: 'a newer redis on new hosts, and the data moved there: holdfast migrate plan',
      }),
    )
  else if (major < 6 || (major === 6 && minor < 2)) at.push(yellow('no-switchover', `${redis.product} ${redis.version}`, { host }))
  if (redis.settings === null)
    at.push(
      unseen('not-seen', 'CONFIG GET is refused: what redis runs with is known from its file alone', {
        host,
        stops: true,
        fix: 'the agent needs CONFIG: see renamed-needed, or the ACL',
      }),
    )
  return at
}

/** What its file will make of it. */
function nextStart({ found, name: host }: Side): readonly AdoptFinding[] {
  const { redis } = found
  const at: AdoptFinding[] = []
  const fileRole = fileSettingOf(found, 'replicaof')
  const startsAs = fileRole === null ? 'primary' : fileRole === bornFenced ? null : 'replica'
  if (found.redisConf.file === null) at.push(unseen('not-seen', 'its redis.conf was not found: how it starts is not known', { host, fix: '--redis-conf FILE' }))
  else if (startsAs !== null && startsAs !== redis.role)
    at.push(
      red(
        'wrong-role-at-start',
        `it is a ${redis.role}, and ${found.redisConf.file} ${fileRole === null ? 'has no replicaof' : `says replicaof ${fileRole}`}`,
        {
          host,
          fix: `\`replicaof ${bornFenced}\` there, instead of what it says: no role is written down, it is decided`,
        },
      ),
    )
  for (const file of found.redisConf.unread)
    at.push(unseen('not-seen', `${file}: what redis.conf includes was not read`, { host, fix: 'look again as a user who may read it' }))
  return at
}

function settings({ found, name: host }: Side): readonly AdoptFinding[] {
  const at: AdoptFinding[] = []
  if (!isYes(settingOf(found, 'replica-read-only'), true))
    at.push(
      red('replica-writable', 'replica-read-only no', {
        host,
        fix: 'redis-cli CONFIG SET replica-read-only yes, and the same in redis.conf; what was written there by hand: holdfast migrate verify shows it',
      }),
    )
  if (!isYes(settingOf(found, 'replica-serve-stale-data'), true))
    at.push(
      yellow('stale-refused', 'replica-serve-stale-data no', { host, fix: 'redis-cli CONFIG SET replica-serve-stale-data yes, and the same in redis.conf' }),
    )
  if (!(Number(settingOf(found, 'min-replicas-to-write') ?? 0) >= 1))
    at.push(
      yellow('no-min-replicas', 'min-replicas-to-write 0', {
        host,
        fix: '`durability: safe` or a `witness` in the proposal; with min-replicas-to-write 1 alone, of two hosts the loss of either stops writes',
      }),
    )
  if (versionOf(found)[0] >= 7 && isYes(settingOf(found, 'repl-diskless-sync'), true))
    at.push(yellow('diskless-sync', 'repl-diskless-sync yes', { host, fix: 'redis-cli CONFIG SET repl-diskless-sync no, and the same in redis.conf' }))
  const backlog = Number(settingOf(found, 'repl-backlog-size') ?? oneMib)
  if (backlog <= oneMib)
    at.push(yellow('small-backlog', `repl-backlog-size ${backlog}`, { host, fix: 'redis-cli CONFIG SET repl-backlog-size 64mb, and the same in redis.conf' }))
  return at
}

/** Who else starts it, or chooses. */
function besides({ found, name: host }: Side): readonly AdoptFinding[] {
  const { redis, cron } = found
  const at: AdoptFinding[] = []
  if (redis.watchedBySentinels === true)
    at.push(
      red('watched-by-sentinels', 'it has connections of a Sentinel', {
        host,
        stops: true,
        fix: 'SENTINEL REMOVE NAME on each Sentinel, and clients that ask them go to the address; or a group of `mode: sentinel`, set up anew',
      }),
    )
  if (redis.watchedBySentinels === null)
    at.push(
      unseen('not-seen', 'CLIENT LIST is refused: whether Sentinels watch it is not known', {
        host,
        fix: 'ask those who set it up; each Sentinel that knows it: SENTINEL REMOVE NAME',
      }),
    )
  if (cron.length > 0) at.push(yellow('cron', cron.join('; '), { host, fix: 'take these lines out before the agents are started; a backup may stay' }))
  return at
}

function link({ found: { redis }, name: host }: Side): readonly AdoptFinding[] {
  if (redis.linkUp && !redis.syncing) return []
  const fix = 'wait until it is up; redis.log says why it is not'
  return [red('link-down', redis.syncing ? 'it is in a full sync' : 'master_link_status is down', { host, stops: true, fix })]
}

function listening({ found, name: host, ip }: Side, vip: string | null): readonly AdoptFinding[] {
  const bind = settingOf(found, 'bind')
  const bound = (bind ?? '').split(/\s+/).map((word) => word.replace(/^-/, ''))
  const everywhere = bind === null || bind === '' || bound.some((word) => word === '*' || word === '0.0.0.0')
  const lacking = everywhere ? [] : [ownIp, ip, ...(vip === null ? [] : [vip])].filter((wanted) => !bound.includes(wanted))
  const at: AdoptFinding[] = []
  if (lacking.length > 0)
    at.push(
      red('listens-elsewhere', `bind ${bind ?? ''}: not ${lacking.join(' and ')}`, {
        host,
        stops: true,
        fix:
          versionOf(found)[0] >= 7
            ? 'redis-cli CONFIG SET bind "*", and the same in redis.conf; a firewall limits who comes'
            : '`bind 0.0.0.0` in redis.conf, and a restart of the replica first, then of the other after a failover',
      }),
    )
  // Only without a password and without a bind of its own redis means it.
  if (isYes(settingOf(found, 'protected-mode'), versionOf(found)[0] > 3) && !asksPassword(found) && bindIsDefault(found))
    at.push(
      red('protected-mode', 'protected-mode yes, without a password and without bind', {
        host,
        stops: true,
        fix: 'redis-cli CONFIG SET protected-mode no, or better a password on both: CONFIG SET requirepass and masterauth',
      }),
    )
  return at
}

/** Redis is in protected mode only where nobody has said where it is to listen. */
function bindIsDefault(found: HostFound): boolean {
  return fileSettingOf(found, 'bind') === null && found.redis.replicas.length === 0 && found.redis.role === 'primary'
}

function access({ primary, replica }: Pair): readonly AdoptFinding[] {
  const [one, two] = [primary.found.passwords, replica.found.passwords]
  const mended = (host: string): string => `redis-cli on ${host}: CONFIG SET masterauth, to the password of the other, and the same in redis.conf`
  const at: AdoptFinding[] = []
  if (one.own !== two.own)
    at.push(
      red('passwords-differ', one.own === null || two.own === null ? 'one asks for a password and the other does not' : 'requirepass of the two differs', {
        stops: true,
        fix: 'CONFIG SET requirepass and masterauth on both, and the same in both redis.conf',
      }),
    )
  for (const [side, other] of [
    [primary, replica],
    [replica, primary],
  ] as const) {
    const { own } = other.found.passwords
    const { masterauth } = side.found.passwords
    if (own === null || masterauth === own) continue
    // Where the other way goes by a user of an ACL, its own password counts.
    if (settingOf(side.found, 'masteruser') !== null && settingOf(side.found, 'masteruser') !== '') continue
    at.push(
      red(
        'masterauth-missing',
        masterauth === null ? `${other.name} asks for a password, and it has no masterauth` : `its masterauth is not the password of ${other.name}`,
        { host: side.name, fix: mended(side.name) },
      ),
    )
  }
  return at
}

function renames({ primary, replica }: Pair): readonly AdoptFinding[] {
  const at: AdoptFinding[] = []
  for (const { name: host, found } of [primary, replica])
    if (found.redis.lacking.length > 0)
      at.push(
        red('renamed-needed', found.redis.lacking.join(', '), {
          host,
          stops: true,
          fix: 'take their rename-command lines out of redis.conf. That needs a restart: the replica first, then a failover by the old means, then the other. An ACL user can keep people from them instead (6.0)',
        }),
      )
  const [mine, its] = [primary, replica].map(({ found }) => renamesOf(found).map(([command, to]) => `${command} → ${to === '' ? 'nothing' : to}`))
  const differ = [
    ...(mine ?? []).filter((one) => !its?.includes(one)).map((one) => `${one} on ${primary.name} alone`),
    ...(its ?? []).filter((one) => !mine?.includes(one)).map((one) => `${one} on ${replica.name} alone`),
  ]
  if (differ.length > 0)
    at.push(
      red('renames-differ', differ.join('; '), {
        fix: 'the same rename-command lines on both, at their next restart; what differs already: holdfast migrate verify',
      }),
    )
  return at
}

function copies({ primary, replica }: Pair): readonly AdoptFinding[] {
  const others = primary.found.redis.replicas.filter(({ ip }) => !replica.found.addresses.some((own) => own.ip === ip))
  const below = replica.found.redis.replicas
  if (others.length + below.length === 0) return []
  const words = [
    ...others.map(({ ip, port }) => `${ip}:${port} follows ${primary.name}`),
    ...below.map(({ ip, port }) => `${ip}:${port} follows ${replica.name}`),
  ]
  return [
    yellow('more-replicas', words.join('; '), {
      fix: 'an agent on their hosts too, and members: in the proposal (never_primary: true where they are not to serve)',
    }),
  ]
}
