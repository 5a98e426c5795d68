/** The bodies of exec create and start, decoded. Source: moby api/types/container/exec.go, v1.51.yaml (ExecConfig). Pure. */
import type { JsonObject } from '#lib/oci';
import { badParameter } from '../http/contract.ts';
import { bool, command, int, list, type Read, text } from '../http/fields.ts';
import { parseDetachKeys } from './detach-keys.ts';

export interface ExecCreate {
  readonly attachStdin: boolean;
  readonly attachStdout: boolean;
  readonly attachStderr: boolean;
  readonly tty: boolean;
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  /** '' = the container's. */
  readonly workingDir: string;
  readonly user: string;
  readonly privileged: boolean;
  /** As given; '' = the default. */
  readonly detachKeys: string;
  readonly size: Size | undefined;
}

export interface ExecStart {
  readonly detach: boolean;
  readonly tty: boolean;
  readonly size: Size | undefined;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export function decodeExecCreate(body: JsonObject | undefined, version: number): ExecCreate {
  const flag = (name: string): boolean => field(body, name, bool, false);
  const string = (name: string): string => field(body, name, text, '');
  const cmd = field(body, 'Cmd', command, []);
  if (cmd.length === 0) throw badParameter('No exec command specified');
  const detachKeys = string('DetachKeys');
  parseDetachKeys(detachKeys, 'escape');
  return {
    ...{ cmd, detachKeys, tty: flag('Tty'), privileged: flag('Privileged'), user: string('User') },
    attachStdin: flag('AttachStdin'),
    attachStdout: flag('AttachStdout'),
    attachStderr: flag('AttachStderr'),
    env: version < 25 ? [] : field(body, 'Env', command, []),
    workingDir: version < 35 ? '' : string('WorkingDir'),
    size: version < 42 ? undefined : field(body, 'ConsoleSize', size, undefined),
  };
}

export function decodeExecStart(body: JsonObject | undefined, version: number): ExecStart {
  const tty = field(body, 'Tty', bool, false);
  const wanted = version < 42 || !tty ? undefined : field(body, 'ConsoleSize', size, undefined);
  return { detach: field(body, 'Detach', bool, false), tty, size: wanted };
}

/** [height, width]; [0, 0] = none. */
const size: Read<Size | undefined> = (value, what) => {
  const [height = -1, width = -1, ...more] = sides(value, what);
  const isSide = (n: number): boolean => n >= 0 && n <= 0xffff;
  if (!isSide(height) || !isSide(width) || more.length > 0)
    throw badParameter(`invalid JSON: ${what} must be a list of two numbers`);
  return height === 0 || width === 0 ? undefined : { height, width };
};

const sides = list(int);

/** Absent and null are the type's zero, as Go has it. */
function field<T>(body: JsonObject | undefined, name: string, read: Read<T>, zero: T): T {
  const value = body?.[name] ?? undefined;
  return value === undefined ? zero : read(value, name);
}
