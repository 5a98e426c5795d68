/**
 * Kinds that are asked, not stored: reviews of who one is and what one may do, and POST of a Binding by its collection.
 * Source: pkg/registry/authorization, pkg/registry/authentication.
 */
import { decodeType, type KubeObject } from '#lib/api';
import { type Ctx, timeText } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { badRequest } from '../api-errors.ts';
import type { Attributes, Decision } from '../authz/authorizer.ts';
import type { Core, CoreResult } from '../core.ts';
import { createBinding } from './binding.ts';
import type { BodyRequest } from './subresources.ts';
import { createTokenReview } from './token-review.ts';

interface ReviewSpec {
  resourceAttributes?: {
    namespace?: string;
    verb?: string;
    group?: string;
    version?: string;
    resource?: string;
    subresource?: string;
    name?: string;
  };
  nonResourceAttributes?: { path?: string; verb?: string };
  user?: string;
  groups?: string[];
  uid?: string;
  extra?: Record<string, string[]>;
}

type Handler = (core: Core, request: BodyRequest, c: Ctx) => Promise<CoreResult>;

const HANDLERS: Readonly<Record<string, Handler>> = {
  '/bindings': async (core, request, c) => {
    const pods = core.kinds.of({ group: '', resource: 'pods' }) ?? request.stored;
    const name = (request.body as { metadata?: { name?: string } } | null)?.metadata?.name;
    return await createBinding(core, { ...request, info: pods, stored: pods, name }, c);
  },
  'authorization.k8s.io/selfsubjectaccessreviews': (core, request) => accessReview(core, request, () => request.user),
  'authorization.k8s.io/subjectaccessreviews': (core, request) => accessReview(core, request, userOfSpec),
  'authorization.k8s.io/localsubjectaccessreviews': (core, request) => accessReview(core, request, userOfSpec),
  'authorization.k8s.io/selfsubjectrulesreviews': rulesReview,
  'authentication.k8s.io/tokenreviews': createTokenReview,
  'authentication.k8s.io/selfsubjectreviews': async (core, request) => {
    const { name, uid, groups, extra } = request.user;
    const userInfo = { username: name, ...(uid === undefined ? {} : { uid }), groups, ...(extra ? { extra } : {}) };
    const creationTimestamp = timeText(core.clock.now());
    return answer({
      kind: 'SelfSubjectReview',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { creationTimestamp },
      status: { userInfo },
    });
  },
};

/** undefined when the kind is an ordinary stored one. */
export async function virtualCreate(core: Core, request: BodyRequest, c: Ctx): Promise<CoreResult | undefined> {
  const handler = HANDLERS[`${request.info.group}/${request.info.resource}`];
  return handler === undefined ? undefined : await handler(core, request, c);
}

async function accessReview(
  core: Core,
  request: BodyRequest,
  userOf: (spec: ReviewSpec) => UserInfo,
): Promise<CoreResult> {
  const review = decodeType(request.info.schema, request.body).object as KubeObject & { spec?: ReviewSpec };
  const spec = review.spec ?? {};
  const decision = await decide(core, spec, userOf(spec));
  const status = { allowed: decision.isAllowed, ...(decision.reason === '' ? {} : { reason: decision.reason }) };
  return answer({
    kind: request.info.kind,
    apiVersion: `${request.info.group}/${request.info.version}`,
    metadata: review.metadata ?? {},
    spec,
    status,
  });
}

async function decide(core: Core, spec: ReviewSpec, user: UserInfo): Promise<Decision> {
  const { resourceAttributes: r, nonResourceAttributes: n } = spec;
  if ((r === undefined) === (n === undefined))
    throw badRequest('spec: exactly one of nonResourceAttributes or resourceAttributes must be specified');
  const attributes: Attributes =
    r === undefined
      ? { type: 'path', user, verb: n?.verb ?? '', path: n?.path ?? '' }
      : {
          type: 'resource',
          user,
          verb: r.verb ?? '',
          group: r.group ?? '',
          version: r.version ?? '*',
          resource: r.resource ?? '',
          subresource: r.subresource ?? '',
          namespace: r.namespace ?? '',
          name: r.name ?? '',
        };
  return await core.authorizer.authorize(attributes);
}

/** What we can say without RBAC: everything for superusers, else only what is public; so the answer is incomplete. */
async function rulesReview(core: Core, request: BodyRequest): Promise<CoreResult> {
  const review = decodeType(request.info.schema, request.body).object as { spec?: { namespace?: string } };
  const everything = {
    type: 'resource',
    user: request.user,
    verb: '*',
    group: '*',
    version: '*',
    resource: '*',
  } as const;
  const namespace = review.spec?.namespace ?? '';
  const decision = await core.authorizer.authorize({ ...everything, subresource: '', namespace, name: '' });
  const reviews = {
    verbs: ['create'],
    apiGroups: ['authorization.k8s.io'],
    resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
  };
  const status = decision.isAllowed
    ? {
        resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
        nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
        incomplete: false,
      }
    : { resourceRules: [reviews], nonResourceRules: [], incomplete: true };
  return answer({
    kind: 'SelfSubjectRulesReview',
    apiVersion: 'authorization.k8s.io/v1',
    metadata: {},
    spec: review.spec ?? {},
    status,
  });
}

function userOfSpec(spec: ReviewSpec): UserInfo {
  return { name: spec.user ?? '', groups: spec.groups ?? [], uid: spec.uid, extra: spec.extra };
}

function answer(object: object): CoreResult {
  return { type: 'object', object: object as KubeObject, created: true };
}
