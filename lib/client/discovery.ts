/**
 * Which resources a server has, and which one a person means by `deploy`, `po`, `deployments.apps` or `Deployment`.
 * Source: kubernetes-api.md 3 (aggregated discovery); k8s.io/client-go/restmapper for the order of preference.
 */
import type { KindRef } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type { HttpClient } from './http.ts';

export interface DiscoveredResource extends KindRef {
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
  readonly subresources: readonly string[];
}

export class DiscoveredResources {
  /** In the server's order: the first that fits is the one meant. */
  readonly all: readonly DiscoveredResource[];

  constructor(all: readonly DiscoveredResource[]) {
    this.all = all;
  }

  static async load(client: Pick<HttpClient, 'json'>, c: Ctx): Promise<DiscoveredResources> {
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    const roots = await Promise.all(
      ['/api', '/apis'].map((path) => client.json({ method: 'GET', path, accept }, c) as Promise<GroupList>),
    );
    return new DiscoveredResources(roots.flatMap((r) => resourcesOf(r)));
  }

  /** `pods`, `po`, `Pod`, `deployments.apps`, `deployments.v1.apps`. Throws NotFound in kubectl's words. */
  resolve(text: string): DiscoveredResource {
    const found = this.find(text);
    if (found === undefined) throw new StatusError('NotFound', `the server doesn't have a resource type "${text}"`);
    return found;
  }

  find(text: string): DiscoveredResource | undefined {
    const lower = text.toLowerCase();
    const plain = this.all.find((r) => isCalled(r, lower));
    if (plain !== undefined || !lower.includes('.')) return plain;
    const [name = '', ...rest] = lower.split('.');
    const group = rest.join('.');
    const [version = '', ...inner] = rest;
    return (
      this.all.find((r) => r.group === group && isCalled(r, name)) ??
      this.all.find((r) => r.version === version && r.group === inner.join('.') && isCalled(r, name))
    );
  }

  findKind(apiVersion: string, kind: string): DiscoveredResource | undefined {
    const slash = apiVersion.indexOf('/');
    const group = slash < 0 ? '' : apiVersion.slice(0, slash);
    const version = apiVersion.slice(slash + 1);
    return this.all.find((r) => r.group === group && r.version === version && r.kind === kind);
  }

  /** `all` and other categories; one entry for each group and resource. Empty when there is no such category. */
  category(name: string): DiscoveredResource[] {
    const seen = new Set<string>();
    return this.all.filter((r) => {
      const id = `${r.group}/${r.resource}`;
      if (!r.categories.includes(name) || seen.has(id)) return false;
      seen.add(id);
      return true;
    });
  }
}

interface GroupList {
  readonly items?: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions: readonly { readonly version: string; readonly resources?: readonly WireResource[] }[];
  }[];
}

interface WireResource {
  readonly resource: string;
  readonly responseKind?: { readonly group: string; readonly version: string; readonly kind: string };
  readonly scope: 'Namespaced' | 'Cluster';
  readonly singularResource?: string;
  readonly verbs?: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly subresources?: readonly { readonly subresource: string }[];
}

function resourcesOf(list: GroupList): DiscoveredResource[] {
  return (list.items ?? []).flatMap((group) =>
    group.versions.flatMap((v) =>
      (v.resources ?? []).map((r) => ({
        group: group.metadata?.name ?? '',
        version: v.version,
        kind: r.responseKind?.kind ?? '',
        resource: r.resource,
        namespaced: r.scope === 'Namespaced',
        singular: r.singularResource ?? '',
        shortNames: r.shortNames ?? [],
        categories: r.categories ?? [],
        verbs: r.verbs ?? [],
        subresources: (r.subresources ?? []).map((s) => s.subresource),
      })),
    ),
  );
}

function isCalled(r: DiscoveredResource, lower: string): boolean {
  const isKind = r.kind.toLowerCase() === lower;
  return r.resource === lower || r.singular === lower || r.shortNames.includes(lower) || isKind;
}
