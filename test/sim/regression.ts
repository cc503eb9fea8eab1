/** What a kept story is made of: the accident, and the story as the difference from a usual group. */
import type { Step, Story } from './story.ts'

export interface Regression {
  readonly accident: string
  readonly story: Story
}

export const usual: Omit<Story, 'steps'> = {
  members: 3,
  witness: false,
  external: false,
  neverPrimary: null,
  priorities: 'falling',
  cascade: null,
  latenessMs: 0,
  healed: 7,
}
export const voted: Omit<Story, 'steps'> = { ...usual, members: 2, witness: true }
export const two: Omit<Story, 'steps'> = { ...usual, members: 2, healed: 3 }

export function story(group: Omit<Story, 'steps'>, ...steps: readonly Step[]): Story {
  return { ...group, steps }
}
