/** exec: a process beside the container's own, as a verb of the native helper (agent/native/session.c). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, raceAbort, StatusError } from '#lib/base';
import type { Helper } from '../kernel/linux/helper.ts';
import { startError } from './oci-binary.ts';
import type { OciProcess, OciSpec } from './oci-spec.ts';
import type { ExecRequest, StreamSession } from './runtime.ts';
import { frameSession } from './streams.ts';

/** The container's own process with the request's program: same user, capabilities, limits (runtime.md 2). */
export function execProcess(own: OciProcess, r: ExecRequest): OciProcess {
  return {
    ...own,
    terminal: r.tty,
    args: [...r.argv],
    env: [
      ...own.env,
      ...(r.env ?? []),
      ...(r.tty && !own.env.some((e) => e.startsWith('TERM=')) ? ['TERM=xterm'] : []),
    ],
    cwd: r.cwd ?? own.cwd,
  };
}

/** Resolves once the program was exec'd. An abort until then ends it; after that the session's owner does. */
export async function startExec(helper: Helper, folder: string, r: ExecRequest, c: Ctx): Promise<StreamSession> {
  if (r.argv.length === 0) throw new StatusError('Invalid', 'exec: no program');
  const spec = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as OciSpec;
  const process = JSON.stringify(execProcess(spec.process, r));
  const stream = await helper.expectStream();
  try {
    const fields = [helper.streamsPath, stream.token, folder, process, r.tty ? 1 : 0, r.stdin ? 1 : 0];
    await helper.call('session', fields, c);
    const socket = await raceAbort(stream.socket, c.signal);
    const session = frameSession(socket, 'exec', (text) => startError('exec failed', text));
    try {
      await raceAbort(session.started, c.signal);
    } catch (e) {
      await session[Symbol.asyncDispose]();
      throw e;
    }
    return r.timeoutMs === undefined ? session : limited(session, r, r.timeoutMs, c);
  } finally {
    stream.forget();
  }
}

function limited(
  session: StreamSession & { fail(e: StatusError): void },
  r: ExecRequest,
  timeoutMs: number,
  c: Ctx,
): StreamSession {
  const timer = c.clock.after(timeoutMs, () =>
    session.fail(new StatusError('DeadlineExceeded', `${r.argv[0]} took longer than ${timeoutMs} ms`)),
  );
  session.exit.then(
    () => timer.cancel(),
    () => timer.cancel(),
  );
  return session;
}
