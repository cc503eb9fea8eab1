/** The configuration that would look after the pair as it runs. PURE: text, without a password. Whether it may be used is said by the findings. */
import { quotedName } from './say.ts'
import type { Pair, Side } from './pair.ts'
import { asksPassword } from './settings.ts'

export interface ProposalWish {
  readonly name: string
  /** Where the files will lie on every host. */
  readonly etc: string
}

export function passwordFileName(name: string): string {
  return `${name}.password`
}

export function hasPassword({ primary }: Pair): boolean {
  return asksPassword(primary.found)
}

export function proposalOf(pair: Pair, { name, etc }: ProposalWish): string {
  const { primary, replica, vip, reader, port } = pair
  const conf = sameConf(pair)
  const vrid = primary.instance?.vrid ?? replica.instance?.vrid ?? null
  const readerVrid = reader === null ? null : vridOf(pair, reader.ip)
  const lines = [
    `# Proposed by \`holdfast adopt\` from what was found on ${primary.name} and ${replica.name}. The same file on both hosts.`,
    'hosts:',
    hostLine(primary),
    hostLine(replica),
    'groups:',
    `  ${quotedName(name)}:`,
    `    members: [${quotedName(primary.name)}, ${quotedName(replica.name)}]   # ${primary.name} is the primary now`,
    '    # witness: HOST   # an agent on any third host: without one a cut wire between the two can make two primaries (docs/partitions.md)',
    ...(vip === null ? [] : [`    vip: ${vip.ip}/${vip.prefix}`]),
    ...(vip === null || vrid === null ? [] : [`    vrid: ${vrid}   # as before`]),
    ...(reader === null ? [] : [`    reader_vip: ${reader.ip}/${reader.prefix}`]),
    ...(readerVrid === null ? [] : [`    reader_vrid: ${readerVrid}   # as before`]),
    ...([primary, replica].some(({ instance }) => (instance?.unicastPeers.length ?? 0) > 0) ? ['    unicast_peer: true'] : []),
    ...(port === 6379 ? [] : [`    port: ${port}`]),
    ...(hasPassword(pair) ? [`    password_file: ${etc}/${passwordFileName(name)}`] : []),
    '    process: external   # redis runs on, and is never started by Holdfast',
    ...(conf === null ? [] : [`    redis_conf: ${conf}   # read by \`holdfast check\` alone`]),
    '',
  ]
  return lines.join('\n')
}

function hostLine({ name, ip, interface: device }: Side): string {
  return `  ${quotedName(name)}: { ip: ${ip}, interface: ${quotedName(device)} }`
}

/** One key for all hosts: only where both have it at the same place. */
function sameConf({ primary, replica }: Pair): string | null {
  const [one, two] = [primary.found.redisConf.file, replica.found.redisConf.file]
  return one !== null && one === two && /^[^\s"'\\]+$/.test(one) ? one : null
}

function vridOf({ primary, replica }: Pair, ip: string): number | null {
  const all = [primary, replica].flatMap(({ setup }) => setup?.instances ?? [])
  return all.find(({ addresses }) => addresses.some((address) => address.ip === ip))?.vrid ?? null
}
