/**
 * POST tokenreviews: whose token is this? Source: kubernetes pkg/registry/authentication/tokenreview/storage.go.
 */
import { decodeType, type TokenReview, type TokenReviewStatus } from '#lib/api';
import type { Ctx } from '#lib/base';
import { badRequest } from '../api-errors.ts';
import { AUTHENTICATED } from '../authn/groups.ts';
import type { TokenVerdict } from '../authn/token-authenticator.ts';
import type { Core, CoreResult } from '../core.ts';
import type { BodyRequest } from './subresources.ts';

const INVALID = 'invalid bearer token';

export async function createTokenReview(core: Core, request: BodyRequest, c: Ctx): Promise<CoreResult> {
  const { metadata, spec } = decodeType(request.info.schema, request.body).object as Partial<TokenReview>;
  const { token = '', audiences = [] } = spec ?? {};
  if (metadata?.namespace !== undefined && metadata.namespace !== '')
    throw badRequest(`namespace is not allowed on this type: ${metadata.namespace}`);
  if (token === '') throw badRequest('token is required for TokenReview in authentication');
  const asked = audiences.length > 0 ? audiences : core.tokens.audiences;
  const status = statusOf(await core.tokens.authenticator.authenticateToken(token, asked, c));
  const { kind, group, version } = request.info;
  const head = { kind, apiVersion: `${group}/${version}`, metadata: metadata ?? { name: '' } };
  return { type: 'object', object: { ...head, spec, status } as TokenReview, created: true };
}

function statusOf(verdict: TokenVerdict): TokenReviewStatus {
  if (verdict.outcome === 'unknown') return { error: INVALID };
  if (verdict.outcome === 'refused') return { error: `[${INVALID}, ${verdict.why}]` };
  const { name, uid, groups, extra } = verdict.user;
  const user = {
    username: name,
    ...(uid === undefined ? {} : { uid }),
    groups: [...new Set([...groups, AUTHENTICATED])],
    ...(extra === undefined ? {} : { extra: Object.fromEntries(Object.entries(extra).map(([k, v]) => [k, [...v]])) }),
  };
  const audiences = verdict.audiences === undefined ? {} : { audiences: [...verdict.audiences] };
  return { authenticated: true, user, ...audiences };
}
