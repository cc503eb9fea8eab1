/** One tree from what all members say: where they agree it is a line, where they do not it has forks. */
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { AgentAnswer } from '../../src/cli/ask.ts'
import { drawTree } from '../../src/cli/lineage.ts'
import { treeOf } from '../../src/cli/lineage-tree.ts'
import type { KeptEntry } from '../../src/model/kept.ts'
import type { LineageEntry } from '../../src/model/state.ts'
import type { RedisFacts } from '../../src/model/view.ts'
import { entry, facts, keptWrites, state, word } from './builders.ts'

function answer(host: string, lineage: readonly LineageEntry[], redis: Partial<RedisFacts> = {}): AgentAnswer {
  const epoch = lineage.at(-1)?.epoch ?? 0
  return {
    host,
    ok: true,
    why: '',
    groups: [
      {
        group: 'sessions',
        state: state(host, { epoch, lineage }),
        statement: word(host, { redis: facts({ replid: `id-${epoch}`, ...redis }) }),
        view: null,
        decision: null,
      },
    ],
  }
}
const silent: AgentAnswer = { host: 'z', ok: false, why: 'HF301 nobody there', groups: [] }
const kept: KeptEntry = { ...keptWrites(), replay: null }
const line = [entry(1, 'a', 0), entry(2, 'b', 1001)]
const plain = stripVTControlCharacters

describe('agreement', () => {
  test('one line, no forks', () => {
    const tree = treeOf('sessions', [answer('a', line), answer('b', line)], [])
    expect(tree.nodes.map((n) => [n.epoch, n.parent, n.believedBy, n.head])).toEqual([
      [1, null, ['a', 'b'], false],
      [2, '1@a/id-1', ['a', 'b'], true],
    ])
    expect(tree.forks).toEqual([])
    expect(plain(drawTree(tree))).toContain('no forks')
  })

  test('a member that is behind is no fork', () => {
    expect(treeOf('sessions', [answer('a', line.slice(0, 1)), answer('b', line)], []).forks).toEqual([])
  })
})

describe('forks', () => {
  test('two members claim one epoch', () => {
    const other = [entry(1, 'a', 0), entry(2, 'c', 900, { replid: 'id-2c' })]
    const tree = treeOf('sessions', [answer('a', line), answer('c', other, { replid: 'id-2c' })], [])
    expect(tree.nodes.filter((n) => n.epoch === 2).map((n) => n.parent)).toEqual(['1@a/id-1', '1@a/id-1'])
    expect(tree.forks).toEqual(['epoch 2 is claimed twice: b (say a) and c (say c)'])
  })

  test('diverged bytes, unknown history, kept data and who is silent', () => {
    const tree = treeOf(
      'sessions',
      [answer('a', line, { replid: 'id-1', offset: 1040 }), answer('b', line), answer('c', line, { replid: 'x' }), silent],
      [kept],
    )
    expect(tree.members.map((m) => [m.host, m.agent, m.node, m.divergedBytes])).toEqual([
      ['a', 'up', '1@a/id-1', 40],
      ['b', 'up', '2@b/id-2', 0],
      ['c', 'up', null, 0],
      ['z', 'silent', null, 0],
    ])
    expect(tree.kept[0]?.node).toBe('1@a/id-1')
    expect(tree.forks).toHaveLength(3)
    const drawn = plain(drawTree(tree))
    expect(drawn).toMatch(/forks off: 40 bytes/)
    expect(drawn).toMatch(/z: not asked: HF301/)
    expect(drawn).toMatch(/kept on a from offset 1001: epoch-1-from-a/)
  })

  test('a member that has read its AOF stands where that was noted; a promotion of it says what it goes on with', () => {
    const restored = { epoch: 2, holder: 'a', served: true, about: 4100, atLeast: 3900 }
    const two = [entry(1, 'b', 0), entry(2, 'a', 1001)]
    const read = treeOf('sessions', [answer('a', two, { replid: 'new', offset: 0, restored })], [])
    expect(read.members[0]).toMatchObject({ node: '2@a/id-2', offset: 4100, position: 'epoch 2, offset about 4100' })
    expect(read.forks).toEqual([])
    const back = entry(3, 'b', 901, { continues: { epoch: 1, offset: 900, atLeast: 900 } })
    const tree = treeOf('sessions', [answer('b', [...two, back])], [])
    expect(tree.nodes.map((n) => n.parent)).toEqual([null, '1@b/id-1', '1@b/id-1'])
    expect(stripVTControlCharacters(drawTree(tree))).toContain('from offset 901 (goes on with epoch 1, offset about 900)')
  })
})
