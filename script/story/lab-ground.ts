/** The story's ground where namespaces are to be had: two hosts and a client, an address by VRRP. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Lab, labExists, raiseLab, takeDown } from '../../src/lab/lab.ts'
import { startWriter } from '../../src/lab/writer.ts'
import { fail, type Ground, group } from './ground.ts'

const configuration = `# Two hosts, one group, one address.
api: { secret_file: ./secret }
hosts:
  redis-a: { ip: 192.168.100.201, interface: eth0 }
  redis-b: { ip: 192.168.100.202, interface: eth0 }
groups:
  ${group}:
    members: [redis-a, redis-b]
    vip: 192.168.100.123/24
    password_file: ./password
`

export async function labGround(name: string, entry: readonly string[], signal: AbortSignal, say: (line: string) => void): Promise<Ground> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-demo-'))
  let raised: Lab | undefined
  const lab = (): Lab => raised ?? fail('the lab is not up')
  return {
    words: {
      opening: `A lab (${name}): two hosts and a client as network namespaces, a real redis and keepalived on each host, an agent beside them`,
      address: 'HOST is primary and holds the address 192.168.100.123',
      lost: "the primary's host, HOST, is cut off: every packet from and to it is lost",
      stillLost: 'HOST is still cut off; the other host serves alone',
      comesBack: 'HOST is connected again',
      nothingLeft: 'no namespace, process, firewall rule or file',
    },
    raise: async () => {
      const configFile = join(dir, 'holdfast.yaml')
      await writeFile(configFile, configuration)
      for (const file of ['secret', 'password']) await writeFile(join(dir, file), `${randomBytes(24).toString('hex')}\n`, { mode: 0o600 })
      raised = await raiseLab({ name, configFile, startAgents: true, entry, progress: say, signal })
    },
    open: async () => {},
    cli: (argv, deadlineMs) => lab().cli(argv, { deadlineMs }),
    startWriter: () => {
      const found = lab().record.groups.find((one) => one.name === group)
      if (found?.vip == null) return fail('the group has no address')
      const passwordFile = found.passwordFile === null ? {} : { passwordFile: found.passwordFile }
      return startWriter({ kind: 'lab', lab: lab() }, { host: found.vip, port: found.port, ...passwordFile })
    },
    killRedis: (host) => lab().kill(host, 'redis', { group }),
    loseHost: (host) => lab().cut(host),
    bringBack: (host) => lab().heal(host),
    clear: async () => {
      await takeDown(name)
      await rm(dir, { recursive: true, force: true })
      return (await labExists(name)) ? `the lab ${name} (see: ip netns list; try: bin/holdfast lab down --name ${name})` : null
    },
  }
}
