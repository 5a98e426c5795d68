/**
 * The APIServices of what this server serves itself. Made at start and put right then; one that is deleted later stays away
 * until the next start, as its label says (`onstart`). One of a group that others may serve as well (metrics.k8s.io) is
 * theirs once they pointed it at a service.
 * Source: k8s.io/kube-aggregator/pkg/controllers/autoregister/autoregister_controller.go.
 */
import { type APIService, apiServiceName, builtInRank, type DeepReadonly, type KindInfo, Kinds } from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Client } from '#lib/client';

export const AUTOMANAGED = 'kube-aggregator.kubernetes.io/automanaged';

type Wanted = Omit<APIService, 'apiVersion' | 'kind'>;

export function localApiServices(kinds: readonly Pick<KindInfo, 'group' | 'version'>[]): readonly Wanted[] {
  const wanted = new Map<string, Wanted>();
  for (const { group, version } of kinds) {
    const rank = builtInRank(group, version);
    if (rank === undefined) continue;
    const name = apiServiceName(group, version);
    wanted.set(name, {
      metadata: { name, labels: { [AUTOMANAGED]: 'onstart' } },
      spec: {
        ...(group === '' ? {} : { group }),
        version,
        groupPriorityMinimum: rank.groupPriorityMinimum,
        versionPriority: rank.versionPriority,
      },
    });
  }
  return [...wanted.values()];
}

/** `isForeign`: group versions that may be served by others. Any number of replicas may do this at once. */
export async function ensureLocalApiServices(
  client: Client,
  wanted: readonly Wanted[],
  isForeign: (spec: Wanted['spec']) => boolean,
  c: Ctx,
): Promise<void> {
  for (const service of wanted) {
    try {
      await ensure(client, service, isForeign, c);
    } catch (e) {
      // Another replica was quicker.
      if (!isKind(e, 'AlreadyExists') && !isKind(e, 'Conflict')) throw e;
    }
  }
}

async function ensure(
  client: Client,
  wanted: Wanted,
  isForeign: (spec: Wanted['spec']) => boolean,
  c: Ctx,
): Promise<void> {
  const known = await find(client, wanted.metadata.name, c);
  if (known === undefined) {
    await client.create<APIService>(Kinds.apiservices, wanted, c);
    return;
  }
  if (known.metadata.labels?.[AUTOMANAGED] === undefined) return;
  if (known.spec.service !== undefined && isForeign(wanted.spec)) return;
  if (isSameSpec(known.spec, wanted.spec)) return;
  await client.update<APIService>(Kinds.apiservices, { ...known, spec: wanted.spec }, c);
}

async function find(client: Client, name: string, c: Ctx): Promise<DeepReadonly<APIService> | undefined> {
  try {
    return await client.get<APIService>(Kinds.apiservices, { namespace: '', name }, c);
  } catch (e) {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  }
}

function isSameSpec(a: DeepReadonly<APIService>['spec'], b: Wanted['spec']): boolean {
  return (
    (a.group ?? '') === (b.group ?? '') &&
    a.version === b.version &&
    a.service === undefined &&
    a.groupPriorityMinimum === b.groupPriorityMinimum &&
    a.versionPriority === b.versionPriority
  );
}

/** As Kubernetes gives them: behind everything built in. */
const CUSTOM_PRIORITIES = { groupPriorityMinimum: 1_000, versionPriority: 100 };

/**
 * The APIService of a group version that CustomResourceDefinitions serve: made when it is missing, removed when nothing is
 * served any more. True when the object is not what it was. Source: pkg/controlplane/controller/crdregistration.
 */
export async function keepCustomApiService(
  client: Client,
  o: { name: string; service: DeepReadonly<APIService> | undefined; isServed: boolean },
  c: Ctx,
): Promise<boolean> {
  const { name, service, isServed } = o;
  try {
    if (service === undefined && isServed) {
      const [version = '', ...group] = name.split('.');
      const metadata = { name, labels: { [AUTOMANAGED]: 'true' } };
      const spec = { group: group.join('.'), version, ...CUSTOM_PRIORITIES };
      await client.create<APIService>(Kinds.apiservices, { metadata, spec }, c);
      return true;
    }
    if (service === undefined || isServed || service.metadata.labels?.[AUTOMANAGED] !== 'true') return false;
    const { uid } = service.metadata;
    await client.delete(Kinds.apiservices, { namespace: '', name }, { preconditions: { uid } }, c);
    return true;
  } catch (e) {
    // Another replica was quicker; the next event tells.
    if (!isKind(e, 'AlreadyExists') && !isKind(e, 'NotFound') && !isKind(e, 'Conflict')) throw e;
    return true;
  }
}
