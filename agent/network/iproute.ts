/** Runs iproute2 through the kernel port: many commands in one process (`-batch -`), errors as StatusErrors. */

import type { Ctx } from '#lib/base';
import { hexOf, StatusError, sha256 } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';

const TIMEOUT_MS = 10_000;

export interface IpOptions {
  /** Path of a network namespace to run in. */
  readonly netns?: string | undefined;
  /** Goes on after a failed command, and failures of this kind are no failure. */
  readonly ignore?: RegExp | undefined;
}

/** What iproute2 says about something that is gone already. */
export const GONE =
  /Cannot find device|No such device|No such file or directory|No such process|does not exist|FDB entry not found/;

/** Together, see `linkRemovals`; those that are gone are no failure. */
export async function removeLinks(programs: Programs, links: readonly string[], c: Ctx): Promise<void> {
  await runBatch(programs, { program: 'ip', lines: linkRemovals(links), ignore: GONE }, c);
}

/**
 * The lines that remove links, to be run with GONE ignored. One link costs the kernel an RCU grace period (18 ms measured), and a
 * group costs one too (35 ms for 30): so several become a group of their own first. Its number is theirs alone: above what people
 * choose, and made of their names. Source: kernel net/core/rtnetlink.c (rtnl_group_dellink).
 */
export function linkRemovals(links: readonly string[]): string[] {
  const names = [...new Set(links)];
  if (names.length < 2) return names.map((name) => `link del ${name}`);
  const group = 0x4000_0000 + (Number.parseInt(hexOf(sha256(names.join())).slice(0, 8), 16) & 0x3fff_ffff);
  return [...names.map((name) => `link set ${name} group ${group}`), `link del group ${group}`];
}

/** One line is one command without the leading `ip` (or `bridge`). No line, no run. */
export async function runBatch(
  programs: Programs,
  o: IpOptions & { program: 'ip' | 'bridge'; lines: readonly string[] },
  c: Ctx,
): Promise<void> {
  if (o.lines.length === 0) return;
  const argv = o.ignore ? [o.program, '-force', '-batch', '-'] : [o.program, '-batch', '-'];
  const result = await programs.run(argv, { stdin: `${o.lines.join('\n')}\n`, ...inside(o), timeoutMs: TIMEOUT_MS }, c);
  if (result.code === 0) return;
  const problems = problemLines(result.stderr.toString(), o.ignore);
  if (o.ignore !== undefined && problems.length === 0) return;
  throw new StatusError('Unavailable', `${o.program} failed (${o.lines[0]} …): ${problems.join('; ')}`);
}

/** `ip -j …` parsed; undefined when the thing asked for does not exist. */
export async function ipJson(
  programs: Programs,
  args: readonly string[],
  o: IpOptions,
  c: Ctx,
): Promise<readonly Readonly<Record<string, unknown>>[] | undefined> {
  const result = await programs.run(['ip', '-j', ...args], { ...inside(o), timeoutMs: TIMEOUT_MS }, c);
  const errors = result.stderr.toString();
  if (result.code !== 0) {
    if (GONE.test(errors)) return undefined;
    throw new StatusError('Unavailable', `ip ${args.join(' ')} failed: ${errors.trim()}`);
  }
  const text = result.stdout.toString().trim();
  const value: unknown = text === '' ? [] : JSON.parse(text);
  if (!Array.isArray(value)) throw new StatusError('Internal', `ip ${args.join(' ')} printed no list`);
  return value.filter((entry) => typeof entry === 'object' && entry !== null && Object.keys(entry).length > 0);
}

function inside(o: IpOptions): { netns?: string } {
  return o.netns === undefined ? {} : { netns: o.netns };
}

function problemLines(text: string, ignore: RegExp | undefined): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('Command failed') && !(ignore?.test(line) ?? false));
}
