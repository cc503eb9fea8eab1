/**
 * `fast` needs nothing but Node (its parser tests skip what is not installed); `contract` holds the models of `fast` against redis-server
 * and keepalived; `e2e` raises labs. Those of the last two that count milliseconds would measure each other: here all run one file, one test at a
 * time, and script/test has two at a time of those that may (script/check/two-at-a-time.ts).
 */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'fast', include: ['test/{unit,table,scenarios,golden,sim}/**/*.test.ts'], testTimeout: 20_000 } },
      { test: { name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000, fileParallelism: false } },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 90_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
