/** exec: a process beside the container's own, as a verb of the native helper (agent/native/session.c). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, raceAbort, StatusError } from '#lib/base';
import type { Helper } from '../kernel/linux/helper.ts';
import { heldCapabilities } from './isolation/capabilities.ts';
import { startError } from './oci-binary.ts';
import type { OciProcess, OciSpec } from './oci-spec.ts';
import type { ExecRequest, ExecSession } from './runtime.ts';
import { type FrameSession, frameSession } from './streams.ts';

/**
 * The container's own process with the request's program: same user, capabilities, limits (runtime.md 2), but for what the
 * request says. Another user's capabilities are the kernel's affair: root gets the bounding set at its exec, others lose theirs.
 */
export function execProcess(own: OciProcess, r: ExecRequest, held: readonly string[] = []): OciProcess {
  const { consoleSize: _, ...rest } = own;
  const all = [...held];
  const env = mergeEnvironment(own.env, r.env ?? []);
  return {
    ...rest,
    terminal: r.tty,
    ...(r.tty && r.size !== undefined ? { consoleSize: r.size } : {}),
    ...(r.user === undefined ? {} : { user: r.user }),
    ...(r.privileged ? { capabilities: { ...own.capabilities, bounding: all, effective: all, permitted: all } } : {}),
    args: [...r.argv],
    env: r.tty && !env.some((e) => e.startsWith('TERM=')) ? [...env, 'TERM=xterm'] : env,
    cwd: r.cwd ?? own.cwd,
  };
}

/** A later NAME=value takes the place of an earlier one, a NAME alone removes it. Source: moby daemon/container/env.go. */
export function mergeEnvironment(own: readonly string[], more: readonly string[]): string[] {
  const values = new Map<string, string>();
  for (const entry of own) values.set(nameOf(entry), entry);
  for (const entry of more) {
    if (entry.includes('=')) values.set(nameOf(entry), entry);
    else values.delete(entry);
  }
  return [...values.values()];
}

function nameOf(entry: string): string {
  const at = entry.indexOf('=');
  return at < 0 ? entry : entry.slice(0, at);
}

/** Resolves once the program was exec'd. An abort until then ends it; after that the session's owner does. */
export async function startExec(helper: Helper, folder: string, r: ExecRequest, c: Ctx): Promise<ExecSession> {
  if (r.argv.length === 0) throw new StatusError('Invalid', 'exec: no program');
  const spec = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as OciSpec;
  const held = r.privileged ? heldCapabilities(await readFile('/proc/self/status', 'utf8')) : [];
  const process = JSON.stringify(execProcess(spec.process, r, held));
  const stream = await helper.expectStream();
  try {
    const flags = [r.tty, r.stdin, r.outlives === true].map((on) => (on ? 1 : 0));
    const fields = [helper.streamsPath, stream.token, folder, process, ...flags];
    await helper.call('session', fields, c);
    const socket = await raceAbort(stream.socket, c.signal);
    const session = frameSession(socket, 'exec', (text) => startError('exec failed', text));
    let pid: number;
    try {
      pid = (await raceAbort(session.started, c.signal)).readUInt32LE(0);
    } catch (e) {
      await session[Symbol.asyncDispose]();
      throw e;
    }
    if (r.timeoutMs !== undefined) limit(session, r, r.timeoutMs, c);
    return { ...session, pid };
  } finally {
    stream.forget();
  }
}

function limit(session: FrameSession, r: ExecRequest, timeoutMs: number, c: Ctx): void {
  const timer = c.clock.after(timeoutMs, () =>
    session.fail(new StatusError('DeadlineExceeded', `${r.argv[0]} took longer than ${timeoutMs} ms`)),
  );
  session.exit.then(
    () => timer.cancel(),
    () => timer.cancel(),
  );
}
