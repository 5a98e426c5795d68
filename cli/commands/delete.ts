/** `berth delete`: asks the server to remove objects, then waits until they are gone (finalizers and pods' grace included). */
import { type DeepReadonly, type KindRef, type KubeObject, keyText, type ObjectKey } from '#lib/api';
import { isKind, messageOf, StatusError } from '#lib/base';
import type { DeleteOptions as WireOptions } from '#lib/client';
import { kindOf } from '../apply.ts';
import { type AccessOptions, type Session, withSession } from '../client/access.ts';
import { parseCount, parseDuration, parseTargets, wrongUse } from '../client/arguments.ts';
import { type Manifest, readManifests } from '../client/manifests.ts';
import { qualifiedName } from './get.ts';

export interface DeleteCommandOptions extends AccessOptions {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly selector?: string;
  readonly all?: boolean;
  readonly gracePeriod?: string;
  readonly now?: boolean;
  readonly force?: boolean;
  readonly cascade?: string;
  readonly ignoreNotFound?: boolean;
  readonly dryRun?: string | boolean;
  /** commander's form of --no-wait. */
  readonly wait?: boolean;
  readonly timeout?: string;
}

interface Doomed {
  readonly kind: KindRef;
  readonly key: ObjectKey;
  /** `pod "web"` */
  readonly label: string;
}

const PROPAGATION = { background: 'Background', foreground: 'Foreground', orphan: 'Orphan' } as const;
const FIRST_LOOK_MS = 50;
const LOOK_MS_MAX = 1000;

export async function deleteCommand(words: readonly string[], o: DeleteCommandOptions): Promise<number> {
  const manifests =
    o.filename === undefined ? [] : await readManifests(o.filename, { recursive: o.recursive, stdin: process.stdin });
  return await withSession(o, (s) => deleteObjects(words, manifests, o, s));
}

export async function deleteObjects(
  words: readonly string[],
  manifests: readonly Manifest[],
  o: DeleteCommandOptions,
  s: Session,
): Promise<number> {
  const options = wireOptions(o);
  const limitMs = o.timeout === undefined ? Number.POSITIVE_INFINITY : parseDuration('--timeout', o.timeout);
  if ((words.length === 0) === (manifests.length === 0))
    throw wrongUse('say what to delete: RESOURCE NAME, RESOURCE/NAME, or -f FILE');
  const doomed =
    manifests.length > 0 ? await Promise.all(manifests.map((m) => fromManifest(m, s))) : await fromWords(words, o, s);
  const asked: (Doomed & { uid: string })[] = [];
  let exitCode = 0;
  for (const d of doomed) {
    try {
      const { uid = '' } = (await s.client.get(d.kind, d.key, s.c)).metadata;
      await s.client.delete(d.kind, d.key, options, s.c);
      s.out.write(`${d.label} ${options.dryRun === true ? 'would be deleted (server dry run)' : 'deleted'}\n`);
      asked.push({ ...d, uid });
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
      if (o.ignoreNotFound === true) continue;
      s.err.write(`berth delete: ${messageOf(e)}\n`);
      exitCode = 1;
    }
  }
  if (o.wait !== false && options.dryRun !== true) await untilGone(asked, limitMs, s);
  return exitCode;
}

export function wireOptions(o: DeleteCommandOptions): WireOptions {
  const grace = o.gracePeriod === undefined ? undefined : parseCount('--grace-period', o.gracePeriod);
  if (grace !== undefined && o.now === true) throw wrongUse('--now is --grace-period=1: give one of them');
  const cascade = o.cascade ?? 'background';
  const propagationPolicy = PROPAGATION[cascade as keyof typeof PROPAGATION];
  if (propagationPolicy === undefined)
    throw wrongUse(`--cascade ${cascade}: one of ${Object.keys(PROPAGATION).join(', ')}`);
  const gracePeriodSeconds = grace ?? (o.force === true ? 0 : o.now === true ? 1 : undefined);
  const dryRun = o.dryRun === true || o.dryRun === 'server';
  return {
    propagationPolicy,
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(dryRun ? { dryRun } : {}),
  };
}

async function fromManifest(m: Manifest, s: Session): Promise<Doomed> {
  const kind = await kindOf(s.client, m.object, s.c);
  const { metadata } = m.object as KubeObject;
  const namespace = kind.namespaced ? (metadata.namespace ?? s.namespace) : '';
  return { kind, key: { namespace, name: metadata.name }, label: `${kind.kind.toLowerCase()} "${metadata.name}"` };
}

async function fromWords(words: readonly string[], o: DeleteCommandOptions, s: Session): Promise<Doomed[]> {
  const out: Doomed[] = [];
  for (const w of parseTargets(words, await s.resources())) {
    const namespace = w.resource.namespaced ? s.namespace : '';
    const label = (name: string): string => `${qualifiedName(w.resource)} "${name}"`;
    const add = (name: string): void =>
      void out.push({ kind: w.resource, key: { namespace, name }, label: label(name) });
    if (w.names !== undefined) {
      for (const name of w.names) add(name);
      continue;
    }
    if (o.all !== true && o.selector === undefined)
      throw wrongUse(`name what to delete, or give -l SELECTOR or --all: berth delete ${words.join(' ')} NAME`);
    const { items } = await s.client.list(w.resource, { namespace, labelSelector: o.selector }, s.c);
    for (const item of items as readonly DeepReadonly<KubeObject>[]) add(item.metadata.name);
  }
  if (out.length === 0) s.err.write('No resources found.\n');
  return out;
}

/** A new object of the same name is not the one that was deleted. */
async function untilGone(all: readonly (Doomed & { uid: string })[], limitMs: number, s: Session): Promise<void> {
  const end = s.c.clock.monotonic() + limitMs;
  for (const d of all) {
    for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(pauseMs * 2, LOOK_MS_MAX)) {
      if (await isGone(d, s)) break;
      if (s.c.clock.monotonic() >= end)
        throw new StatusError(
          'DeadlineExceeded',
          `${d.label} is still there: 'berth get ${d.kind.resource} ${d.key.name} -o yaml' shows its finalizers (${keyText(d.key)})`,
        );
      await s.c.clock.sleep(pauseMs, s.c.signal);
    }
  }
}

async function isGone(d: Doomed & { uid: string }, s: Session): Promise<boolean> {
  try {
    return (await s.client.get(d.kind, d.key, s.c)).metadata.uid !== d.uid;
  } catch (e) {
    if (isKind(e, 'NotFound')) return true;
    throw e;
  }
}
