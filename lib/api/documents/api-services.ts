/**
 * Which group versions are served where, and in which order discovery names them. Every group version has an APIService:
 * those served by this server are made by it (label `kube-aggregator.kubernetes.io/automanaged`), those with a `service` are
 * served behind it. Groups go by their highest groupPriorityMinimum, versions by versionPriority, both falling; then names.
 * Source: k8s.io/kube-aggregator/pkg/apis/apiregistration/helpers.go; pkg/controlplane/apiserver/aggregator.go (priorities).
 */
import { isObject } from '../patch/value.ts';
import {
  type AggregatedDocument,
  type AggregatedGroup,
  type AggregatedVersion,
  aggregatedDocument,
  type Discovery,
} from './discovery.ts';

export interface ApiServiceRank {
  readonly group: string;
  readonly version: string;
  readonly groupPriorityMinimum: number;
  readonly versionPriority: number;
}

/** A group version served elsewhere. `resources` undefined = never heard from: in discovery, stale and empty. */
export interface RemoteGroupVersion extends ApiServiceRank {
  readonly resources: readonly object[] | undefined;
  readonly isFresh: boolean;
}

const GROUP_PRIORITIES: Readonly<Record<string, number>> = {
  '': 18_000,
  apps: 17_800,
  'events.k8s.io': 17_750,
  'authentication.k8s.io': 17_700,
  'authorization.k8s.io': 17_600,
  autoscaling: 17_500,
  batch: 17_400,
  'certificates.k8s.io': 17_300,
  'networking.k8s.io': 17_200,
  policy: 17_100,
  'rbac.authorization.k8s.io': 17_000,
  'storage.k8s.io': 16_800,
  'apiextensions.k8s.io': 16_700,
  'admissionregistration.k8s.io': 16_700,
  'scheduling.k8s.io': 16_600,
  'coordination.k8s.io': 16_500,
  'node.k8s.io': 16_300,
  'discovery.k8s.io': 16_200,
  'resource.k8s.io': 16_200,
  'flowcontrol.apiserver.k8s.io': 16_100,
  /** As metrics-server's own APIService says. */
  'metrics.k8s.io': 100,
};
const VERSION_PRIORITIES: Readonly<Record<string, number>> = {
  '/v1': 1,
  'autoscaling/v2': 30,
  'flowcontrol.apiserver.k8s.io/v1': 21,
  'metrics.k8s.io/v1beta1': 100,
};
const VERSION_PRIORITY = 15;
/** The registration API itself has no APIService: the aggregator serves it, first of all named groups. */
export const REGISTRATION_GROUP = 'apiregistration.k8s.io';

/** The rank of a group version that this server serves; undefined for one that has none (a CRD's, the registration API). */
export function builtInRank(group: string, version: string): ApiServiceRank | undefined {
  const groupPriorityMinimum = Object.hasOwn(GROUP_PRIORITIES, group) ? GROUP_PRIORITIES[group] : undefined;
  if (groupPriorityMinimum === undefined) return undefined;
  const versionPriority = VERSION_PRIORITIES[`${group}/${version}`] ?? VERSION_PRIORITY;
  return { group, version, groupPriorityMinimum, versionPriority };
}

/** `v1beta1.metrics.k8s.io`, `v1.` for the core group. */
export function apiServiceName(group: string, version: string): string {
  return `${version}.${group}`;
}

/**
 * Discovery of a server that has others behind it: `local` with the remote group versions among it. `ranks`: the APIServices
 * of local group versions, where they say other than the built-in ranks.
 */
export function aggregateDiscovery(
  local: Discovery,
  remotes: readonly RemoteGroupVersion[],
  ranks: readonly ApiServiceRank[] = [],
): Discovery {
  const known = new Map(ranks.map((r) => [apiServiceName(r.group, r.version), r]));
  const rankOf = (group: string, version: string): ApiServiceRank =>
    known.get(apiServiceName(group, version)) ??
    builtInRank(group, version) ?? { group, version, groupPriorityMinimum: 1_000, versionPriority: 100 };
  const merged = mergedGroups(local, remotes, rankOf);
  const memo = new Map<string, AggregatedDocument>();
  return {
    apiVersions: (serverAddress) => local.apiVersions(serverAddress),
    apiGroupList: () => ({ kind: 'APIGroupList', apiVersion: 'v1', groups: merged.map(legacyGroup) }),
    apiGroup: (name) => {
      const group = merged.find((g) => g.name === name);
      return group && { kind: 'APIGroup', apiVersion: 'v1', ...legacyGroup(group) };
    },
    apiResourceList: (group, version) => local.apiResourceList(group, version),
    aggregated: (root, version) => {
      if (root === 'api') return local.aggregated(root, version);
      const made = memo.get(version) ?? aggregatedDocument(merged.map(aggregatedGroup), version);
      memo.set(version, made);
      return made;
    },
  };
}

interface MergedGroup {
  readonly name: string;
  readonly priority: number;
  readonly versions: (AggregatedVersion & { readonly rank: number })[];
}

function mergedGroups(
  local: Discovery,
  remotes: readonly RemoteGroupVersion[],
  rankOf: (group: string, version: string) => ApiServiceRank,
): readonly MergedGroup[] {
  const groups = new Map<string, { priority: number; versions: MergedGroup['versions'] }>();
  const add = (r: ApiServiceRank, version: AggregatedVersion): void => {
    const group = groups.get(r.group) ?? { priority: 0, versions: [] };
    groups.set(r.group, group);
    const rank = r.versionPriority;
    group.priority = Math.max(group.priority, r.group === REGISTRATION_GROUP ? Infinity : r.groupPriorityMinimum);
    group.versions.push({ ...version, rank });
  };
  const taken = new Set(remotes.map((r) => apiServiceName(r.group, r.version)));
  for (const { metadata, versions } of local.aggregated('apis', 'v2').body.items) {
    const group = metadata.name ?? '';
    for (const v of versions) if (!taken.has(apiServiceName(group, v.version))) add(rankOf(group, v.version), v);
  }
  for (const r of remotes)
    add(r, { version: r.version, resources: r.resources ?? [], freshness: r.isFresh ? 'Current' : 'Stale' });
  const list = [...groups].map(([name, g]) => ({
    name,
    priority: g.priority,
    versions: g.versions.sort((a, b) => b.rank - a.rank || compareVersions(a.version, b.version)),
  }));
  return list.sort((a, b) =>
    a.priority === b.priority ? (a.name < b.name ? -1 : 1) : b.priority > a.priority ? 1 : -1,
  );
}

function aggregatedGroup(g: MergedGroup): AggregatedGroup {
  return {
    metadata: { name: g.name, creationTimestamp: null },
    versions: g.versions.map(({ version, resources, freshness }) => ({ version, resources, freshness })),
  };
}

function legacyGroup(g: MergedGroup): object {
  const versions = g.versions.map((v) => ({ groupVersion: `${g.name}/${v.version}`, version: v.version }));
  return { name: g.name, versions, preferredVersion: versions[0] };
}

/**
 * Orders versions from the best: v10, v2, v1, v11beta2, v10beta3, v3beta1, v12alpha1, foo10. Negative when `a` comes first.
 * Source: k8s.io/apimachinery/pkg/version/helpers.go.
 */
export function compareVersions(a: string, b: string): number {
  const x = versionParts(a);
  const y = versionParts(b);
  if (x === undefined || y === undefined) {
    if (x !== undefined) return -1;
    if (y !== undefined) return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  return y.stage - x.stage || y.major - x.major || y.minor - x.minor;
}

const STAGES: Readonly<Record<string, number>> = { alpha: 0, beta: 1 };

function versionParts(text: string): { stage: number; major: number; minor: number } | undefined {
  const match = /^v([1-9]\d{0,8})(?:(alpha|beta)([1-9]\d{0,8}))?$/.exec(text);
  if (match === null) return undefined;
  const [, major, stage, minor] = match;
  return { stage: stage === undefined ? 2 : (STAGES[stage] ?? 0), major: Number(major), minor: Number(minor ?? 0) };
}

/**
 * The resources of a legacy APIResourceList in the aggregated form, subresources below their resource; undefined for what is
 * no such list. Source: k8s.io/apiserver/pkg/endpoints/discovery/aggregated (ConvertGroupVersionIntoToDiscovery).
 */
export function resourcesOfList(
  list: unknown,
  gv: { readonly group: string; readonly version: string },
): readonly object[] | undefined {
  if (!isObject(list) || !Array.isArray(list['resources'])) return undefined;
  const found = new Map<string, { resource: object; subresources: object[] }>();
  const entries = list['resources'].filter(isObject).map((r) => ({ r, name: text(r['name']) }));
  for (const { r, name } of entries) {
    if (name === '' || name.includes('/')) continue;
    const resource = {
      resource: name,
      responseKind: responseKind(r, gv),
      scope: r['namespaced'] === true ? 'Namespaced' : 'Cluster',
      singularResource: text(r['singularName']),
      verbs: texts(r['verbs']),
      ...listed('shortNames', texts(r['shortNames'])),
      ...listed('categories', texts(r['categories'])),
    };
    found.set(name, { resource, subresources: [] });
  }
  for (const { r, name } of entries) {
    const slash = name.indexOf('/');
    const subresource = name.slice(slash + 1);
    if (slash > 0)
      found
        .get(name.slice(0, slash))
        ?.subresources.push({ subresource, responseKind: responseKind(r, gv), verbs: texts(r['verbs']) });
  }
  return [...found.values()].map(({ resource, subresources }) => ({
    ...resource,
    ...listed('subresources', subresources),
  }));
}

function responseKind(r: Record<string, unknown>, gv: { readonly group: string; readonly version: string }): object {
  const isForeign = text(r['version']) !== '';
  return {
    group: isForeign ? text(r['group']) : gv.group,
    version: isForeign ? text(r['version']) : gv.version,
    kind: text(r['kind']),
  };
}

function listed(name: string, values: readonly unknown[]): object {
  return values.length === 0 ? {} : { [name]: values };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((v) => typeof v === 'string') : [];
}
