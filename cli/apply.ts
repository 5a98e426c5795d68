/** Applying decoded manifests: server-side apply by each object's own kind, told line by line as kubectl does. */
import { isDeepStrictEqual } from 'node:util';
import {
  apiVersionOf,
  customKindsOf,
  type DeepReadonly,
  isConditionTrue,
  type KindInfo,
  Kinds,
  type KubeObject,
  keyOf,
  kindByGvk,
  NO_DEFINITION_TOOLS,
} from '#lib/api';
import { type Ctx, isKind, StatusError } from '#lib/base';
import type { Client } from '#lib/client';

export interface ApplyOptions {
  readonly namespace?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly force?: boolean | undefined;
}

export interface Applied {
  readonly kind: KindInfo;
  readonly name: string;
  readonly outcome: 'created' | 'configured' | 'unchanged';
}

const MANAGER = 'berth-apply';
/** How long an object waits for its kind, whose definition may stand just before it in the same file. */
const ESTABLISHED_MS = 5_000;
const LOOK_MS = 50;

/** In the order given. Throws at the first that fails; those before it stay applied. */
export async function applyManifests(
  client: Client,
  manifests: readonly unknown[],
  o: ApplyOptions,
  c: Ctx,
  onApplied: (a: Applied) => void = () => undefined,
): Promise<void> {
  for (const m of manifests) {
    if (m === null || m === undefined) continue;
    onApplied(await applyOne(client, m, o, c));
  }
}

async function applyOne(client: Client, manifest: unknown, o: ApplyOptions, c: Ctx): Promise<Applied> {
  const kind = await kindOf(client, manifest, c);
  const object = structuredClone(manifest) as KubeObject;
  if (kind.namespaced) object.metadata.namespace ??= o.namespace ?? 'default';
  const key = keyOf(object);
  const before = await client.get(kind, key, c).catch((e: unknown) => {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  });
  const options = {
    fieldManager: MANAGER,
    force: o.force ?? true,
    dryRun: o.dryRun,
    fieldValidation: 'Strict' as const,
  };
  const after = await client.patch(kind, key, { type: 'apply', body: object }, c, options);
  const outcome =
    before === undefined ? 'created' : isDeepStrictEqual(said(before), said(after)) ? 'unchanged' : 'configured';
  return { kind, name: key.name, outcome };
}

/** Without the revision, which a dry run does not move, and the record of who set what. */
function said(object: DeepReadonly<KubeObject>): object {
  const { resourceVersion: _, managedFields: __, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** Built-in, or of a CustomResourceDefinition. Throws Invalid that names what is missing. */
export async function kindOf(client: Client, manifest: unknown, c: Ctx): Promise<KindInfo> {
  const m = manifest as Partial<KubeObject> | null;
  if (typeof m !== 'object' || m === null)
    throw new StatusError('Invalid', 'a manifest must be a mapping with apiVersion, kind and metadata');
  if (typeof m.apiVersion !== 'string')
    throw new StatusError('Invalid', 'apiVersion: Required value: for example v1 or apps/v1');
  if (typeof m.kind !== 'string') throw new StatusError('Invalid', 'kind: Required value: for example Deployment');
  if (typeof m.metadata?.name !== 'string')
    throw new StatusError('Invalid', `metadata.name: Required value (in a ${m.kind})`);
  const builtIn = kindByGvk(m.apiVersion, m.kind);
  if (builtIn !== undefined) return builtIn;
  const found = await customKind(client, { apiVersion: m.apiVersion, kind: m.kind }, c);
  if (found === undefined)
    throw new StatusError(
      'Invalid',
      `no kind "${m.kind}" in version "${m.apiVersion}": 'berth api-resources' lists them`,
    );
  return found;
}

/** undefined: no definition speaks of it. One that is not established yet is waited for. */
async function customKind(
  client: Client,
  asked: { readonly apiVersion: string; readonly kind: string },
  c: Ctx,
): Promise<KindInfo | undefined> {
  const endMs = c.clock.monotonic() + ESTABLISHED_MS;
  for (;;) {
    const { items } = await client.list(Kinds.customresourcedefinitions, {}, c);
    const definition = items.find(
      ({ spec }) =>
        spec.names.kind === asked.kind && spec.versions.some((v) => `${spec.group}/${v.name}` === asked.apiVersion),
    );
    if (definition === undefined) return undefined;
    if (isConditionTrue(definition.status?.conditions, 'Established'))
      return customKindsOf(definition, NO_DEFINITION_TOOLS)?.served.find((k) => apiVersionOf(k) === asked.apiVersion);
    if (c.clock.monotonic() > endMs) return undefined;
    await c.clock.sleep(LOOK_MS, c.signal);
  }
}
