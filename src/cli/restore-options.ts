/** What the options of `holdfast restore` mean together: which of its three ways is meant, and what belongs to that one. Must not do any of it. */
import { OperatorError } from '../model/error.ts'
import type { KeysWish } from './restore-keys.ts'
import type { OverWish } from './restore-over.ts'

interface OverOptions {
  readonly keepOthers?: true | undefined
  readonly copy: boolean
  readonly maxKeysPerS?: string | undefined
  readonly yesIMean?: string | undefined
  readonly dryRun?: true | undefined
  readonly json?: true | undefined
}

export function overWish({ keepOthers, copy, maxKeysPerS, yesIMean, dryRun, json }: OverOptions): Omit<OverWish, 'from'> {
  const most = maxKeysPerS === undefined ? null : Number(maxKeysPerS)
  if (most !== null && !(most > 0)) throw new OperatorError('HF839', `--max-keys-per-s takes a number above 0, not ${maxKeysPerS}`, '', 2)
  return { keepOthers: keepOthers === true, copy, maxKeysPerS: most, yesIMean: yesIMean ?? null, dryRun: dryRun === true, json: json === true }
}

interface TargetOptions extends OverOptions {
  readonly over?: true | undefined
  readonly keys?: string | undefined
  readonly yes?: true | undefined
  readonly undo?: string | undefined
  readonly keepIn?: string | undefined
  readonly to?: string | undefined
  readonly port?: string | undefined
  readonly start: boolean
}

/** Who mixes two of the three ways to restore means one of them, and it is not known which. */
export function checkTarget({ over, keys, yes, undo, keepIn, to, port, start, keepOthers, copy, maxKeysPerS, yesIMean }: TargetOptions): void {
  const ofKeys = keys !== undefined || yes === true || undo !== undefined || keepIn !== undefined
  const ofNew = to !== undefined || port !== undefined || !start
  const ofOver = keepOthers === true || !copy || maxKeysPerS !== undefined || yesIMean !== undefined
  if (over === true && keys === undefined && yes === true)
    throw new OperatorError(
      'HF812',
      '--over and --yes do not go together: --yes is of --keys',
      'write --yes-i-mean GROUP in its place, with the name of the group',
      2,
    )
  if (over === true && (ofKeys || ofNew))
    throw new OperatorError(
      'HF812',
      '--over goes into the running primary: it has no part in --keys, --yes, --undo, --to and what belongs to them',
      'choose one',
      2,
    )
  if (over !== true && ofOver) throw new OperatorError('HF812', '--keep-others, --no-copy, --max-keys-per-s and --yes-i-mean are of --over', 'add --over', 2)
}

interface KeysOptions {
  readonly yes?: true | undefined
  readonly keepIn?: string | undefined
  readonly limit: string
  readonly dryRun?: true | undefined
  readonly json?: true | undefined
}

export function keysWish({ yes, keepIn, limit, dryRun, json }: KeysOptions): Pick<KeysWish, 'yes' | 'keepIn' | 'limit' | 'dryRun' | 'json'> {
  const shown = Number(limit)
  if (!Number.isInteger(shown) || shown < 0) throw new OperatorError('HF819', `--limit takes a whole number, not ${limit}`, '', 2)
  return { yes: yes === true, keepIn: keepIn ?? null, limit: shown, dryRun: dryRun === true, json: json === true }
}
