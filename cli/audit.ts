/**
 * Where a cluster's audit is: `$BERTH_HOME/audit/audit.log` (JSON lines, rotated), copies on NATS, and its policy in
 * `$BERTH_HOME/audit-policy.yaml` (audit.k8s.io/v1 Policy; without the file the built-in one).
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '#lib/bus';
import { type AuditDeps, parseAuditPolicy } from '../services/apiserver/main.ts';

/** Throws BadRequest for a policy that is not valid: a server that records less than it was told must not start. */
export async function auditOf(home: string, bus: Pick<Bus, 'publish'>): Promise<AuditDeps> {
  const text = await readPolicy(join(home, 'audit-policy.yaml'));
  const policy = text === undefined ? undefined : await parseAuditPolicy(text);
  return { policy, file: { path: join(home, 'audit', 'audit.log') }, bus };
}

async function readPolicy(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
    throw e;
  }
}
