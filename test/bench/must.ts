import type { CommandResult } from '../harness/cluster.ts';

/** Throws what a command said that failed: a figure of it would be of something else. */
export async function must(result: Promise<CommandResult>): Promise<CommandResult> {
  const r = await result;
  if (r.code !== 0) throw new Error(`exit ${r.code}: ${r.stderr}${r.stdout}`);
  return r;
}
