/** One guard of the core, and the text that takes it away. */
export interface Mutation {
  readonly guard: string
  readonly file: string
  readonly from: string
  readonly to: string
  /** The test file that notices it, where histories cannot. */
  readonly test?: string
}

export function drop(guard: string, file: string, from: string, to = '', test?: string): Mutation {
  return { guard, file, from, to, ...(test === undefined ? {} : { test }) }
}
