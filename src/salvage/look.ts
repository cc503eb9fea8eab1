/** What redis could not read, in words: how a person looks into it. PURE. Never the kept file itself: a repair cuts off what it cannot read. */
import { aofDirName, oldAofName, rdbName } from '../model/paths.ts'
import type { AofCut, KeptEntry } from '../model/kept.ts'

const aside = '/tmp/look'

export function howToLook(kept: KeptEntry): readonly string[] {
  const file = kept.file ?? kept.id
  const begin = `On ${kept.host}, with a copy:`
  if (kept.kind !== 'aof')
    return [
      begin,
      `mkdir ${aside} && cp ${file} ${aside}/${rdbName}`,
      `redis-check-rdb ${aside}/${rdbName}`,
      `redis-server --dir ${aside} --port 7777 --bind 127.0.0.1   # one as new as that which wrote it`,
      `Where this machine has one: holdfast salvage replay ${kept.group} ${kept.id} --dry-run`,
    ]
  if (kept.cut !== undefined) return howToLookAtCut(file, begin, kept.cut)
  const single = kept.id.endsWith('-old')
  const [to, checked] = single ? [oldAofName, oldAofName] : [aofDirName, `${aofDirName}/${oldAofName}.manifest`]
  return [
    begin,
    `mkdir ${aside} && cp -r ${file} ${aside}/${to}`,
    `redis-check-aof ${aside}/${checked}   # says where it breaks; with --fix it cuts off all that comes after`,
    `redis-server --dir ${aside} --appendonly yes --save '' --port 7777 --bind 127.0.0.1`,
    'What you find there is brought back by hand: an AOF names no history, so nothing can tell what the group has written since.',
  ]
}

function howToLookAtCut(file: string, begin: string, cut: AofCut): readonly string[] {
  return [
    `${cut.bytes} bytes were cut off behind byte ${cut.fromByte}: ${cut.what}`,
    ...(cut.first === '' || cut.first === cut.last ? [] : [`first: ${cut.first}`]),
    ...(cut.last === '' ? [] : [`last, which is usually not whole: ${cut.last}`]),
    begin,
    `cat -v ${file}/cut   # what was cut`,
    `mkdir ${aside} && cp ${file}/${cut.file} ${aside}/ && redis-check-aof ${aside}/${cut.file}   # the file as it was`,
    'What you find there is brought back by hand: a command that is not whole is not replayed.',
  ]
}
