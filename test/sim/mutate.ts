export function mutate(_seconds: number, _only: string | null): number {
  return 0
}
