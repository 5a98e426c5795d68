/**
 * The built-in kinds: one row per resource of the stable Kubernetes API, in discovery order, with what discovery, the
 * router and the strategies need. Source: data/kubernetes-resources.json by way of gen/table.ts.
 */
import { assert } from '#lib/base';
import type { CustomBehavior } from './custom-behavior.ts';
import { RESOURCES_JSON } from './gen/table.ts';
import { apiVersionOf, type KindRef, type KubeObject } from './object.ts';
import { isStructType, type TypeName, typeOf } from './type-table.ts';

export interface Subresource {
  readonly name: string;
  readonly kind: string;
  /** Group and version of `kind`: the parent's, except for scale, eviction and token. */
  readonly group: string;
  readonly version: string;
  readonly verbs: readonly string[];
}

export interface KindInfo<T extends KubeObject = KubeObject> extends KindRef<T> {
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
  readonly subresources: readonly Subresource[];
  readonly schema: TypeName;
  /** There is a status subresource, so that the main endpoint ignores status. */
  readonly hasStatus: boolean;
  /** metadata.generation is kept: 1 at creation, one more with every change of spec. */
  readonly hasGeneration: boolean;
  /** Of a kind that a CustomResourceDefinition made: what the field table and the per-kind code are for built-in kinds. */
  readonly custom?: CustomBehavior;
}

interface ResourceRow {
  group: string;
  version: string;
  resource: string;
  kind: string;
  scope: string;
  singular: string;
  shortNames: string[];
  categories: string[];
  verbs: string[];
  subresources: { name: string; kind: string; group: string; version: string; verbs: string[] }[];
}

/** Kinds whose strategy sets metadata.generation (those that have a `generation` line in pkg/registry/.../strategy.go). */
const WITH_GENERATION = new Set(
  (
    'pods replicationcontrollers endpointslices.discovery.k8s.io deployments.apps replicasets.apps statefulsets.apps daemonsets.apps ' +
    'cronjobs.batch jobs.batch ingresses.networking.k8s.io ingressclasses.networking.k8s.io ' +
    'networkpolicies.networking.k8s.io poddisruptionbudgets.policy flowschemas.flowcontrol.apiserver.k8s.io ' +
    'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io customresourcedefinitions.apiextensions.k8s.io ' +
    'validatingadmissionpolicies.admissionregistration.k8s.io validatingadmissionpolicybindings.admissionregistration.k8s.io ' +
    'mutatingadmissionpolicies.admissionregistration.k8s.io mutatingadmissionpolicybindings.admissionregistration.k8s.io ' +
    'validatingwebhookconfigurations.admissionregistration.k8s.io mutatingwebhookconfigurations.admissionregistration.k8s.io ' +
    'resourceslices.resource.k8s.io deviceclasses.resource.k8s.io priorityclasses.scheduling.k8s.io csidrivers.storage.k8s.io'
  ).split(' '),
);

interface Registry {
  readonly kinds: readonly KindInfo[];
  readonly byResource: ReadonlyMap<string, KindInfo>;
  readonly byGvk: ReadonlyMap<string, KindInfo>;
}

/** A memo of constants. */
const LOADED: { registry?: Registry } = {};

/** Every resource of data/kubernetes-resources.json, in discovery order. */
export function allKinds(): readonly KindInfo[] {
  return load().kinds;
}

export function kindByResource(group: string, version: string, resource: string): KindInfo | undefined {
  return load().byResource.get(`${group}/${version}/${resource}`);
}

/** `apiVersion` as objects have it: `v1`, `apps/v1`. */
export function kindByGvk(apiVersion: string, kind: string): KindInfo | undefined {
  return load().byGvk.get(`${apiVersion}/${kind}`);
}

/** The full row of a KindRef; a custom kind is known by its row only, any other that is not built in is a programmer error. */
export function kindInfo(kind: KindRef): KindInfo {
  if (isCustom(kind)) return kind;
  const info = kindByGvk(apiVersionOf(kind), kind.kind);
  assert(info !== undefined, `${apiVersionOf(kind)} ${kind.kind} is not a built-in kind`);
  return info;
}

function isCustom(kind: KindRef): kind is KindInfo {
  return 'custom' in kind && kind.custom !== undefined;
}

/**
 * The type that a body of that apiVersion and kind has: a resource, a list of one, an options type, Scale, Eviction, ...
 * The group's own package first, then meta/v1 (DeleteOptions arrives as `v1` or as any group version).
 */
export function schemaOf(apiVersion: string, kind: string): TypeName | undefined {
  const slash = apiVersion.indexOf('/');
  const group = slash < 0 ? 'core' : (apiVersion.slice(0, slash).split('.')[0] ?? '');
  const version = apiVersion.slice(slash + 1);
  for (const name of [`${group}/${version}.${kind}`, `meta/v1.${kind}`]) if (isStructType(name)) return name;
  return undefined;
}

function load(): Registry {
  LOADED.registry ??= build();
  return LOADED.registry;
}

function build(): Registry {
  const kinds = (JSON.parse(RESOURCES_JSON) as ResourceRow[]).map(kindOfRow);
  return {
    kinds,
    byResource: new Map(kinds.map((k) => [`${k.group}/${k.version}/${k.resource}`, k])),
    byGvk: new Map(kinds.map((k) => [`${apiVersionOf(k)}/${k.kind}`, k])),
  };
}

function kindOfRow(r: ResourceRow): KindInfo {
  const schema = schemaOf(apiVersionOf(r), r.kind);
  assert(schema !== undefined, `no type for ${r.group}/${r.version} ${r.kind}`);
  return {
    group: r.group,
    version: r.version,
    kind: r.kind,
    resource: r.resource,
    namespaced: r.scope === 'Namespaced',
    singular: r.singular,
    shortNames: r.shortNames,
    categories: r.categories,
    verbs: r.verbs,
    subresources: r.subresources.map((s) => (s.version === '' ? { ...s, group: r.group, version: r.version } : s)),
    schema,
    hasStatus: r.subresources.some((s) => s.name === 'status') && typeOf(schema).byName.has('status'),
    hasGeneration: WITH_GENERATION.has(r.group === '' ? r.resource : `${r.resource}.${r.group}`),
  };
}
