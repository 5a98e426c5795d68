/** Asks the gateway for a token of a pod's service account, on the connection of the session. */
import { type Ctx, raceAbort } from '#lib/base';
import { grpcError } from '#proto/channels.ts';
import type { GatewayClient } from '#proto/gen/berth/agent/v1/Gateway.ts';
import type { IssueTokenReply__Output } from '#proto/gen/berth/agent/v1/IssueTokenReply.ts';
import type { PodToken, PodTokenRequest } from './session.ts';

const CALL_MS = 10_000;

/** Rejects with what the API said: NotFound, Forbidden, ...; Unavailable when the connection breaks. */
export async function requestToken(gateway: GatewayClient, o: PodTokenRequest, c: Ctx): Promise<PodToken> {
  c.signal.throwIfAborted();
  const askedAtMs = c.clock.now();
  const { pod, serviceAccount, audience = '', expirationSeconds } = o;
  const request = {
    namespace: pod.namespace,
    service_account: serviceAccount,
    pod_name: pod.name,
    pod_uid: pod.uid,
    audience,
    expiration_seconds: expirationSeconds,
  };
  const answer = new Promise<IssueTokenReply__Output>((resolve, reject) => {
    gateway.IssueToken(request, { deadline: askedAtMs + CALL_MS }, (e, reply) => {
      if (reply === undefined) reject(grpcError(e));
      else resolve(reply);
    });
  });
  const { token, expires_in_seconds } = await raceAbort(answer, c.signal);
  return { token, expiresAtMs: askedAtMs + expires_in_seconds * 1000 };
}
