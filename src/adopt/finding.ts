/**
 * What is dangerous in a pair that was found, by name, each with the accident behind it. PURE words. The names stay: people speak of them. `stops`: the
 * take-over itself would go wrong; everything else is a reason to make it.
 */

export const accidents = {
  'restarts-empty':
    'a master that writes nothing to its disk and is started again after a crash comes back empty within a second, before keepalived or a Sentinel has noticed; its replicas follow it and drop all they have: every copy is gone',
  'restarts-old':
    'a master that is started again at once comes back with its last snapshot, and its replicas follow it back: everything since then is gone everywhere',
  'promotes-always':
    'VRRP knows who is alive on the wire, not who has the data: at every transition whoever becomes MASTER is made a redis master, in a split both, also one whose link was down for hours or that is in the middle of a full sync',
  'follows-always': 'it is made a replica of the other and drops what it has, also when that is newer than what the other has',
  'follows-at-start':
    'keepalived enters BACKUP whenever it starts, also on the host of the master: its script makes the master a replica until VRRP has elected it again',
  'floats-back': 'when the host comes back it takes the address from the one that has the data, whether or not its own redis has them',
  'both-state-master': 'after a start both are MASTER until they hear each other, and by then both scripts have run: two masters',
  'vrids-differ': 'the two do not hear each other: both hold the address',
  'vrid-twice': 'two instances with one virtual_router_id on one interface take each other for their peer: addresses move when nothing has happened',
  'priorities-equal': 'with equal priorities the higher IP wins: nobody has chosen that, and it preempts too',
  'check-weak': 'the check fails and the address stays: the priority that is left is still the higher one',
  'check-blind': 'a redis that hangs, loads or refuses writes still has a process: the address stays with it',
  'check-slow': 'from the crash until somebody else answers, every write fails',
  'no-check': 'keepalived watches the host alone: a redis that has died keeps the address, until somebody looks',
  'auth-pass-long': 'keepalived uses the first eight characters: two passwords that differ after them are the same, and it is sent in clear',
  'replica-writable': 'what is written to a replica reaches no other copy; it differs from its master and nothing shows it',
  'no-min-replicas': 'a master that is cut off from its replica, and not from some clients, acknowledges writes until the wire is back; then they are gone',
  'masterauth-missing': 'it can never follow another one: after the first failover it is refused at the door, and the pair has one copy',
  'passwords-differ': 'who is promoted asks clients and replicas for another password than they have: an outage at the first failover',
  'wrong-role-at-start': 'redis.conf says another role than it has now: after a reboot it starts in that one, beside a second master or following an old one',
  'renamed-needed': 'the agent calls these by their own names; with CONFIG or REPLICAOF gone it could neither fence nor promote',
  'renames-differ': 'what the one sends under a name that the other does not know is left out there, with the link up: the copies differ',
  'watched-by-sentinels': 'Sentinels promote by their own mind, and tell their clients: two that choose are two masters one day',
  'listens-elsewhere': 'who connects to an address that redis does not listen at is refused: the address moves, and nobody answers',
  'protected-mode': 'without a password redis then refuses everybody who does not come from its own host',
  'link-down': 'a replica whose link is down or that is in a full sync is no copy: taken over like this, the group has one copy and does not know it',
  'too-old': 'without replication ids (4.0) data cannot be compared, and nobody is promoted: such a redis cannot be looked after',
  'no-switchover': 'before 6.2 writes cannot be paused: no planned switchover, a failover works',
  'stale-refused': 'a replica without its master answers no reads at all: readers see an outage at each failover',
  'diskless-sync': 'with redis 7 a replica looks ready up to a second before it receives anything after a full sync: promoted then, it lacks that second',
  'small-backlog': 'with the default of 1 MB a blip of the network is a full sync, and a former master drops what could have been brought over',
  'more-replicas': 'they go on following the old master by its own address after a failover: copies of what no longer counts',
  'more-addresses': 'the old keepalived holds these too: when it ends they are gone',
  'address-elsewhere': 'clients are led to a redis that is no master, or to nobody',
  cron: 'what runs by the clock restarts, promotes or moves the address beside the agents: two that choose',
  'script-starts-redis': 'a redis that a script starts comes up with whatever its file and its disk say, in the middle of a failover',
  'password-in-script': 'everybody on the host can read it in the list of processes',
  'not-seen': 'what was not read may do anything',
} as const
export type FindingName = keyof typeof accidents

export interface AdoptFinding {
  readonly name: FindingName
  readonly level: 'red' | 'yellow' | 'unseen'
  /** null: of the pair. */
  readonly host: string | null
  /** What was seen. */
  readonly found: string
  readonly accident: string
  /** What to do; null: the take-over ends it. */
  readonly fix: string | null
  /** It is to be mended before the take-over. */
  readonly stops: boolean
}

interface Said {
  readonly host?: string
  readonly fix?: string
  readonly stops?: true
}

function finding(level: AdoptFinding['level'], name: FindingName, found: string, { host, fix, stops }: Said): AdoptFinding {
  return { name, level, host: host ?? null, found, accident: accidents[name], fix: fix ?? null, stops: stops === true }
}

export const red = (name: FindingName, found: string, said: Said = {}): AdoptFinding => finding('red', name, found, said)
export const yellow = (name: FindingName, found: string, said: Said = {}): AdoptFinding => finding('yellow', name, found, said)
export const unseen = (name: FindingName, found: string, said: Said = {}): AdoptFinding => finding('unseen', name, found, said)
