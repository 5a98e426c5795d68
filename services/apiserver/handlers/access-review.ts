/**
 * Reviews of what somebody may do: SubjectAccessReview, LocalSubjectAccessReview, SelfSubjectAccessReview,
 * SelfSubjectRulesReview. Asked, never stored. Source: kubernetes pkg/registry/authorization.
 */
import {
  apiVersionOf,
  type DeepReadonly,
  type FieldRequirement,
  fieldRequirements,
  type KubeObject,
  type ResourceAttributes,
} from '#lib/api';
import { isKind } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { badRequest } from '../api-errors.ts';
import type { Attributes } from '../authz/authorizer.ts';
import { aggregateText } from '../authz/rbac/rbac.ts';
import type { Rule } from '../authz/rbac/rule-matching.ts';
import type { Core, CoreResult } from '../core.ts';
import { decodeBody } from '../write/decode-body.ts';
import { checkReview, type ReviewSpec } from './access-review-validation.ts';
import type { BodyRequest } from './subresources.ts';

type Review = KubeObject & { spec?: ReviewSpec };

/** About the user that the spec names. */
export async function accessReview(core: Core, request: BodyRequest): Promise<CoreResult> {
  const review = reviewOf(request);
  const spec = review.spec ?? {};
  checkReview(request.info, review, spec, { self: false });
  const user = { name: spec.user ?? '', groups: spec.groups ?? [], uid: spec.uid, extra: spec.extra };
  return await decided(core, request, review, spec, user);
}

/** About the caller. */
export async function selfAccessReview(core: Core, request: BodyRequest): Promise<CoreResult> {
  const review = reviewOf(request);
  const spec = review.spec ?? {};
  checkReview(request.info, review, spec, { self: true });
  return await decided(core, request, review, spec, request.user);
}

export async function rulesReview(core: Core, request: BodyRequest): Promise<CoreResult> {
  const review: KubeObject & { spec?: { namespace?: string } } = decodeBody(
    request.body,
    request,
    request.options.fieldValidation,
  );
  const namespace = review.spec?.namespace ?? '';
  if (namespace === '') throw badRequest('no namespace on request');
  const found = core.authorizer.rulesFor?.(request.user, namespace) ?? { rules: [], isIncomplete: true, errors: [] };
  const status = {
    resourceRules: found.rules.filter((r) => (r.resources ?? []).length > 0).map(resourceRule),
    nonResourceRules: found.rules.filter((r) => (r.nonResourceURLs ?? []).length > 0).map(pathRule),
    incomplete: found.isIncomplete,
    ...(found.errors.length === 0 ? {} : { evaluationError: aggregateText(found.errors) }),
  };
  return answer({ kind: request.info.kind, apiVersion: apiVersionOf(request.info), metadata: {}, spec: {}, status });
}

export function answer(object: object): CoreResult {
  return { type: 'object', object: object as KubeObject, created: true };
}

function reviewOf(request: BodyRequest): Review {
  return decodeBody(request.body, request, request.options.fieldValidation);
}

async function decided(
  core: Core,
  request: BodyRequest,
  review: Review,
  spec: ReviewSpec,
  user: UserInfo,
): Promise<CoreResult> {
  const decision = await core.authorizer.authorize(attributesOf(spec, user));
  const status = { allowed: decision.isAllowed, ...(decision.reason === '' ? {} : { reason: decision.reason }) };
  const { kind } = request.info;
  return answer({ kind, apiVersion: apiVersionOf(request.info), metadata: review.metadata, spec, status });
}

function attributesOf(spec: ReviewSpec, user: UserInfo): Attributes {
  const { resourceAttributes: r, nonResourceAttributes: path } = spec;
  if (r === undefined) return { type: 'path', user, verb: path?.verb ?? '', path: path?.path ?? '' };
  return {
    type: 'resource',
    user,
    verb: r.verb ?? '',
    group: r.group ?? '',
    version: r.version || '*',
    resource: r.resource ?? '',
    subresource: r.subresource ?? '',
    namespace: r.namespace ?? '',
    name: r.name ?? '',
    fieldSelector: fieldSelectorOf(r.fieldSelector),
  };
}

/** What is not understood is left out: then the request counts as wider, never as narrower. */
function fieldSelectorOf(
  selector: DeepReadonly<ResourceAttributes>['fieldSelector'],
): readonly FieldRequirement[] | undefined {
  if (selector === undefined) return undefined;
  if (selector.rawSelector) {
    try {
      return fieldRequirements(selector.rawSelector);
    } catch (e) {
      if (isKind(e, 'BadRequest')) return undefined;
      throw e;
    }
  }
  return (selector.requirements ?? []).flatMap(({ key, operator, values = [] }) => {
    const [value] = values;
    if (value === undefined || values.length !== 1) return [];
    if (operator !== 'In' && operator !== 'NotIn') return [];
    return [{ path: key, op: operator === 'In' ? '=' : '!=', value } as const];
  });
}

function resourceRule(rule: Rule): object {
  const { verbs = [], apiGroups = [], resources = [], resourceNames = [] } = rule;
  return { verbs, apiGroups, resources, ...(resourceNames.length === 0 ? {} : { resourceNames }) };
}

function pathRule(rule: Rule): object {
  return { verbs: rule.verbs ?? [], nonResourceURLs: rule.nonResourceURLs ?? [] };
}
