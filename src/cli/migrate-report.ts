/** What a sealed report says, where it is as it was written (`holdfast migrate verify --check-report`). Compares nothing. */
import { readFile } from 'node:fs/promises'
import { OperatorError } from '../model/error.ts'
import { checkReport, type Report } from '../move/report-seal.ts'
import type { Stood, VerifyReport } from '../move/verify-report.ts'
import type { CopyReport } from './migrate-copy-draw.ts'

export async function tellOfReport(secret: string, file: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new OperatorError('HF938', `the report cannot be read: ${error.message}`, 'name another file', 2)
  })
  const checked = checkReport(text, secret)
  switch (checked.is) {
    case 'no report':
      throw new OperatorError(
        'HF937',
        `${file} is no report of holdfast migrate verify or copy, or its seal is missing`,
        'ask for the file as --report wrote it',
      )
    case 'changed':
      throw new OperatorError('HF937', `${file} is not as it was written: something in it was changed`, 'ask for the file as --report wrote it')
    case 'of another secret':
      throw new OperatorError('HF938', `${file} was sealed with another secret than that of this configuration`, 'check it with the configuration of its group')
    case 'as written':
      process.stdout.write(`${wordsOf(checked.report).join('\n')}\n`)
  }
}

function wordsOf(report: Report): readonly string[] {
  return report.what === 'holdfast migrate copy' ? copied(report as CopyReport) : compared(report as VerifyReport)
}

function compared({ holdfast, ranOn, group, result, source, target, begin, end, keys }: VerifyReport): readonly string[] {
  const stood = (at: string, one: Stood, then: Stood): string => `${at}  run ${one.runId}, history ${one.replid}, offset ${one.offset} to ${then.offset}`
  return [
    `as Holdfast ${holdfast} wrote it on ${ranOn}: ${begin.at} to ${end.at}`,
    stood(source, begin.source, end.source),
    stood(target, begin.target, end.target),
    `${group}: ${keys} keys compared, ${result}`,
  ]
}

function copied({ holdfast, ranOn, beganAt, endedAt, source, target, keys, uncopied, finished }: CopyReport): readonly string[] {
  return [
    `as Holdfast ${holdfast} wrote it on ${ranOn}: ${beganAt} to ${endedAt}`,
    `${source}  →  ${target}: ${keys} keys, ${uncopied.length} of them not copied`,
    finished === null ? 'nothing is proven: it was written to' : `${finished.keys} keys compared while nobody wrote, no difference`,
    ...(finished?.unproven ?? []).map((what) => `not proven: ${what}`),
  ]
}
