/**
 * The operator being wrong: an error with a code, a plain sentence and a hint. The world failing is data
 * (`Observed`, `Outcome`), the programmer being wrong is `assert`. Every code stands in docs/errors.md (a test proves it).
 */

export const errorCodes = {
  HF101: 'the configuration file cannot be read',
  HF102: 'the configuration is not valid',
  HF103: 'a file named in the configuration cannot be read',
  HF104: 'the group or host is not in the configuration',
  HF201: 'root privileges are needed',
  HF202: 'a program is missing',
  HF203: 'another agent already runs for this host',
  HF204: 'a port is taken by another program',
  HF205: 'the state directory cannot be used',
  HF206: 'the state file cannot be trusted',
  HF301: 'no agent answers',
  HF302: 'the agent does not accept this secret',
  HF303: 'the agent refused the request',
  HF304: 'the request did not finish in time',
  HF401: 'redis refused the password',
  HF402: 'this redis is too old for what was asked',
  HF403: 'redis does not start with this configuration',
  HF501: 'this machine cannot run a lab',
  HF502: 'the lab does not exist, or exists already',
  HF503: 'a lab step failed',
  HF504: 'the drill was not confirmed',
  HF505: 'the drill saw a failure',
  HF601: 'nothing of that name is kept',
  HF602: 'there is nothing left to replay',
  HF603: 'the replay was not confirmed',
  HF604: 'what is kept cannot be read',
  HF605: 'the replay stopped before its end',
  HF701: 'the group has no Sentinels',
  HF702: 'the repair of the Sentinels was not confirmed',
  HF703: 'the repair of the Sentinels stopped before its end',
  HF801: 'a running group cannot be changed like this',
  HF802: 'the change was not confirmed',
  HF803: 'the change stopped half-way',
  HF804: 'no backup was begun',
  HF805: 'the backup was not finished',
  HF811: 'the group has no backups configured',
  HF812: 'there is no backup of that name',
  HF813: 'the key of the backups is missing, or another one',
  HF814: 'the store of the backups cannot be used',
  HF815: 'there is no good backup',
  HF816: 'a stored backup is not as it was written',
  HF817: 'the removal of backups was not confirmed, or stopped',
  HF818: 'the return of keys was not confirmed',
  HF819: 'the return of keys stopped before its end',
  HF821: 'the directory cannot be restored into',
  HF822: 'there is not enough room for the restore',
  HF823: 'this redis-server does not load the backup',
  HF824: 'the restore was broken off',
  HF825: 'the address for the restored redis cannot be used',
  HF826: 'what was restored is not what was backed up',
  HF831: 'no backup and stream lead to that moment',
  HF832: 'that moment is not in what is archived',
  HF833: 'no such command was found in the archived stream',
  HF834: 'a part of the archived stream is damaged or missing',
  HF835: 'the archived stream has damage or gaps',
  HF836: 'there is no such part of the archived stream',
  HF837: 'the restore over the group was not confirmed',
  HF838: 'the restore over the group stopped before its end',
  HF839: 'the backup cannot be restored over this group',
  HF840: 'the Node of this host cannot read the backup',
  HF901: 'the redis that is to be moved is not reached',
  HF902: 'the redis that is to be moved refuses the password',
  HF903: 'the comparison did not come to its end',
  HF904: 'the move may not begin',
  HF905: 'nothing is being moved to this group',
  HF906: 'the source cannot be entered from every host of the group',
  HF910: 'a file of the pair cannot be read',
  HF911: 'the redis that is to be adopted is not reached',
  HF912: 'the redis that is to be adopted refuses the password',
  HF913: 'a configuration of the pair cannot be understood',
  HF914: 'these are no master and its replica',
  HF915: 'it is not plain which address is meant',
  HF916: 'what was found makes no valid configuration',
  HF917: 'the proposal is not written',
  HF920: 'the limits of a copy were not accepted',
  HF921: 'this redis cannot be copied into this group',
  HF922: 'the source lets too little be read for a copy',
  HF923: 'the copy stopped before its end',
  HF924: 'the source came back without its data',
  HF925: 'the writers of the source cannot be held',
  HF926: 'the copy was not proven in time',
  HF927: 'some keys cannot be copied',
  HF930: 'a relay cannot stand on this host',
  HF931: 'the address or port of the relay is taken',
  HF932: 'connections cannot be redirected on this host',
  HF933: 'the certificate of the source is not accepted',
  HF934: 'the source asks for a certificate of ours',
  HF936: 'the sync of a move was given up',
  HF937: 'the report of a comparison is not as it was written',
  HF938: 'whether the report of a comparison is as it was written cannot be told',
} as const

export type ErrorCode = keyof typeof errorCodes

/** 1: refused or failed; 2: wrong usage or configuration. */
export type ExitCode = 1 | 2

export class OperatorError extends Error {
  readonly code: ErrorCode
  readonly hint: string
  readonly exitCode: ExitCode
  constructor(code: ErrorCode, message: string, hint: string, exitCode: ExitCode = 1) {
    super(message)
    this.name = 'OperatorError'
    this.code = code
    this.hint = hint
    this.exitCode = exitCode
  }
}
