/** Whether the OCI runtime still runs on this node: it is asked for its version, by the helper that starts everything here. */
import { type Ctx, StatusError } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';

const LIMIT_MS = 10_000;

/** Throws Unavailable. Hangs when the helper does. */
export async function checkRuntime(programs: Programs, path: string, c: Ctx): Promise<void> {
  const { code, stderr } = await programs.run([path, '--version'], { timeoutMs: LIMIT_MS }, c);
  if (code !== 0)
    throw new StatusError('Unavailable', `${path} --version ended with ${code} ${stderr.toString().trim()}`.trim());
}
