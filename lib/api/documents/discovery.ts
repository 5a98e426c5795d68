/**
 * Discovery: which groups, versions and resources there are, in the legacy form (/api, /apis, lists per group version)
 * and the aggregated one (APIGroupDiscoveryList, v2 and v2beta1) that client-go asks for first.
 *
 * Invariants: the order of `kinds` is the order of the answer (kubectl resolves short names by it), and the first version of
 * a group is its preferred one; a document is made once per list of kinds, so a changed list (a new CRD) means a new
 * Discovery; equal content has an equal ETag.
 * Source: k8s.io/apiserver/pkg/endpoints/discovery; k8s.io/api/apidiscovery/v2.
 */
import { createHash } from 'node:crypto';
import type { APIGroup, APIResource, APIResourceList } from '../gen/types/meta-v1.ts';
import { apiVersionOf } from '../object.ts';
import type { KindInfo, Subresource } from '../registry.ts';

export interface Discovery {
  /** /api; `serverAddress` is host:port as the client reached it. */
  apiVersions(serverAddress: string): object;
  /** /apis */
  apiGroupList(): object;
  /** /apis/{group}; undefined if there is no such group. */
  apiGroup(group: string): object | undefined;
  /** /api/v1 ('' is the core group) and /apis/{group}/{version} */
  apiResourceList(group: string, version: string): object | undefined;
  /** For Accept ...;as=APIGroupDiscoveryList. `etag` is quoted, ready for the header. */
  aggregated(root: 'api' | 'apis', version: 'v2' | 'v2beta1'): AggregatedDocument;
}

export interface AggregatedDocument {
  readonly body: AggregatedBody;
  readonly etag: string;
}

/** APIGroupDiscoveryList */
export interface AggregatedBody {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: object;
  readonly items: readonly AggregatedGroup[];
}

export interface AggregatedGroup {
  readonly metadata: { readonly name?: string; readonly creationTimestamp: null };
  readonly versions: readonly AggregatedVersion[];
}

export interface AggregatedVersion {
  readonly version: string;
  readonly resources: readonly object[];
  readonly freshness: 'Current' | 'Stale';
}

export function discoveryOf(kinds: readonly KindInfo[]): Discovery {
  const groups = groupsOf(kinds);
  const memo = new Map<string, AggregatedDocument>();
  return {
    apiVersions: (serverAddress) => ({
      kind: 'APIVersions',
      versions: (groups.get('') ?? []).map((v) => v.version),
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
    }),
    apiGroupList: () => ({
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: [...groups].filter(([name]) => name !== '').map(([name, versions]) => legacyGroup(name, versions)),
    }),
    apiGroup: (name) => {
      const versions = name === '' ? undefined : groups.get(name);
      return versions && { kind: 'APIGroup', apiVersion: 'v1', ...legacyGroup(name, versions) };
    },
    apiResourceList: (group, version) => {
      const found = groups.get(group)?.find((v) => v.version === version);
      return found && resourceList(found);
    },
    aggregated: (root, version) => {
      const key = `${root}/${version}`;
      const made = memo.get(key) ?? aggregatedOf(groups, root, version);
      memo.set(key, made);
      return made;
    },
  };
}

interface VersionOfGroup {
  readonly group: string;
  readonly version: string;
  readonly kinds: readonly KindInfo[];
}

/** Group → versions → kinds, all in the order given. */
function groupsOf(kinds: readonly KindInfo[]): ReadonlyMap<string, readonly VersionOfGroup[]> {
  const groups = new Map<string, { group: string; version: string; kinds: KindInfo[] }[]>();
  for (const kind of kinds) {
    const versions = groups.get(kind.group) ?? [];
    groups.set(kind.group, versions);
    const version = versions.find((v) => v.version === kind.version);
    if (version) version.kinds.push(kind);
    else versions.push({ group: kind.group, version: kind.version, kinds: [kind] });
  }
  return groups;
}

function legacyGroup(name: string, versions: readonly VersionOfGroup[]): Omit<APIGroup, 'kind' | 'apiVersion'> {
  const list = versions.map((v) => ({ groupVersion: apiVersionOf(v), version: v.version }));
  return { name, versions: list, preferredVersion: list[0] };
}

function resourceList(v: VersionOfGroup): APIResourceList {
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf(v),
    resources: v.kinds.flatMap(resourceEntries).sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

function resourceEntries(kind: KindInfo): APIResource[] {
  const main: APIResource = {
    name: kind.resource,
    singularName: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs: [...kind.verbs],
    ...(kind.shortNames.length > 0 ? { shortNames: [...kind.shortNames] } : {}),
    ...(kind.categories.length > 0 ? { categories: [...kind.categories] } : {}),
    ...(kind.verbs.includes('list') ? { storageVersionHash: storageVersionHash(kind) } : {}),
  };
  const subresources = kind.subresources.map((s) => ({
    name: `${kind.resource}/${s.name}`,
    singularName: '',
    namespaced: kind.namespaced,
    ...(isForeign(kind, s) ? { group: s.group, version: s.version } : {}),
    kind: s.kind,
    verbs: [...s.verbs],
  }));
  return [main, ...subresources];
}

function isForeign(kind: KindInfo, s: Subresource): boolean {
  return s.version !== '' && (s.group !== kind.group || s.version !== kind.version);
}

/** Opaque to clients: changes when the stored version changes. First 8 bytes of a digest in base64, as upstream. */
function storageVersionHash(kind: KindInfo): string {
  return createHash('sha256')
    .update(`${kind.group}/${kind.version}/${kind.kind}`)
    .digest()
    .subarray(0, 8)
    .toString('base64');
}

function aggregatedOf(
  groups: ReadonlyMap<string, readonly VersionOfGroup[]>,
  root: 'api' | 'apis',
  version: 'v2' | 'v2beta1',
): AggregatedDocument {
  const items: AggregatedGroup[] = [...groups]
    .filter(([name]) => (name === '') === (root === 'api'))
    .map(([name, versions]) => ({
      metadata: { ...(name === '' ? {} : { name }), creationTimestamp: null },
      versions: versions.map((v) => ({
        version: v.version,
        resources: v.kinds.toSorted((a, b) => (a.resource < b.resource ? -1 : 1)).map(aggregatedResource),
        freshness: 'Current' as const,
      })),
    }));
  return aggregatedDocument(items, version);
}

export function aggregatedDocument(items: readonly AggregatedGroup[], version: 'v2' | 'v2beta1'): AggregatedDocument {
  const body = {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items,
  };
  return { body, etag: `"${createHash('sha512').update(JSON.stringify(body)).digest('hex').toUpperCase()}"` };
}

function aggregatedResource(kind: KindInfo): object {
  return {
    resource: kind.resource,
    responseKind: { group: kind.group, version: kind.version, kind: kind.kind },
    scope: kind.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: kind.singular,
    verbs: kind.verbs,
    ...(kind.shortNames.length > 0 ? { shortNames: kind.shortNames } : {}),
    ...(kind.categories.length > 0 ? { categories: kind.categories } : {}),
    ...(kind.subresources.length > 0
      ? {
          subresources: kind.subresources.map((s) => ({
            subresource: s.name,
            responseKind: isForeign(kind, s)
              ? { group: s.group, version: s.version, kind: s.kind }
              : { group: kind.group, version: kind.version, kind: s.kind },
            verbs: s.verbs,
          })),
        }
      : {}),
  };
}
