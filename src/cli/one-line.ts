/** A line of a terminal that is written over and over. Words only. */

/** What is longer than the terminal is wide begins a new line with each look, and the page runs away from whoever reads it. */
export function overLine(words: string, columns: number | undefined): string {
  const fits = columns === undefined || columns < 2 || words.length < columns
  return `\r\x1b[K${fits ? words : `${words.slice(0, columns - 2)}…`}`
}
