/** `berth apply`: server-side apply of manifests, one line an object. One that fails does not keep the others from being applied. */
import { type Ctx, isKind, messageOf, StatusError } from '#lib/base';
import { applyManifests } from '../apply.ts';
import { type AccessOptions, type Session, withSession } from '../client/access.ts';
import { wrongUse } from '../client/arguments.ts';
import { hintOf } from '../client/hints.ts';
import { type Manifest, readManifests } from '../client/manifests.ts';

export interface ApplyCommandOptions extends AccessOptions {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  /** `true` when the flag stands alone. */
  readonly dryRun?: string | boolean;
  /** commander's form of --no-force: fields that others own are left to them, as conflicts. */
  readonly force?: boolean;
}

export async function applyCommand(o: ApplyCommandOptions): Promise<number> {
  // Read before anything is sent: a mistake in the last file leaves nothing half-made.
  const dryRun = isDryRun(o.dryRun);
  const manifests = await readManifests(o.filename, { recursive: o.recursive, stdin: process.stdin });
  return await withSession(o, (s) => apply(manifests, { ...o, dryRun }, s));
}

export async function apply(
  manifests: readonly Manifest[],
  o: AccessOptions & { dryRun?: boolean; force?: boolean },
  s: Session,
): Promise<number> {
  let exitCode = 0;
  const suffix = o.dryRun === true ? ' (server dry run)' : '';
  for (const m of manifests) {
    try {
      await applyOne(m, o, s, s.c, suffix);
    } catch (e) {
      if (!(e instanceof StatusError) || isKind(e, 'Unavailable') || isKind(e, 'Unauthorized')) throw e;
      const hint = hintOf(e);
      s.err.write(`berth apply: ${m.source}: ${messageOf(e)}${hint === undefined ? '' : `\n${hint}`}\n`);
      const isMistake = isKind(e, 'Invalid') || isKind(e, 'BadRequest');
      exitCode = Math.max(exitCode, isMistake ? 2 : 1);
    }
  }
  return exitCode;
}

async function applyOne(
  m: Manifest,
  o: AccessOptions & { dryRun?: boolean; force?: boolean },
  s: Session,
  c: Ctx,
  suffix: string,
): Promise<void> {
  const named = (m.object as { metadata?: { namespace?: unknown } } | null)?.metadata?.namespace;
  if (o.namespace !== undefined && typeof named === 'string' && named !== o.namespace)
    throw wrongUse(`the object is in namespace ${named}, but -n says ${o.namespace}: leave one of them out`);
  const options = { namespace: s.namespace, dryRun: o.dryRun, force: o.force };
  await applyManifests(s.client, [m.object], options, c, (a) => {
    const group = a.kind.group === '' ? '' : `.${a.kind.group}`;
    s.out.write(`${a.kind.kind.toLowerCase()}${group}/${a.name} ${a.outcome}${suffix}\n`);
  });
}

/** `--dry-run`, `--dry-run=server`; a dry run without the server would know no defaults and check nothing. */
export function isDryRun(value: string | boolean | undefined): boolean {
  if (value === undefined || value === false || value === 'none') return false;
  if (value === true || value === 'server') return true;
  throw wrongUse(`--dry-run=${value}: only the server's is there: --dry-run, or --dry-run=server`);
}
