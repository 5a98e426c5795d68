/** `POST /collect?graceSeconds=N` on the administrator's socket: retention and garbage collection now, and what they did. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Ctx } from '#lib/base';
import type { Maintenance } from './maintenance.ts';

/** Whether the request was this one; then it is answered. */
export async function collectRoute(
  maintenance: Maintenance,
  at: { readonly path: string; readonly query: URLSearchParams },
  o: { readonly ctx: Ctx; readonly req: IncomingMessage; readonly res: ServerResponse },
): Promise<boolean> {
  if (at.path !== '/collect' || o.req.method !== 'POST') return false;
  const seconds = at.query.get('graceSeconds');
  const graceMs = seconds !== null && /^\d{1,7}$/.test(seconds) ? Number(seconds) * 1000 : undefined;
  const body = Buffer.from(JSON.stringify(await maintenance.once(o.ctx, graceMs)));
  o.res.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
  o.res.end(body);
  return true;
}
