/**
 * Kinds that are asked, not stored: reviews of who one is and what one may do, and POST of a Binding by its collection.
 * Source: pkg/registry/authorization, pkg/registry/authentication.
 */
import { type Ctx, timeText } from '#lib/base';
import type { Core, CoreResult } from '../core.ts';
import { accessReview, answer, rulesReview, selfAccessReview } from './access-review.ts';
import { createBinding } from './binding.ts';
import type { BodyRequest } from './subresources.ts';
import { createTokenReview } from './token-review.ts';

type Handler = (core: Core, request: BodyRequest, c: Ctx) => Promise<CoreResult>;

const HANDLERS: Readonly<Record<string, Handler>> = {
  '/bindings': async (core, request, c) => {
    const pods = core.kinds.of({ group: '', resource: 'pods' }) ?? request.stored;
    const name = (request.body as { metadata?: { name?: string } } | null)?.metadata?.name;
    return await createBinding(core, { ...request, info: pods, stored: pods, name }, c);
  },
  'authorization.k8s.io/selfsubjectaccessreviews': selfAccessReview,
  'authorization.k8s.io/subjectaccessreviews': accessReview,
  'authorization.k8s.io/localsubjectaccessreviews': accessReview,
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
