/**
 * What must change in a stored role or binding so that it grants at least what the default says. Pure. A role keeps what
 * an operator added; with the annotation `autoupdate: "false"` it is left alone altogether.
 * Source: pkg/registry/rbac/reconciliation/{reconcile_role,reconcile_rolebindings}.go.
 */
import type {
  AggregationRule,
  ClusterRole,
  ClusterRoleBinding,
  DeepReadonly,
  KubeObject,
  LabelSelector,
  Subject,
} from '#lib/api';
import { covers } from '../authz/rbac/rule-cover.ts';
import type { Rule } from '../authz/rbac/rule-matching.ts';
import { isEqual } from '../storage.ts';

export const AUTO_UPDATE = 'rbac.authorization.kubernetes.io/autoupdate';
const LABELS = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
const ANNOTATIONS = { [AUTO_UPDATE]: 'true' };

/** A row of the generated table. */
export interface DefaultRole {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly rules?: readonly Rule[];
  readonly aggregationRule?: DeepReadonly<AggregationRule>;
}

export interface DefaultBinding {
  readonly name: string;
  readonly namespace?: string;
  readonly roleRef: { readonly apiGroup: string; readonly kind: string; readonly name: string };
  readonly subjects?: readonly DeepReadonly<Subject>[];
}

export interface RbacDefaults {
  readonly clusterRoles: readonly DefaultRole[];
  readonly clusterRoleBindings: readonly DefaultBinding[];
  readonly roles: readonly DefaultRole[];
  readonly roleBindings: readonly DefaultBinding[];
}

type NewRole = Omit<ClusterRole, 'apiVersion' | 'kind'>;
type NewBinding = Omit<ClusterRoleBinding, 'apiVersion' | 'kind'>;

export function newRole(d: DefaultRole): NewRole {
  const { aggregationRule } = d;
  return {
    metadata: newMetadata(d),
    rules: (d.rules ?? []).map(ruleCopy),
    ...(aggregationRule === undefined ? {} : { aggregationRule: structuredClone(aggregationRule) as AggregationRule }),
  };
}

export function newBinding(d: DefaultBinding): NewBinding {
  const subjects = (d.subjects ?? []).map((s) => ({ ...s }));
  return { metadata: newMetadata(d), ...(subjects.length === 0 ? {} : { subjects }), roleRef: { ...d.roleRef } };
}

/** undefined = nothing to change. */
export function reconciledRole(
  stored: DeepReadonly<ClusterRole>,
  wanted: DefaultRole,
): DeepReadonly<ClusterRole> | undefined {
  if (isProtected(stored)) return undefined;
  const missing = covers(stored.rules ?? [], wanted.rules ?? []).missing;
  const next = {
    ...stored,
    metadata: mergedMetadata(stored.metadata, wanted.labels),
    rules: missing.length === 0 ? stored.rules : [...(stored.rules ?? []), ...missing.map(ruleCopy)],
  };
  const { aggregationRule: known, ...plain } = next;
  const aggregationRule = reconciledAggregation(known, wanted.aggregationRule);
  const whole = aggregationRule === undefined ? plain : { ...plain, aggregationRule };
  return isEqual(whole, stored) ? undefined : whole;
}

export type BindingChange =
  | { readonly action: 'update'; readonly binding: DeepReadonly<ClusterRoleBinding> }
  /** The role of a binding cannot be changed: it is removed and made anew. */
  | { readonly action: 'recreate' };

export function reconciledBinding(
  stored: DeepReadonly<ClusterRoleBinding>,
  wanted: DefaultBinding,
): BindingChange | undefined {
  if (isProtected(stored)) return undefined;
  if (!isEqual({ ...stored.roleRef }, { ...wanted.roleRef })) return { action: 'recreate' };
  const known = stored.subjects ?? [];
  const missing = (wanted.subjects ?? []).filter((s) => !known.some((k) => isSameSubject(k, s)));
  const binding = {
    ...stored,
    metadata: mergedMetadata(stored.metadata, undefined),
    ...(missing.length === 0 ? {} : { subjects: [...known, ...missing] }),
  };
  return isEqual(binding, stored) ? undefined : { action: 'update', binding };
}

function isProtected(o: DeepReadonly<KubeObject>): boolean {
  return o.metadata.annotations?.[AUTO_UPDATE] === 'false';
}

/** Selectors that are missing are added; a role that is not to be aggregated stops to be. */
function reconciledAggregation(
  stored: DeepReadonly<AggregationRule> | undefined,
  wanted: DeepReadonly<AggregationRule> | undefined,
): DeepReadonly<AggregationRule> | undefined {
  if (wanted === undefined) return undefined;
  const known: readonly DeepReadonly<LabelSelector>[] = stored?.clusterRoleSelectors ?? [];
  const missing = (wanted.clusterRoleSelectors ?? []).filter((s) => !known.some((k) => isEqual(k, s)));
  return missing.length === 0 && stored !== undefined ? stored : { clusterRoleSelectors: [...known, ...missing] };
}

function newMetadata(d: DefaultRole | DefaultBinding): ClusterRole['metadata'] {
  const labels = { ...LABELS, ...('labels' in d ? d.labels : {}) };
  const { name, namespace } = d;
  return { name, ...(namespace === undefined ? {} : { namespace }), labels, annotations: { ...ANNOTATIONS } };
}

/** What is stored wins over the default. */
function mergedMetadata(
  stored: DeepReadonly<ClusterRole['metadata']>,
  labels: Readonly<Record<string, string>> | undefined,
): DeepReadonly<ClusterRole['metadata']> {
  return {
    ...stored,
    labels: { ...LABELS, ...labels, ...stored.labels },
    annotations: { ...ANNOTATIONS, ...stored.annotations },
  };
}

/** `apiGroup` says nothing beyond the kind, once defaulted. */
function isSameSubject(a: DeepReadonly<Subject>, b: DeepReadonly<Subject>): boolean {
  return a.kind === b.kind && a.name === b.name && (a.namespace ?? '') === (b.namespace ?? '');
}

function ruleCopy(rule: Rule): ClusterRole['rules'][number] {
  const { verbs, apiGroups, resources, resourceNames, nonResourceURLs } = rule;
  return {
    verbs: [...(verbs ?? [])],
    ...(apiGroups === undefined ? {} : { apiGroups: [...apiGroups] }),
    ...(resources === undefined ? {} : { resources: [...resources] }),
    ...(resourceNames === undefined ? {} : { resourceNames: [...resourceNames] }),
    ...(nonResourceURLs === undefined ? {} : { nonResourceURLs: [...nonResourceURLs] }),
  };
}
