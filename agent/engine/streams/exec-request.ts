/** The bodies of exec create and start, decoded. Source: moby api/types/container/exec.go, v1.51.yaml (ExecConfig). Pure. */
import { asString, asStrings, type JsonObject } from '#lib/oci';
import { badParameter } from '../http/contract.ts';
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
  const from = new Fields(body ?? {});
  const cmd = from.strings('Cmd');
  if (cmd.length === 0) throw badParameter('No exec command specified');
  const detachKeys = from.text('DetachKeys');
  parseDetachKeys(detachKeys, 'escape');
  return {
    ...{ cmd, detachKeys, tty: from.flag('Tty'), privileged: from.flag('Privileged'), user: from.text('User') },
    attachStdin: from.flag('AttachStdin'),
    attachStdout: from.flag('AttachStdout'),
    attachStderr: from.flag('AttachStderr'),
    env: version < 25 ? [] : from.strings('Env'),
    workingDir: version < 35 ? '' : from.text('WorkingDir'),
    size: version < 42 ? undefined : from.size('ConsoleSize'),
  };
}

export function decodeExecStart(body: JsonObject | undefined, version: number): ExecStart {
  const from = new Fields(body ?? {});
  const tty = from.flag('Tty');
  return { detach: from.flag('Detach'), tty, size: version < 42 || !tty ? undefined : from.size('ConsoleSize') };
}

/** Absent and null are the type's zero, as Go has it. */
class Fields {
  readonly #of: JsonObject;

  constructor(of: JsonObject) {
    this.#of = of;
  }

  flag(name: string): boolean {
    const value = this.#of[name] ?? false;
    if (typeof value !== 'boolean') throw invalid(name, 'a boolean');
    return value;
  }

  text(name: string): string {
    const value = this.#of[name] ?? '';
    return typed(name, 'a text', () => asString(value, name));
  }

  /** A text alone is a list of one, as Docker's StrSlice takes it. */
  strings(name: string): readonly string[] {
    const value = this.#of[name] ?? [];
    if (typeof value === 'string') return [value];
    const texts = typed(name, 'a list of texts', () => asStrings(value, name));
    if (texts.some((t) => t.includes('\0'))) throw invalid(name, 'a list of texts without NUL');
    return texts;
  }

  /** [height, width]; [0, 0] = none. */
  size(name: string): Size | undefined {
    const value = this.#of[name];
    if (value === undefined || value === null) return undefined;
    const [height, width] = Array.isArray(value) && value.length === 2 ? value : [];
    if (!isSide(height) || !isSide(width)) throw invalid(name, 'a list of two numbers');
    return height === 0 || width === 0 ? undefined : { height, width };
  }
}

function isSide(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff;
}

function typed<T>(name: string, wanted: string, read: () => T): T {
  try {
    return read();
  } catch {
    throw invalid(name, wanted);
  }
}

function invalid(name: string, wanted: string): Error {
  return badParameter(`invalid JSON: ${name} must be ${wanted}`);
}
