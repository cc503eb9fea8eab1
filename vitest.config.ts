/** Two suites: `fast` needs nothing but Node (its parser tests skip what is not installed), `e2e` raises labs and runs alone. */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'fast', include: ['test/{unit,table,scenarios,golden,sim}/**/*.test.ts'], testTimeout: 20_000 } },
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
