/**
 * Who may import whom: the folders of src/ and what each may reach. This table is the rule; imports.ts applies it. What is not
 * listed is forbidden, and so is a folder that the table does not know. A list of files instead of 'all' means: only that much
 * of the other folder is open, because the rest is its own affair.
 */
export type Reach = 'all' | readonly string[]

export interface FolderRule {
  /** Why it is so; printed with every violation. */
  readonly why: string
  readonly may: Readonly<Record<string, Reach>>
  /** Packages and node: modules. Pure folders have none: what they compute must follow from what they are given. */
  readonly packages: 'any' | 'none'
}

/**
 * What an agent shows to the HTTP routes and to the commands: its surface, the words that its peers and its groups exchange,
 * and the socket that proves the secret. The loop's other parts are nobody else's.
 */
const agentForApi = ['surface.ts', 'sentinel-care.ts', 'group.ts', 'peers.ts', 'secure.ts']
/** The command `agent` starts one and hands it its door (api/server.ts), so that neither of the two has to know the other. */
const agentForCli = ['agent.ts', 'log-files.ts', 'own-config.ts', 'password-change.ts']
const apiForCli = ['client.ts', 'server.ts']
/** Explaining is deciding without acting: the routes ask it, and the command prints its words. */
const decideForApi = ['explain.ts', 'situation.ts']
/** `doctor` looks at this machine, with no agent in between: it may not run yet. */
const observeForCli = ['machine.ts', 'redis-look.ts']
const decideForCli = ['explain.ts', 'position.ts', 'sentinel-hygiene.ts', 'sentinel-repair.ts', 'sentinel-compare.ts']

export const layers: Readonly<Record<string, FolderRule>> = {
  model: { why: 'the words that all stages share depend on nothing', may: {}, packages: 'none' },
  decide: { why: 'decisions are pure: facts in, actions out', may: { model: 'all' }, packages: 'none' },
  render: { why: 'rendering is pure: configuration in, text out', may: { model: 'all' }, packages: 'none' },
  redis: { why: 'it speaks Redis and knows nothing of groups', may: { model: 'all' }, packages: 'any' },
  salvage: { why: 'what kept writes are and what may be done with them is computed, not asked', may: { model: 'all' }, packages: 'none' },
  backup: {
    why: 'what a backup is, when one is due and which may go is computed, not asked; where a command of the stream ends, salvage knows',
    may: { model: 'all', salvage: ['stream.ts'] },
    packages: 'none',
  },
  doctor: { why: 'what a machine that was looked at lacks is computed, not asked', may: { model: 'all' }, packages: 'none' },
  migrate: {
    why: 'what a move to other machines risks and comes to is computed, not asked; where a command of the stream ends, salvage knows',
    may: { model: 'all', doctor: ['say.ts'], salvage: ['stream.ts'] },
    packages: 'none',
  },
  adopt: {
    why: 'what an old pair is, what is dangerous in it and how it is taken over is computed, not asked; of rendering it needs the language of redis.conf',
    may: { model: 'all', render: ['redis-directives.ts'] },
    packages: 'none',
  },
  move: {
    why: 'it looks for migrate/ and adopt/, compares, and feeds; it knows nothing of agents. By which way one history leads to another, backup knows',
    may: { model: 'all', redis: 'all', migrate: 'all', adopt: ['found.ts'], backup: ['archiving.ts', 'chain.ts'], config: ['files.ts'] },
    packages: 'any',
  },
  store: { why: 'a place for names and bytes: it knows nothing of what it holds', may: { model: 'all' }, packages: 'any' },
  dump: {
    why: 'a dataset on its way between a redis and a store, and its trial; it knows nothing of agents. Where a command of the stream ends, salvage knows',
    may: { model: 'all', backup: 'all', redis: 'all', store: 'all', salvage: ['stream.ts'], config: ['files.ts', 'backup-files.ts'] },
    packages: 'any',
  },
  config: {
    why: "it loads and checks; of rendering it needs only the names of directives, to check a user's redis.conf",
    may: { model: 'all', render: ['redis-directives.ts'] },
    packages: 'any',
  },
  observe: { why: 'it reads the world and decides nothing', may: { model: 'all', redis: 'all', config: 'all' }, packages: 'any' },
  act: {
    why: 'it carries out; it writes what render gives, and looks at processes, and at what goes ahead of a file, as observe does',
    may: { model: 'all', redis: 'all', config: 'all', render: 'all', observe: ['process.ts', 'ahead.ts'], salvage: 'all', trial: ['programs.ts'] },
    packages: 'any',
  },
  agent: {
    why: 'it joins the stages, and is the only one to do so; who shows it is handed in',
    may: { model: 'all', redis: 'all', config: 'all', render: 'all', observe: 'all', decide: 'all', act: 'all', salvage: 'all', trial: 'all', backup: 'all' },
    packages: 'any',
  },
  trial: {
    why: 'it asks this machine what it makes of a configuration, before anything runs by it; it changes nothing',
    may: { model: 'all', redis: 'all', config: 'all', render: 'all' },
    packages: 'any',
  },
  guard: {
    why: 'it looks after a primary without the agent: it may read, refuse writes, send clients away and withdraw an address, and nothing else',
    may: { model: 'all', redis: 'all', act: ['write-fence.ts', 'ending.ts', 'keepalived.ts'], observe: ['checks.ts', 'ahead.ts'] },
    packages: 'any',
  },
  api: { why: 'it shows the agent, through what the agent opens to it', may: { model: 'all', agent: agentForApi, decide: decideForApi }, packages: 'any' },
  replay: {
    why: 'it writes kept data into a redis that it is shown; it knows nothing of agents',
    may: { model: 'all', redis: 'all', salvage: 'all' },
    packages: 'any',
  },
  lab: { why: 'it plays the machines; the code under test must not know that it is in one', may: { model: 'all', config: 'all' }, packages: 'any' },
  cli: {
    why: 'one file per command, no decisions',
    may: {
      model: 'all',
      config: 'all',
      render: 'all',
      lab: 'all',
      salvage: 'all',
      replay: 'all',
      trial: 'all',
      backup: 'all',
      store: 'all',
      dump: 'all',
      migrate: 'all',
      move: 'all',
      adopt: 'all',
      doctor: 'all',
      redis: ['raw.ts', 'sentinel-id.ts', 'throwaway.ts', 'words.ts'],
      observe: observeForCli,
      api: apiForCli,
      agent: agentForCli,
      decide: decideForCli,
    },
    packages: 'any',
  },
  // Files that lie in src/ itself: main.ts.
  '': { why: 'main.ts turns words into a command and nothing else', may: { cli: 'all' }, packages: 'any' },
}

/** Packages with one home: the only folders that may import them. */
export const homes: Readonly<Record<string, readonly string[]>> = {
  ioredis: ['redis'],
  commander: ['cli'],
  '@commander-js/extra-typings': ['cli'],
}

/** PURE folders: no clock, no randomness, no waiting. Checked by purity.ts; tsconfig.pure.json takes Node's names away as well. */
export const pureFolders: readonly string[] = ['model', 'decide', 'render', 'salvage', 'backup', 'doctor', 'migrate', 'adopt']

/** About 300 and 70 are the aim; beyond `fail` nobody finds their way any more. Long tables have a right to warnings. */
export const sizes = { fileWarn: 300, fileFail: 400, functionWarn: 70, functionFail: 150 } as const
