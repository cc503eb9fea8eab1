/** One process of several that share the seeds: gets its share as a message, answers with what it found, and ends. */
import { seek, type Seek } from './seek.ts'

process.once('message', (options) => {
  process.send?.(seek(options as Seek), () => process.disconnect())
})
