/**
 * Decodes a seccomp profile of the OCI specification (config-linux.md, linux.seccomp). What the specification does not have
 * is left out, as containerd does; a wrong type is an error, for a rule lost without a word could deny less than was meant.
 */
import { StatusError } from '#lib/base';
import type { OciSeccomp } from '../oci-spec.ts';

type Rule = NonNullable<OciSeccomp['syscalls']>[number];
type Record_ = Readonly<Record<string, unknown>>;

const ACTIONS = 'KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG'.split(' ').map((a) => `SCMP_ACT_${a}`);
const OPERATORS = 'NE LT LE EQ GE GT MASKED_EQ'.split(' ').map((o) => `SCMP_CMP_${o}`);
const ARGUMENTS = 6;
const ERRNO_MAX = 4095;

/** Throws Invalid that names the first mistake. */
export function parseSeccompProfile(text: string): OciSeccomp {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (e) {
    throw new StatusError('Invalid', 'it is not JSON', { cause: e });
  }
  const profile = record(value, 'the profile');
  const { architectures, flags, defaultErrnoRet, syscalls } = profile;
  return {
    defaultAction: oneOf(profile['defaultAction'], ACTIONS, 'defaultAction'),
    ...(defaultErrnoRet === undefined ? {} : { defaultErrnoRet: whole(defaultErrnoRet, ERRNO_MAX, 'defaultErrnoRet') }),
    ...(architectures === undefined ? {} : { architectures: texts(architectures, 'architectures') }),
    ...(flags === undefined ? {} : { flags: texts(flags, 'flags') }),
    ...(syscalls === undefined ? {} : { syscalls: list(syscalls, 'syscalls').map(rule) }),
  };
}

function rule(value: unknown, index: number): Rule {
  const at = `syscalls[${index}]`;
  const r = record(value, at);
  const { errnoRet, args } = r;
  const names = texts(r['names'], `${at}.names`);
  if (names.length === 0) throw new StatusError('Invalid', `${at}.names: must have at least one`);
  return {
    names,
    action: oneOf(r['action'], ACTIONS, `${at}.action`),
    ...(errnoRet === undefined ? {} : { errnoRet: whole(errnoRet, ERRNO_MAX, `${at}.errnoRet`) }),
    ...(args === undefined || args === null
      ? {}
      : { args: list(args, `${at}.args`).map((a, i) => argument(a, `${at}.args[${i}]`)) }),
  };
}

function argument(value: unknown, at: string): NonNullable<Rule['args']>[number] {
  const a = record(value, at);
  const { valueTwo } = a;
  return {
    index: whole(a['index'], ARGUMENTS - 1, `${at}.index`),
    value: whole(a['value'], Number.MAX_SAFE_INTEGER, `${at}.value`),
    ...(valueTwo === undefined ? {} : { valueTwo: whole(valueTwo, Number.MAX_SAFE_INTEGER, `${at}.valueTwo`) }),
    op: oneOf(a['op'], OPERATORS, `${at}.op`),
  };
}

function record(value: unknown, at: string): Record_ {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new StatusError('Invalid', `${at}: must be an object`);
  return value as Record_;
}

function list(value: unknown, at: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new StatusError('Invalid', `${at}: must be a list`);
  return value;
}

function texts(value: unknown, at: string): string[] {
  return list(value, at).map((x, i) => {
    if (typeof x !== 'string' || x === '') throw new StatusError('Invalid', `${at}[${i}]: must be a text`);
    return x;
  });
}

function whole(value: unknown, max: number, at: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max)
    throw new StatusError('Invalid', `${at}: must be a whole number from 0 to ${max}`);
  return value;
}

function oneOf(value: unknown, all: readonly string[], at: string): string {
  if (typeof value !== 'string' || !all.includes(value))
    throw new StatusError('Invalid', `${at}: must be one of ${all.join(', ')}`);
  return value;
}
