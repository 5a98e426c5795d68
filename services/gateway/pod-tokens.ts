/**
 * Tokens for the pods of a node. The API is asked as the node itself, so that the node authorizer and NodeRestriction decide
 * as for a kubelet: the pod must run there, with that uid and that service account.
 */
import { Kinds, type TokenRequest } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type { Client } from '#lib/client';
import type { IssueTokenReply } from '#proto/gen/berth/agent/v1/IssueTokenReply.ts';
import type { IssueTokenRequest__Output } from '#proto/gen/berth/agent/v1/IssueTokenRequest.ts';

/** `client`: speaks as the node. Throws what the API says. */
export async function issueToken(client: Client, r: IssueTokenRequest__Output, c: Ctx): Promise<IssueTokenReply> {
  const body: Omit<TokenRequest, 'metadata' | 'status'> = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {
      audiences: r.audience === '' ? [] : [r.audience],
      expirationSeconds: r.expiration_seconds,
      boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: r.pod_name, uid: r.pod_uid },
    },
  };
  const key = { namespace: r.namespace, name: r.service_account };
  const answer = await client.createSub(Kinds.serviceaccounts, key, 'token', body, c);
  const { spec, status } = answer as TokenRequest;
  if (status === undefined) throw new StatusError('Internal', 'a token request was answered without a token');
  return { token: status.token, expires_in_seconds: spec.expirationSeconds ?? r.expiration_seconds };
}
