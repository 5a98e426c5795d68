/** What a node says of its volumes, on the connection of the session; the gateway writes it as the node. */
import { type Ctx, raceAbort } from '#lib/base';
import { grpcError } from '#proto/channels.ts';
import type { GatewayClient } from '#proto/gen/berth/agent/v1/Gateway.ts';
import type { ClaimRef, CsiDriverReport } from './session.ts';

const CALL_MS = 10_000;

/** Rejects with what the API said. */
export async function sendCsiDriver(gateway: GatewayClient, r: CsiDriverReport, c: Ctx): Promise<void> {
  const driver = r.driver === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(r.driver));
  const request = { name: r.name, driver, topology: { ...r.topology } };
  await answered((deadline, done) => gateway.PutCsiDriver(request, { deadline }, done), c);
}

/** Rejects with what the API said. */
export async function sendClaimResized(
  gateway: GatewayClient,
  o: { claim: ClaimRef; storage: string },
  c: Ctx,
): Promise<void> {
  const request = { ...o.claim, storage: o.storage };
  await answered((deadline, done) => gateway.ClaimResized(request, { deadline }, done), c);
}

async function answered(
  call: (deadline: number, done: (e: unknown, reply?: object) => void) => void,
  c: Ctx,
): Promise<void> {
  c.signal.throwIfAborted();
  const answer = new Promise<void>((resolve, reject) => {
    call(c.clock.now() + CALL_MS, (e, reply) => {
      if (reply === undefined) reject(grpcError(e));
      else resolve();
    });
  });
  await raceAbort(answer, c.signal);
}
