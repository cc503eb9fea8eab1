/**
 * `fast` needs nothing but Node (its parser tests skip what is not installed); `contract` holds the models of `fast` against redis-server
 * and keepalived; `e2e` raises labs. The last two count milliseconds on a machine that they share, and run alone.
 */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'fast', include: ['test/{unit,table,scenarios,golden,sim}/**/*.test.ts'], testTimeout: 20_000 } },
      { test: { name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000, fileParallelism: false, maxWorkers: 1 } },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 90_000,
          hookTimeout: 60_000,
          // They measure milliseconds on a machine that they share: one file, one test at a time.
          fileParallelism: false,
          maxWorkers: 1,
        },
      },
    ],
  },
})
