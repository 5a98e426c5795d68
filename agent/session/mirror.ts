/** Asks the gateway to make or remove the image of a static pod, on the connection of the session. */
import type { DeepReadonly, Pod } from '#lib/api';
import { type Ctx, raceAbort } from '#lib/base';
import { grpcError } from '#proto/channels.ts';
import type { GatewayClient } from '#proto/gen/berth/agent/v1/Gateway.ts';
import type { PodRef } from './session.ts';

const CALL_MS = 10_000;

/** Rejects with what the API said: NotFound (no such namespace), Forbidden, AlreadyExists, ... */
export async function sendMirrorPod(
  gateway: GatewayClient,
  o: { pod: PodRef; source: DeepReadonly<Pod> | undefined },
  c: Ctx,
): Promise<void> {
  c.signal.throwIfAborted();
  const pod = o.source === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(o.source));
  const answer = new Promise<void>((resolve, reject) => {
    gateway.MirrorPod({ ...o.pod, pod }, { deadline: c.clock.now() + CALL_MS }, (e, reply) => {
      if (reply === undefined) reject(grpcError(e));
      else resolve();
    });
  });
  await raceAbort(answer, c.signal);
}
