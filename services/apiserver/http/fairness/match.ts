/**
 * Which flow schema a request belongs to, and which of its flows. Pure.
 * Source: k8s.io/apiserver/pkg/util/flowcontrol/rule.go; flowcontrol/v1 FlowSchemaSpec.
 */
import type { DeepReadonly, FlowSchema, PolicyRulesWithSubjects, ResourcePolicyRule } from '#lib/api';
import type { UserInfo } from '#lib/client';

export type FlowRequest =
  | {
      readonly type: 'resource';
      readonly user: UserInfo;
      readonly verb: string;
      readonly group: string;
      readonly resource: string;
      readonly subresource: string;
      /** '' for cluster scope and for all namespaces; its own name for a namespace. */
      readonly namespace: string;
    }
  | { readonly type: 'path'; readonly user: UserInfo; readonly verb: string; readonly path: string };

type Schema = DeepReadonly<FlowSchema>;
type Rules = DeepReadonly<PolicyRulesWithSubjects>;
type Subject = Rules['subjects'][number];

const ACCOUNT_PREFIX = 'system:serviceaccount:';

/** The order in which they are asked: the least matchingPrecedence first, then by name. */
export function byPrecedence(a: Schema, b: Schema): number {
  const order = a.spec.matchingPrecedence - b.spec.matchingPrecedence;
  if (order !== 0) return order;
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

/** The first of `sorted` that one of its rules gives the request. */
export function matchingSchema(sorted: readonly Schema[], request: FlowRequest): Schema | undefined {
  return sorted.find((schema) => schema.spec.rules?.some((rules) => matchesRules(rules, request)) === true);
}

/** What tells the flows of one schema apart: '' when it has only one. */
export function distinguisherOf(schema: Schema, request: FlowRequest): string {
  switch (schema.spec.distinguisherMethod?.type) {
    case 'ByUser':
      return request.user.name;
    case 'ByNamespace':
      return request.type === 'resource' ? request.namespace : '';
    default:
      return '';
  }
}

function matchesRules(rules: Rules, request: FlowRequest): boolean {
  if (!rules.subjects.some((subject) => matchesSubject(subject, request.user))) return false;
  if (request.type === 'resource') return rules.resourceRules?.some((r) => matchesResource(r, request)) === true;
  const { verb, path } = request;
  return rules.nonResourceRules?.some((r) => isIn(verb, r.verbs) && matchesPath(r.nonResourceURLs, path)) === true;
}

function matchesSubject(subject: Subject, user: UserInfo): boolean {
  switch (subject.kind) {
    case 'User':
      return subject.user !== undefined && isIn(user.name, [subject.user.name]);
    case 'Group':
      return subject.group !== undefined && (subject.group.name === '*' || user.groups.includes(subject.group.name));
    case 'ServiceAccount': {
      if (subject.serviceAccount === undefined) return false;
      const { namespace, name } = subject.serviceAccount;
      const all = `${ACCOUNT_PREFIX}${namespace}:`;
      return name === '*' ? user.name.startsWith(all) : user.name === `${all}${name}`;
    }
    default:
      return false;
  }
}

function matchesResource(
  rule: DeepReadonly<ResourcePolicyRule>,
  request: Extract<FlowRequest, { type: 'resource' }>,
): boolean {
  const { verb, group, resource, subresource, namespace } = request;
  if (!isIn(verb, rule.verbs) || !isIn(group, rule.apiGroups)) return false;
  if (!isIn(subresource === '' ? resource : `${resource}/${subresource}`, rule.resources)) return false;
  if (namespace === '') return rule.clusterScope === true;
  return isIn(namespace, rule.namespaces ?? []);
}

/** A path itself and what is below it; `/healthz/*` and `/healthz/` say the same. */
function matchesPath(urls: readonly string[], path: string): boolean {
  return urls.some((url) => {
    if (url === '*' || url === path) return true;
    const prefix = url.endsWith('*') ? url.slice(0, -1) : url;
    return path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);
  });
}

/** `*` is a wildcard only alone. */
function isIn(value: string, list: readonly string[]): boolean {
  return (list.length === 1 && list[0] === '*') || list.includes(value);
}
