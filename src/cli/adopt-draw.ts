/** What was found in a pair and how it is taken over, for the eye. Words only. */
import pc from 'picocolors'
import type { Adoption } from '../adopt/adoption.ts'
import type { AdoptFinding } from '../adopt/finding.ts'
import type { Side } from '../adopt/pair.ts'
import type { Step } from '../adopt/steps.ts'

const paint: Readonly<Record<AdoptFinding['level'], (text: string) => string>> = { red: pc.red, yellow: pc.yellow, unseen: pc.yellow }
const nameWidth = 21
const margin = ' '.repeat(9)

export function drawAdoption({ pair, findings, stops, yaml, takeover }: Adoption, warnings: readonly string[], written: readonly string[]): string {
  const { primary, replica, vip } = pair
  return [
    `primary  ${brief(primary)}`,
    `replica  ${brief(replica)}`,
    `address  ${vip === null ? 'none' : `${vip.ip}/${vip.prefix}`}`,
    '',
    pc.bold('What is dangerous in it'),
    ...(findings.length === 0 ? ['nothing of what is looked for'] : findings.flatMap(findingLines)),
    '',
    pc.bold(written.length === 0 ? 'The configuration' : `The configuration: ${written.join(', ')}`),
    yaml.trimEnd(),
    ...warnings.map((warning) => pc.dim(`# ${warning}`)),
    '',
    ...(stops.length > 0
      ? [`${pc.red('it may not begin')}; to be mended first: ${[...new Set(stops.map(({ name }) => name))].join(', ')}. Then look again on both hosts`]
      : [pc.bold('The take-over, in this order'), ...stepLines(takeover.steps), '', pc.bold('The way back'), ...stepLines(takeover.wayBack)]),
    '',
  ].join('\n')
}

function brief({ name, ip, interface: device, found: { redis } }: Side): string {
  return `${name}  ${ip} on ${device}, ${redis.product} ${redis.version}, ${redis.keys} keys, offset ${redis.offset}`
}

function findingLines({ level, name, host, found, accident, fix, stops }: AdoptFinding): readonly string[] {
  const head = `${paint[level](level.padEnd(9))}${name.padEnd(nameWidth)} ${host === null ? '' : `${host}: `}${found}${stops ? pc.red('  (to be mended first)') : ''}`
  return [head, `${margin}${pc.dim(accident)}`, `${margin}→ ${fix ?? 'the take-over ends it'}`]
}

function stepLines(steps: readonly Step[]): readonly string[] {
  return steps.flatMap(({ on, what, type }, i) => [
    `${String(i + 1).padStart(2)}. ${on === null ? '' : `${pc.bold(on)}: `}${what}`,
    ...type.map((line) => `      ${line}`),
  ])
}
