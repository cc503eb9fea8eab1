/** The bench's own arithmetic and words: options, percentiles, verdicts, the table, /proc, the recipes' files. */
import { describe, expect, test } from 'vitest'
import type { CaseResult } from '../../bench/figures.ts'
import { figuresOf, goalOf, isOutlier, missedGoals, percentile } from '../../bench/figures.ts'
import { parseOptions, roundsOf, type BenchOptions } from '../../bench/options.ts'
import { cpuPercent, cpuSecondsOf, rssMbOf } from '../../bench/proc.ts'
import { keepalivedConf, keepalivedScripts, recipes } from '../../bench/recipes/keepalived.ts'
import { renderReport, type BenchReport } from '../../bench/table.ts'
import { splitRounds, type WatchedRound } from '../../bench/watch.ts'

function round(outageMs: number, more: Partial<WatchedRound> = {}): WatchedRound {
  return {
    round: 1,
    primaryBefore: 'a',
    primaryAfter: 'b',
    recovered: true,
    redundantAgain: true,
    redundantAfterMs: 1,
    decisions: [],
    problems: [],
    outageMs,
    healOutageMs: null,
    acked: 100,
    indeterminate: 0,
    rejected: 0,
    lost: 0,
    errors: [],
    ...more,
  }
}

function result(of: CaseResult['case'], system: CaseResult['system'], rounds: readonly WatchedRound[], lossKnown = true): CaseResult {
  return { system, case: of, variant: null, rounds, lossKnown, problems: [] }
}

function options(argv: readonly string[]): BenchOptions {
  const parsed = parseOptions(argv)
  if (parsed.kind !== 'run') throw new Error(JSON.stringify(parsed))
  return parsed.options
}

describe('options', () => {
  test('nothing given: everything, in the short form', () => {
    const given = options([])
    expect(given).toMatchObject({ full: false, minutes: 1, rounds: null, jsonFile: null })
    expect(roundsOf(given, 'holdfast', 'crash')).toBe(20)
    expect(roundsOf(given, 'keepalived-2s', 'host-cut')).toBe(1)
  })
  test('--full has the rounds of the goals', () => {
    const full = options(['--full'])
    expect(full.minutes).toBe(10)
    expect([roundsOf(full, 'holdfast', 'crash'), roundsOf(full, 'holdfast', 'host-cut'), roundsOf(full, 'sentinel', 'crash')]).toEqual([100, 50, 3])
  })
  test("lists keep the bench's own order; = works too; --rounds wins", () => {
    const given = options(['--only=host-cut,crash', '--systems', 'sentinel', '--rounds', '7', '--minutes', '0.5', '--json', 'x.json'])
    expect(given).toMatchObject({ only: ['crash', 'host-cut'], systems: ['sentinel'], minutes: 0.5, jsonFile: 'x.json' })
    expect(roundsOf(given, 'sentinel', 'crash')).toBe(7)
  })
  test.each([
    [['--only', 'crush'], /crush is not one of crash/],
    [['--only', ','], /nothing is named/],
    [['--rounds', '0'], /whole number/],
    [['--rounds'], /needs a value/],
    [['--minutes', 'ten'], /0.1 to 120/],
    [['--fast'], /unknown option/],
  ])('%j is refused', (argv, why) => {
    expect(parseOptions(argv)).toMatchObject({ kind: 'wrong', why: expect.stringMatching(why) as string })
  })
})

describe('figures', () => {
  test('a percentile is a value that was measured', () => {
    const twenty = Array.from({ length: 20 }, (_, index) => 20 - index)
    expect([percentile(twenty, 50), percentile(twenty, 95), percentile(twenty, 100)]).toEqual([10, 19, 20])
    expect(percentile([], 50)).toBeNaN()
  })
  test('errors of one kind are added up, the most frequent first', () => {
    const at = { firstAtMs: 0, lastAtMs: 0 }
    const rounds = [
      round(5, {
        errors: [
          { kind: 'closed', count: 1, ...at },
          { kind: 'READONLY', count: 2, ...at },
        ],
      }),
      round(9, { errors: [{ kind: 'READONLY', count: 3, ...at }] }),
    ]
    expect(figuresOf({ rounds, lossKnown: true }).errors).toEqual([
      { kind: 'READONLY', count: 5 },
      { kind: 'closed', count: 1 },
    ])
  })
  test('one bad round is a miss, and an outlier', () => {
    const rounds = [...Array.from({ length: 99 }, () => round(15)), round(1400)]
    expect(missedGoals(figuresOf({ rounds, lossKnown: true }), goalOf('crash', null) ?? {})).toEqual(['worst'])
    expect(rounds.filter((one) => isOutlier('crash', one))).toHaveLength(1)
    expect(isOutlier('host-cut', round(210, { healOutageMs: 3000 }))).toBe(true)
    expect(isOutlier('crash', round(10, { recovered: false }))).toBe(true)
  })
  test('what was not measured is a miss, and loss that is not known is no zero', () => {
    const unread = figuresOf({ rounds: [round(10)], lossKnown: false })
    expect(missedGoals(unread, { lost: 0 })).toEqual(['lost'])
    expect(missedGoals(figuresOf({ rounds: [], lossKnown: true }), { p50Ms: 25 })).toEqual(['p50'])
  })
})

describe('a host that is cut and comes back', () => {
  const rounds = [round(4000), round(300)]
  const spans = [
    { injectedMs: 1000, undoneMs: 3000 },
    { injectedMs: 10_000, undoneMs: 11_000 },
  ]
  const outages = [
    { startMs: 999, lengthMs: 210, open: false },
    { startMs: 3500, lengthMs: 4000, open: false },
    { startMs: 10_001, lengthMs: 300, open: false },
  ]
  test('the cut and the return are two figures', () => {
    expect(splitRounds(rounds, spans, outages, 20).map(({ outageMs, healOutageMs }) => [outageMs, healOutageMs])).toEqual([
      [210, 4000],
      [300, 20],
    ])
  })
})

describe('the table', () => {
  const report: BenchReport = {
    machine: 'a machine',
    startedAt: 'today',
    loadBefore: 0.1,
    idle: [{ mode: 'vip', seconds: 60, agents: [{ host: 'a', role: 'primary', cpuPercent: 1.4, rssMb: 70 }] }],
    alarms: { minutes: 1, busyProcesses: 4, failovers: 0, longestOutageMs: 40, lost: 0 },
    throughput: { plainPerS: [100, 90, 110], vipPerS: [99, 98, 97], ratio: 0.98 },
    backup: {
      datasetMb: 1000,
      rdbMb: 600,
      byHandS: [5, 4, 6],
      loadS: [2],
      kinds: [{ kind: 'gzip', takeS: [4], restoreS: [3], throughput: 1.25, slowdown: 1.5 }],
      peaks: { takeMb: 90, restoreMb: 80 },
    },
    archive: {
      cases: [{ depth: 16, apart: false, without: [100, 110, 90], with: [95, 105, 90], ratio: 0.95 }],
      lagMs: [200, 300, 600],
      flushMs: 500,
      peakMb: 85,
    },
    verify: { fullPerS: [130_000, 110_000, 140_000], plainPerS: [30_000], autoPerS: [20_000], aloneP99Ms: [0.4], autoP99Ms: [1.6] },
    cutOver: {
      calm: { gapMs: [18, 19, 25], backMs: [40, 41, 42], heldMs: [12, 13, 14] },
      busy: { gapMs: [18, 21, 105], backMs: [60, 61, 62], heldMs: [22, 23, 24] },
      acked: 100_000,
      lost: 0,
    },
    sync: { datasetMb: 489, bareS: [5, 6, 5], movedS: [5.4, 9, 5.6], commandS: [7] },
    results: [result('crash', 'holdfast', [round(20)]), result('crash', 'sentinel', [round(2000)]), result('host-cut', 'sentinel', [round(2900)], false)],
    notMeasured: ['sentinel restart: no sentinel'],
    outliers: [],
  }
  const text = renderReport(report)
  test('recipes stand beside Holdfast with their ratio', () => {
    expect(text).toMatch(/redis killed.*\*\*Holdfast\*\*.*20\.0 ms.*: met \|/)
    expect(text).toMatch(/redis killed.*Sentinel.*2\.0 s \| 100 \|/)
  })
  test('misses and gaps are said', () => {
    expect(text).toContain('≤ 1 %, ≤ 80 MB: **missed**')
    expect(text).toContain('not known / 100')
    expect(text).toMatch(/backup \(gzip\).*1\.25 \(4\.0 s\) \| ≥ 0\.8: met/)
    expect(text).toMatch(/restore \(gzip\).*1\.50 \(3\.0 s\) \| ≤ 1\.15: \*\*missed\*\*/)
    expect(text).toMatch(/archiver at its replica, `-P 16`.*0\.95 \(95 and 100 a second\) \| ≥ 0\.97: \*\*missed\*\*/)
    expect(text).toMatch(/until it lies in the store.*p50 300 ms, p99 600 ms \| p99 ≤ 1\.0 s: met/)
    expect(text).toMatch(/130000 keys a second; a plain loop of SCAN and GET 30000 \| ≥ 120000: met/)
    expect(text).toMatch(/1\.60 ms, alone 0\.40 ms \| ≤ 1 ms more: \*\*missed\*\*/)
    expect(text).toMatch(/first sync of a move of 489 MB, a bare REPLICAOF = 1 \| 1\.12 \(5\.6 s and 5\.0 s; .* 7\.0 s\) \| ≤ 1\.10: \*\*missed\*\*/)
    expect(text).toContain('- sentinel restart: no sentinel')
  })
  test('every row has as many cells as its header', () => {
    for (const block of text.split('\n\n').filter((part) => part.startsWith('|'))) {
      const widths = block
        .trim()
        .split('\n')
        .map((line) => line.replaceAll(/`[^`]*`/g, '').split('|').length)
      expect(new Set(widths).size).toBe(1)
    }
  })
})

describe('/proc', () => {
  test('CPU time stands after a name that may look like fields', () => {
    expect(cpuSecondsOf('12 (a ) 1 2) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 11 0 500 0 0')).toBe(3)
    expect(rssMbOf('Name:\tnode\nVmRSS:\t   81920 kB\n')).toBe(80)
    expect(cpuPercent({ atMs: 0, cpuS: 1, rssMb: 0 }, { atMs: 60_000, cpuS: 1.6, rssMb: 0 })).toBeCloseTo(1)
  })
})

test('the recipes are what facts.md describes', () => {
  const host = { dir: '/lab/a', peerIp: '10.0.0.2', priority: 100, interface: 'eth0', vip: '10.0.0.9/24' }
  expect(keepalivedConf(recipes['keepalived-1s'], host)).toMatch(/interval 1\n[^]*fall 3\n[^]*advert_int 1\n/)
  expect(keepalivedConf(recipes['keepalived-2s'], host)).toMatch(/interval 2\n[^]*advert_int 3\n/)
  expect(keepalivedScripts(recipes['keepalived-2s'], host)['master.sh']).toContain('sleep 10\n')
  expect(keepalivedScripts(recipes['keepalived-1s'], host)['backup.sh']).toContain('replicaof 10.0.0.2 6379')
})
