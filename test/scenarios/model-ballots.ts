/** What is known for certain of the elections of the model world's Sentinels: whom they named, who voted for whom, and what the voters found. */
export class Ballots {
  private readonly needed: number
  private readonly chosen = new Set<string>()
  /** By candidate and epoch. */
  private readonly votes = new Map<string, Set<string>>()
  private readonly finders = new Map<string, number>()

  constructor(needed: number) {
    this.needed = needed
  }

  named(host: string): void {
    this.chosen.add(host)
  }

  /** `finds`: it found the primary down as it voted. */
  voted(by: string, to: string, epoch: number, finds: boolean): void {
    const votes = this.votes.get(`${to} ${epoch}`) ?? new Set<string>()
    this.votes.set(`${to} ${epoch}`, votes.add(by))
    if (finds) this.finders.set(`${to} ${epoch}`, this.foundDownBy(to, epoch) + 1)
    if (this.hasElected(to, epoch)) this.chosen.add(to)
  }

  /** How many of those that voted for it in this epoch found the primary down as they did. */
  foundDownBy(to: string, epoch: number): number {
    return this.finders.get(`${to} ${epoch}`) ?? 0
  }

  hasElected(host: string, epoch: number): boolean {
    return (this.votes.get(`${host} ${epoch}`)?.size ?? 0) >= this.needed
  }

  /** A Sentinel has named it, or so many voted for it in one epoch. */
  hasChosen(host: string): boolean {
    return this.chosen.has(host)
  }
}
