/** A program that runs beside a test (`kubectl get -w`, `logs -f`, `port-forward`): what it wrote so far, and its end. */
import { spawn } from 'node:child_process';
import { realClock } from '#lib/base';
import { SLOWNESS } from './time-limit.ts';

const INTERVAL_MS = 20;

export interface Background extends AsyncDisposable {
  /** Both outputs, in the order in which they came. */
  readonly output: string;
  readonly exitCode: number | null;
  readonly closed: Promise<number | null>;
  write(text: string): void;
  endInput(): void;
  /** Resolves with the output once it matches; throws with all of it when the time is over or the program ended first. */
  until(pattern: RegExp, limitMs?: number): Promise<string>;
}

/** The program is killed at the end of its scope and after `limitMs`, whichever comes first. */
export function background(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  limitMs = 60_000,
): Background {
  const child = spawn(program, [...args], { env: { ...process.env, ...env }, stdio: 'pipe' });
  let output = '';
  const onData = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', onData);
  child.stderr.on('data', onData);
  child.stdin.on('error', () => undefined); // It ended without reading everything; its exit code tells.
  const closed = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
    child.once('error', () => resolve(null));
  });
  const limit = realClock.after(limitMs * SLOWNESS, () => child.kill('SIGKILL'));
  closed.then(
    () => limit.cancel(),
    () => undefined,
  );
  return {
    get output() {
      return output;
    },
    get exitCode() {
      return child.exitCode;
    },
    closed,
    write: (text) => void child.stdin.write(text),
    endInput: () => void child.stdin.end(),
    until: async (pattern, waitMs = 20_000) => {
      const end = realClock.monotonic() + waitMs * SLOWNESS;
      while (!pattern.test(output)) {
        if (realClock.monotonic() > end || child.exitCode !== null || child.signalCode !== null)
          throw new Error(`${program} ${args.join(' ')}: no ${String(pattern)} in:\n${output}`);
        await realClock.sleep(INTERVAL_MS);
      }
      return output;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await closed;
    },
  };
}
