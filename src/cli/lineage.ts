/** `holdfast lineage`: which history is the true one, who stands where on it, and `accept`, by which an operator says so. */
import type { Command } from '@commander-js/extra-typings'
import pc from 'picocolors'
import { OperatorError } from '../model/error.ts'
import type { KeptEntry } from '../model/kept.ts'
import { ask, askAll, groupOf, openSession, refusal, send, type Session } from './ask.ts'
import { treeOf, type EpochNode, type LineageTree } from './lineage-tree.ts'

export function register(program: Command): void {
  const lineage = program
    .command('lineage')
    .description('show the history of promotions as a tree, with its forks and where each member stands')
    .argument('<group>')
    .argument('[accept]', 'the word accept, to name the true data')
    .argument('[host]', 'whose data are the true ones')
    .option('--reason <text>', 'why; recorded in the lineage, the event log and history')
    .option('--dry-run', 'with accept: say what would happen')
    .option('--json', 'machine-readable')
  lineage.action(async (group, word, host, options, command) => {
    const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
    groupOf(session, group)
    if (word === undefined) {
      const tree = await collectTree(session, group)
      process.stdout.write(options.json === true ? `${JSON.stringify(tree, null, 2)}\n` : drawTree(tree))
      return
    }
    if (word !== 'accept' || host === undefined)
      throw new OperatorError(
        'HF303',
        `lineage ${group} takes nothing more, or: accept HOST --reason TEXT`,
        `holdfast lineage ${group} accept HOST --reason 'TEXT'`,
        2,
      )
    await accept(session, group, host, options.reason?.trim() ?? '', options.dryRun === true, options.json === true)
  })
}

async function accept(session: Session, group: string, host: string, reason: string, dryRun: boolean, json: boolean): Promise<void> {
  const hosts = groupOf(session, group).members.map((m) => m.host)
  if (!hosts.includes(host)) throw new OperatorError('HF104', `${host} is not a member of ${group}`, `members: ${hosts.join(', ')}`, 2)
  if (reason === '')
    throw new OperatorError(
      'HF303',
      'to accept a lineage overrides the rules that protect data, so it needs a reason',
      "say --reason 'TEXT'; it is recorded",
      2,
    )
  const result = await send(session, host, group, { kind: 'accept', to: host, dryRun, reason })
  if (!result.ok) throw refusal(result, `see: holdfast lineage ${group}, holdfast explain ${group}`)
  process.stdout.write(json ? `${JSON.stringify({ group, host, ok: true, dryRun, reason, message: result.message })}\n` : `${result.message}\n`)
}

async function collectTree(session: Session, group: string): Promise<LineageTree> {
  const hosts = groupOf(session, group).members.map((m) => m.host)
  const answers = await askAll(session, hosts)
  if (answers.every((a) => !a.ok)) throw new OperatorError('HF301', `no agent of ${group} answers`, 'the lineage is kept by the agents: start one')
  const kept: KeptEntry[] = []
  for (const { host, ok } of answers) {
    if (!ok) continue
    try {
      kept.push(...((await ask(session, host, { method: 'GET', path: `/groups/${group}/kept` })) as { kept: KeptEntry[] }).kept)
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
    }
  }
  return treeOf(group, answers, kept)
}

export function drawTree(tree: LineageTree): string {
  const lines = [`${pc.bold(tree.group)}  epoch ${tree.epoch}`]
  const children = (parent: string | null) => tree.nodes.filter((n) => n.parent === parent || (parent === null && !tree.nodes.some((p) => p.id === n.parent)))
  const seen = new Set<string>()
  const walk = (node: EpochNode, indent: string): void => {
    if (seen.has(node.id)) return
    seen.add(node.id)
    lines.push(`${indent}${node.head ? pc.green('●') : '○'} ${epochLine(node)}`)
    for (const text of onNode(tree, node)) lines.push(`${indent}│   ${text}`)
    const next = children(node.id)
    // What goes on straight stays in its column; each rival gets one of its own.
    next.forEach((child, index) => walk(child, index === next.length - 1 ? indent : `${indent}├─ `))
  }
  for (const root of children(null)) walk(root, '  ')
  const astray = tree.members.filter((m) => m.node === null)
  for (const m of astray)
    lines.push(
      `  ? ${m.host}: ${m.agent === 'silent' ? pc.red(`not asked: ${m.why}`) : `${m.position}${m.keys === null ? '' : `, ${m.keys} keys`}${m.why === '' ? '' : ` (${m.why})`}`}`,
    )
  for (const k of tree.kept.filter((x) => x.node === null)) lines.push(`  ? kept on ${k.host}: ${k.id}`)
  lines.push(tree.forks.length === 0 ? 'no forks' : `${pc.yellow('forks:')}\n${tree.forks.map((f) => `  ${f}`).join('\n')}`)
  return `${lines.join('\n')}\n`
}

function epochLine(node: EpochNode): string {
  const when = new Date(node.atWallMs).toISOString().replace('T', ' ').slice(0, 19)
  return `epoch ${node.epoch}  ${pc.bold(node.holder)}  ${node.source}${node.accepted === true ? pc.yellow(' (accepted)') : ''}  from offset ${node.startOffset}${node.continues === undefined ? '' : ` (goes on with epoch ${node.continues.epoch}, offset about ${node.continues.offset})`}  id ${node.replid.slice(0, 8)}  ${when}  ${node.why}`
}

function onNode(tree: LineageTree, node: EpochNode): readonly string[] {
  const members = tree.members
    .filter((m) => m.node === node.id)
    .map(
      (m) =>
        `${m.host} at offset ${m.offset ?? '?'} (${m.phase ?? 'unknown'})${m.divergedBytes > 0 ? pc.yellow(`, forks off: ${m.divergedBytes} bytes of its own`) : ''}`,
    )
  const kept = tree.kept
    .filter((k) => k.node === node.id)
    .map((k) =>
      pc.yellow(
        `└─ kept on ${k.host}${k.fromOffset === null ? '' : ` from offset ${k.fromOffset}`}: ${k.id}, ${k.bytes} bytes${k.commands === null ? '' : `, ${k.commands} commands`}`,
      ),
    )
  return [...members, ...kept]
}
