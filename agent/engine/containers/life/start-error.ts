/**
 * What a failed start means: Docker's exit code and words, on which the docker CLI builds its own exit code (125 to 127). crun
 * words what runc says in another way, so its words are turned. Pure. Source: moby daemon/errors.go (setExitCodeFromError);
 * docker/cli cli/command/container/run.go (toStatusError).
 */
import { messageOf, StatusError } from '#lib/base';
import { EngineError } from '../../http/contract.ts';

export interface StartFailure {
  readonly exitCode: number;
  readonly error: EngineError;
}

const PREFIX = 'failed to create task for container: failed to create shim task: OCI runtime create failed: ';
const NOT_A_FOLDER =
  ': Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type';

export function startFailure(e: unknown): StartFailure {
  if (e instanceof EngineError) return { exitCode: 128, error: e };
  if (!(e instanceof StatusError) || e.kind !== 'Invalid')
    return { exitCode: 128, error: new EngineError(500, messageOf(e), { cause: e }) };
  const text = asRunc(e.message);
  const failure = (exitCode: number, message: string): StartFailure => ({
    exitCode,
    error: new EngineError(exitCode === 128 ? 500 : 400, PREFIX + message, { cause: e }),
  });
  const lower = text.toLowerCase();
  if (lower.includes('permission denied')) return failure(126, text);
  if (lower.includes('is a directory')) return failure(126, `${text}: permission denied`);
  if (lower.includes('not a directory')) return failure(127, text + NOT_A_FOLDER);
  if (lower.includes('executable file not found') || lower.includes('no such file or directory'))
    return failure(127, text);
  return failure(128, text);
}

/** `crun: executable file `x` not found in $PATH: No such file or directory`. */
function asRunc(message: string): string {
  const said = message.replace(/^the container could not be started: /, '');
  const [, program] = /executable file [`']?([^`']+?)[`']? not found in \$PATH/.exec(said) ?? [];
  if (program !== undefined) {
    const why = program.includes('/')
      ? `stat ${program}: no such file or directory`
      : 'executable file not found in $PATH';
    return `unable to start container process: exec: ${JSON.stringify(program)}: ${why}: unknown`;
  }
  /* What crun makes of a folder. */
  if (said.includes('open executable: Operation not permitted'))
    return 'unable to start container process: exec: is a directory: unknown';
  return said.replace(/No such file or directory|Permission denied|Is a directory|Not a directory/g, (m) =>
    m.toLowerCase(),
  );
}
