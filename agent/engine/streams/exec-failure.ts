/** Why a program could not be run, as clients know it by its text. Source: moby daemon/errors.go (setExitCodeFromError). Pure. */
export interface ExecFailure {
  readonly exitCode: 126 | 127 | 128;
  readonly message: string;
  readonly status: 400 | 500;
}

const NOT_FOUND = ['executable file not found', 'no such file or directory'];

export function execFailure(text: string): ExecFailure {
  const message = `OCI runtime exec failed: ${text}: unknown`;
  const lower = text.toLowerCase();
  if (lower.includes('permission denied')) return { exitCode: 126, message, status: 400 };
  /* The CLI looks for the words of EACCES. crun says EPERM of what is no program, a folder among it. */
  if (lower.includes('is a directory') || lower.includes('open executable: operation not permitted'))
    return { exitCode: 126, message: `${message}: permission denied`, status: 400 };
  if (NOT_FOUND.some((words) => lower.includes(words))) return { exitCode: 127, message, status: 400 };
  return { exitCode: 128, message, status: 500 };
}
