/**
 * The ids of this node that pods with a user namespace get: those that /etc/subuid and /etc/subgid give the user `kubelet`, as
 * getsubids(1) says them, or else all but the first ones. Source: kubernetes pkg/kubelet/kubelet_pods.go (getKubeletMappings).
 */
import { createHash } from 'node:crypto';
import { type Ctx, StatusError } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import { checkPool, defaultPool, type IdPool, type IdRange } from './ranges.ts';

const USER = 'kubelet';
/** Programs that keep ids in 31 bits are many: where there is a choice none begins above. */
const SIGNED_MAX = 2 ** 31;
const NOT_FOUND = 127;
const ANSWER_MS = 10_000;
/** The instance that begins at the first range, as a kubelet may; others of the same machine elsewhere. */
const FIRST_INSTANCE = 'berth';

export interface PoolOptions {
  readonly programs: Kernel['programs'];
  readonly idsPerPod: number;
  readonly podsMax: number;
  readonly instance: string;
}

/** Throws StatusError, in the kubelet's words, where what is set up cannot be used. */
export async function idPool(o: PoolOptions, c: Ctx): Promise<IdPool> {
  const given = await subordinateIds(o.programs, c);
  const range = given ?? defaultPool(o.idsPerPod);
  checkPool(range, o.idsPerPod, o.podsMax);
  const slots = Math.floor((SIGNED_MAX - range.first) / o.idsPerPod);
  const start = given !== undefined || o.instance === FIRST_INSTANCE ? 0 : numberOf(o.instance) % Math.max(slots, 1);
  return { ...range, idsPerPod: o.idsPerPod, start };
}

/** Undefined: nobody set any up. Who has the user and the program expects them to be used. */
async function subordinateIds(programs: Kernel['programs'], c: Ctx): Promise<IdRange | undefined> {
  const run = async (...argv: string[]): Promise<{ code: number; text: string }> => {
    const { code, stdout } = await programs.run(argv, { timeoutMs: ANSWER_MS }, c);
    return { code, text: stdout.toString() };
  };
  if ((await run('getent', 'passwd', USER)).code !== 0) return undefined;
  const uids = await run('getsubids', USER);
  if (uids.code === NOT_FOUND) return undefined;
  const refuse = (why: string): StatusError => new StatusError('Invalid', `kubelet mappings: ${why}`);
  if (uids.code !== 0) throw refuse(`error retrieving additional uids for user "${USER}": exit status ${uids.code}`);
  const gids = await run('getsubids', '-g', USER);
  if (gids.code !== 0) throw refuse(`error retrieving additional gids for user "${USER}"`);
  if (uids.text !== gids.text) throw refuse(`mismatched subuids and subgids for user "${USER}"`);
  return parseSubIds(uids.text);
}

/** `0: kubelet 65536 7208960`, of one range. */
export function parseSubIds(text: string): IdRange {
  const lines = text.replace(/^\n+|\n+$/g, '').split('\n');
  if (lines.length !== 1)
    throw new StatusError('Invalid', `error parsing line ${JSON.stringify(text)}: it must contain only one line`);
  const parts = (lines[0] ?? '').split(/\s+/).filter((p) => p !== '');
  const [first, count] = parts.slice(2).map(Number);
  if (parts.length !== 4 || !isId(first) || !isId(count))
    throw new StatusError('Invalid', `invalid line ${JSON.stringify(lines[0])}`);
  return { first, count };
}

function isId(value: number | undefined): value is number {
  return value !== undefined && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}

function numberOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0);
}
